"""The sections of kvot.yaml: every key with its type, unit, default and meaning."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.settings.profiles import ProfileSettings
from gateway.settings.values import (
    Currency,
    Day,
    Distinct,
    FieldPath,
    File,
    Fingerprint,
    Formula,
    HttpUrl,
    Model,
    Moment,
    MqttUrl,
    Name,
    OpcUrl,
    Seconds,
    SecretValue,
    SiteId,
    Text,
    Timezone,
    TopicBase,
    TopicLevel,
    is_loopback,
)

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


class LedgerSettings(Model):
    """How the ledger gathers what it writes; nothing is answered before it is on disk."""

    commit_interval_ms: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 5
    """Longest wait before a batch of events is written, milliseconds."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Events after which a batch is written without waiting."""


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
    produce_when: ProduceWhen = ProduceWhen()
    """Which orders may be made."""
    personal: Annotated[tuple[FieldPath, ...], Distinct] = ()
    """The personal fields that are kept, such as billing.email; all others are dropped when an order is read."""
    erase_after_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Personal fields are erased this many days after an order is finished."""
    price_includes_tax: bool = True
    """Whether the shop's prices include value-added tax."""
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


class StepSettings(Model):
    """One operation of a route."""

    operation: Name = "make"
    """What is done in this step."""
    family: Name
    """Products that share one set-up: a name under families."""
    recipe: Name
    """The recipe of the machine type that makes it."""
    parameters: Mapping[Name, Formula] = Field(default_factory=dict)
    """Each recipe parameter as a CEL expression over `line` and `order`."""


class ProductSettings(Model):
    """An article and how it becomes work. The name is an article number or a pattern such as GIFT-*."""

    make: bool = True
    """false: never produced here (freight, gift cards, stock goods)."""
    match: Formula | None = None
    """CEL condition over `line`, tried when no article number fits."""
    operation: Name | None = None
    """What is done; default: make."""
    family: Name | None = None
    """Products that share one set-up: a name under families."""
    recipe: Name | None = None
    """The recipe of the machine type that makes it."""
    parameters: Mapping[Name, Formula] | None = None
    """Each recipe parameter as a CEL expression over `line` and `order`."""
    route: Annotated[tuple[StepSettings, ...], Field(min_length=1, max_length=20)] | None = None
    """The steps in order, instead of one family and recipe."""

    @property
    def steps(self) -> tuple[StepSettings, ...]:
        """Give the route, whichever way it was written."""
        if self.route is not None or not self.make or self.family is None or self.recipe is None:
            return self.route or ()
        return (
            StepSettings(
                operation=self.operation or "make",
                family=self.family,
                recipe=self.recipe,
                parameters=self.parameters or {},
            ),
        )

    @model_validator(mode="after")
    def _one_way(self) -> "ProductSettings":
        short = [key for key in ("operation", "family", "recipe", "parameters") if getattr(self, key) is not None]
        if not self.make:
            given = [*short, *(["route"] if self.route else [])]
            if given:
                raise ValueError(f"make: false stands alone; remove {', '.join(given)}")
        elif self.route is not None:
            if short:
                raise ValueError(f"route and {', '.join(short)} exclude each other; put them into the route's steps")
        elif missing := [key for key in ("family", "recipe") if getattr(self, key) is None]:
            raise ValueError(f"{' and '.join(missing)} missing; give family and recipe, or a route, or make: false")
        return self


class PromiseSettings(Model):
    """What a customer is promised before the factory can compute it."""

    static_days: Annotated[int, Field(ge=0, le=365)]
    """Days from placing the order to the promised day."""


class RunSettings(Model):
    """How jobs are gathered for one set-up."""

    release: Literal["at_once"] = "at_once"
    """When a run's jobs go to the machine."""


class FamilySettings(Model):
    """Products that share one set-up."""

    machines: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100), Distinct]
    """The machines that can make it: names under machines."""
    promise: PromiseSettings
    """What a customer is promised."""
    pieces_per_cycle: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Sellable pieces that one machine cycle makes."""
    remake_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a shortage is made again by itself before a person decides."""
    run: RunSettings = RunSettings()
    """How jobs are gathered."""


class RiskAssessment(Model):
    """The document that allows starts by Kvot: delivery promise, who may start what."""

    ref: Text
    """Number of the document."""
    by: Text
    """Role or department that signed it."""
    date: Day
    """Day it was signed."""


class SecuritySettings(Model):
    """How the connection to an OPC UA server is protected: SignAndEncrypt, and only with this server."""

    server_fingerprint: Fingerprint
    """sha256: and the fingerprint of the server's certificate."""
    certificate: File | None = None
    """Our own certificate (DER); default: the gateway's own."""
    private_key: File | None = None
    """The key of our certificate (PEM), mode 0600; default: the gateway's own."""

    @model_validator(mode="after")
    def _pair(self) -> "SecuritySettings":
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together; give both or none")
        return self


def _none_in_words(value: object) -> object:
    if value == "none":
        return None
    if value is None or isinstance(value, str):
        raise ValueError("write {server_fingerprint: sha256:...}, or none to talk without protection")
    return value


def _none_in_schema(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"const": "none"} if option == {"type": "null"} else option for option in schema["anyOf"]]


class MachineSettings(Model):
    """A physical machine, its address, and how far Kvot may go with it."""

    profile: Name
    """Its type: a name under profiles, or a file machines/NAME.yaml."""
    url: OpcUrl
    """Address of its server: opc.tcp://host[:4840][/path]."""
    area: TopicLevel
    """Third level of the MQTT topics."""
    line: TopicLevel
    """Fourth level of the MQTT topics; the machine's name is the fifth."""
    security: Annotated[
        SecuritySettings | None, BeforeValidator(_none_in_words), Field(json_schema_extra=_none_in_schema)
    ]
    """The server's certificate for SignAndEncrypt, or `none` in words."""
    control: Literal["read", "load", "start"] = "read"
    """The highest control level that arming may put in force: watch, load jobs, or ask for their start."""
    risk_assessment: RiskAssessment | None = None
    """Needed for control: start."""

    @model_validator(mode="after")
    def _allowed(self) -> "MachineSettings":
        if self.control == "start" and self.risk_assessment is None:
            raise ValueError(
                "control: start needs risk_assessment: {ref: .., by: .., date: ..}; without one, use control: load"
            )
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
