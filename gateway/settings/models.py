"""The sections of kvot.yaml: every key with its type, unit, default and meaning."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from gateway.settings.families import FamilySettings, PricingSettings
from gateway.settings.files import FileHost
from gateway.settings.machines import MachineSettings, SecuritySettings
from gateway.settings.profiles import ProfileSettings
from gateway.settings.routes import ProductSettings
from gateway.settings.shapes import Share
from gateway.settings.times import CalendarText
from gateway.settings.values import (
    Currency,
    Day,
    Distinct,
    FieldPath,
    File,
    HttpUrl,
    Model,
    Moment,
    MqttUrl,
    Name,
    Seconds,
    SecretValue,
    SiteId,
    Text,
    Timezone,
    TopicBase,
    TopicLevel,
    is_loopback,
)

__all__ = ["MachineSettings", "Sections", "SecuritySettings", "ShopSettings"]  # what the daemon takes its parts from

SHOP_CLOCK_STEPS_S: Final = 2


class SiteSettings(Model):
    """The factory: who it is and which clock hangs on its wall."""

    id: SiteId
    """First part of every job id and second level of the MQTT topics: A-Z and 0-9, at most 8 characters."""
    enterprise: TopicLevel
    """First level of the MQTT topics."""
    timezone: Timezone
    """IANA time zone of the factory, such as Europe/Stockholm."""
    name: Text | None = None
    """What people call the factory."""
    calendar: CalendarText = "always"
    """When people work here, such as `mon-fri,sat 06-22`, unless a machine or a family says otherwise."""
    staffed: CalendarText | None = None
    """When people are at the machines, such as `mon-fri 06-16`; default: each machine's calendar."""
    holidays: Annotated[tuple[Day, ...], Field(max_length=1000), Distinct] = ()
    """Days on which nobody works, such as 2026-12-24."""


class BackupSettings(Model):
    """Copies of the ledger beside it, in backups/ of the state directory; `kvot backup restore` takes one back."""

    every_h: Annotated[float, Field(ge=0.1, le=8784, allow_inf_nan=False)] = 24
    """Time between two backups, hours."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 14
    """Backups that are kept; the oldest goes."""


class LedgerSettings(Model):
    """How the ledger gathers what it writes, and keeps it; nothing is answered before it is on disk."""

    commit_interval_ms: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0
    """How long a batch waits for more events, milliseconds; those that wait already go along in any case."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Events after which a batch is written without waiting."""
    backups: BackupSettings = BackupSettings()
    """When the ledger is copied, and how many copies are kept."""
    ballast_mb: Annotated[int, Field(ge=0, le=4096)] = 32
    """Room on the disk that is given back to orders when it is full, MB; 0: none."""
    keep_days: Annotated[int, Field(ge=30, le=36_500)] = 400
    """Orders finished for longer than this are moved to an archive of their year, days."""


class ApiSettings(Model):
    """Where the command line reaches the gateway."""

    socket: File | None = None
    """Path of the control socket; default: kvot.sock in the runtime directory."""


class MqttSettings(Model):
    """The broker that facts and states are published to."""

    url: MqttUrl
    """Address of the broker: mqtts://host[:8883] or mqtt://host[:1883]."""
    username: Text | None = None
    """User name at the broker."""
    password: SecretValue | None = None
    """Password at the broker, as `!secret NAME`."""
    client_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] | None = None
    """MQTT client id; default: kvot- and the site's id."""
    base: TopicBase | None = None
    """Topics begin with this; default: the enterprise and the site's id."""
    ack_deadline_s: Seconds = 5
    """The connection is made anew when the oldest unacknowledged message is older than this, seconds."""
    receive_maximum: Annotated[int, Field(ge=1, le=65_535)] = 20
    """Messages that may be under way at once."""
    ca: File | None = None
    """PEM file of the authorities that may vouch for the broker; default: the system's."""


class SpoolSettings(Model):
    """Where samples wait for the broker: on disk, bounded, and what must be dropped is declared."""

    max_bytes: Annotated[int, Field(ge=1_048_576, le=1_099_511_627_776)] = 268_435_456
    """Most bytes on disk."""
    max_age_h: Annotated[float, Field(gt=0, le=8784, allow_inf_nan=False)] = 72
    """Samples older than this are dropped, hours."""
    commit_interval_ms: Annotated[float, Field(ge=10, le=10_000, allow_inf_nan=False)] = 200
    """Longest time before a sample is on disk, milliseconds; what a power cut may cost."""
    policy: Literal["drop_oldest", "drop_newest", "thin"] = "drop_oldest"
    """What gives way when it is full: the oldest samples, the newest, or every second of the old ones."""
    history_per_s: Annotated[int, Field(ge=1, le=100_000)] = 2000
    """Most messages a second while what has waited is sent."""


class ProduceWhen(Model):
    """Which orders may be made; the others are kept visibly waiting."""

    states: Annotated[tuple[Text, ...], Field(min_length=1), Distinct] = ("processing", "completed")
    """States of the shop in which an order is paid."""
    methods: Annotated[tuple[Text, ...], Distinct] = ()
    """Payment methods that need no money first, such as invoice."""


class ShopSettings(Model):
    """A shop that orders come from and that status is written back to."""

    type: Literal["woocommerce"]
    """Kind of shop."""
    url: HttpUrl
    """Address of the shop, without /wp-json."""
    key: SecretValue
    """Consumer key, as `!secret NAME`."""
    secret: SecretValue
    """Consumer secret, as `!secret NAME`."""
    currency: Currency
    """The one currency this shop sells in (ISO 4217)."""
    poll_s: Seconds = 10
    """Time between two looks for changed orders, seconds."""
    overlap_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 120
    """How far each look reaches back behind the last one, seconds."""
    lag_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 2
    """Orders younger than this by the shop's clock are left for the next look, seconds."""
    per_page: Annotated[int, Field(ge=1, le=100)] = 50
    """Orders asked for at once."""
    timeout_s: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 20
    """Deadline of one request as a whole, seconds."""
    file_hosts: Annotated[tuple[FileHost, ...], Field(max_length=100), Distinct] | None = None
    """Hosts that files of order lines may come from, such as cdn.example:8443; default: the shop's own. A host on a
    private network must stand here by its address too."""
    file_timeout_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 60
    """Deadline for fetching one file as a whole, seconds."""
    produce_when: ProduceWhen = ProduceWhen()
    """Which orders may be made."""
    personal: Annotated[tuple[FieldPath, ...], Distinct] = ()
    """The personal fields that are kept, such as billing.email; all others are dropped when an order is read."""
    erase_after_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Personal fields are erased this many days after an order is finished."""
    price_includes_tax: bool = True
    """Whether the shop's prices include value-added tax."""
    tax_rate: Share | None = None
    """The rate of that tax, such as 0.25; needed where prices follow runs."""
    rounding: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """Prices written are multiples of this, such as 1; default: the smallest coin."""
    prices: bool = False
    """Whether prices that follow runs are written to the shop."""
    write_back: bool = True
    """Whether state, progress and promise are written to the order's metadata."""
    plain_http: bool = False
    """Allow http:// to another computer: everybody between can read keys and orders."""

    @model_validator(mode="after")
    def _encrypted(self) -> "ShopSettings":
        if self.url.startswith("http://") and not is_loopback(self.url) and not self.plain_http:
            raise ValueError(
                "url: http:// to another computer shows keys and orders to everybody between; use https://"
                " or set plain_http: true"
            )
        if self.overlap_s + self.lag_s < SHOP_CLOCK_STEPS_S:
            raise ValueError("overlap_s and lag_s must together be at least 2: shops compare whole seconds")
        return self


class SimulationSettings(Model):
    """A faster clock for simulations; refused unless every address is this computer's own."""

    speed: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = 1
    """Business seconds per real second."""
    wall_epoch: Moment
    """The real time at which the simulation began."""
    business_epoch: Moment
    """The business time at that moment."""


class Sections(Model):
    """Kvot's configuration: one factory, its shops, products and machines."""

    site: SiteSettings
    """The factory."""
    ledger: LedgerSettings = LedgerSettings()
    """How durable facts are written."""
    api: ApiSettings = ApiSettings()
    """The gateway's own interface."""
    mqtt: MqttSettings | None = None
    """The broker; without this section nothing is published."""
    spool: SpoolSettings = SpoolSettings()
    """Where samples wait for the broker."""
    pricing: PricingSettings = PricingSettings()
    """Prices and campaigns that follow runs."""
    shops: Mapping[Name, ShopSettings] = Field(default_factory=dict)
    """The shops, by name."""
    products: Mapping[Text, ProductSettings] = Field(default_factory=dict)
    """The articles, by article number or pattern."""
    families: Mapping[Name, FamilySettings] = Field(default_factory=dict)
    """Products that share one set-up, by name."""
    machines: Mapping[Name, MachineSettings] = Field(default_factory=dict)
    """The machines, by name."""
    profiles: Mapping[Name, ProfileSettings] = Field(default_factory=dict)
    """Machine types, by name; they win over files of the same name in machines/."""
    simulation: SimulationSettings | None = None
    """A faster clock, only for simulations."""
