"""Machine types as files of their own: what one says, and how it becomes the drivers' `Profile`."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from drivers.profile import (
    Effect,
    Limit,
    MailboxMap,
    MailboxNodes,
    MailboxRecipe,
    Memory,
    PermitTags,
    Profile,
    Recipe,
    Tag,
    TagClass,
    WordOrder,
)
from gateway.settings.plain import Address, Number, PlainSettings
from gateway.settings.values import Distinct, Model, Name, ScalarValue, Seconds, Text

Register = Annotated[int, Field(ge=0, le=0xFFFF)]
NO_PERMITS: Final = PermitTags(remote="", ready="")  # a person needs none to begin, or not to


class LimitSettings(Model):
    """The allowed values of one recipe parameter: a range, a closed set, or a text of limited length."""

    min: Number | None = None
    """Smallest allowed number, in unit."""
    max: Number | None = None
    """Largest allowed number, in unit."""
    one_of: Annotated[tuple[ScalarValue, ...], Distinct] = ()
    """The only allowed values."""
    max_length: Annotated[int, Field(ge=1, le=4096)] | None = None
    """For texts: the largest number of characters."""
    unit: Annotated[str, Field(max_length=20)] = ""
    """Unit of the number."""

    @model_validator(mode="after")
    def _one_kind(self) -> "LimitSettings":
        kinds = [self.min is not None or self.max is not None, bool(self.one_of), self.max_length is not None]
        if sum(kinds) != 1:
            raise ValueError("give one kind of limit: min and max, or one_of, or max_length")
        if kinds[0] and (self.min is None or self.max is None):
            raise ValueError("min and max belong together")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class RecipeSettings(Model):
    """Named, limited parameters that make a product on this machine type."""

    version: Text
    """Version of the recipe, kept with every job; in quotes."""
    parameters: Mapping[Name, LimitSettings] = Field(default_factory=dict)
    """The parameters and their limits."""
    cycle_s: Seconds | None = None
    """Planned time of one machine cycle, seconds; effectiveness and OEE are measured against it."""


class PermitSettings(Model):
    """Where the machine says what it allows; nothing is started without them."""

    remote: Address
    """The selector: true while the machine may be asked from outside."""
    ready: Address
    """Guards shut, reset done, no fault, production mode."""
    handed_over: Address | None = None
    """Start was pressed at the panel since a permit last fell."""


class TagSettings(Model):
    """A value of the machine that is sampled and published: value = raw * scale + offset."""

    address: Address
    """Where it stands, in the protocol's notation."""
    type: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    """How it lies in registers, such as float32; not needed where the protocol's values carry their type."""
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    """How its bytes lie in 16-bit registers, A the most significant."""
    length: Annotated[int, Field(ge=1, le=125)] = 1
    """For a text in registers: how many registers."""
    bit: Annotated[int, Field(ge=0, le=63)] | None = None
    """The bit it is, where several share a register."""
    scale: Number = 1
    """Factor from the raw number to the unit."""
    offset: Number = 0
    """Added after scaling, in unit."""
    unit: Annotated[str, Field(max_length=20)] = ""
    """Unit of the number."""
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """Changes of at most this much, in unit, are not told; only for class: analog."""
    tag_class: Annotated[Literal["analog", "counter", "state"], Field(alias="class")] = "analog"
    """analog: a measured number; counter: every step counts; state: every change counts."""

    @model_validator(mode="after")
    def _meaningful(self) -> "TagSettings":
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        if self.deadband and self.tag_class != "analog":
            raise ValueError(f"a {self.tag_class} has no deadband: every change of it counts")
        return self


class MailboxRecipeSettings(Model):
    """A recipe as the mailbox carries it."""

    number: Annotated[int, Field(ge=1, le=0xFFFF)]
    """Its number in the word RECIPE."""
    parameters: Annotated[tuple[Name, ...], Field(max_length=16), Distinct] = ()
    """Which parameter lies in PARAM[0], PARAM[1], ..."""


class MailboxNodesSettings(Model):
    """The variables in which an OPC UA server shows the mailbox; each is read and written whole."""

    status: Address
    """The status block: UInt16[64]."""
    payload: Address
    """The words 1 to 56 of the command block, CMD to PAYLOAD_CRC: UInt16[56]."""
    commit: Address
    """CMD_SEQ, a variable of its own: UInt16."""
    heartbeat: Address
    """GW_HEARTBEAT, a variable of its own: UInt16."""


class MailboxSettings(Model):
    """Where the two blocks of mailbox map v1 lie, and what its numbers mean."""

    status_base: Register = 0
    """Modbus: first register of the status block, counted from zero."""
    command_base: Register = 100
    """Modbus: first register of the command block, counted from zero."""
    nodes: MailboxNodesSettings | None = None
    """OPC UA, and needed there: the variables of the two blocks."""
    word_order: Literal["ABCD", "CDAB"] = "ABCD"
    """ABCD: the high word comes first; CDAB: the low word."""
    recipes: Mapping[Name, MailboxRecipeSettings] = Field(default_factory=dict)
    """The number of each recipe, and the order of its parameters."""

    def to_map(self) -> MailboxMap:
        """Give the drivers' own value."""
        recipes = {name: MailboxRecipe(**recipe.model_dump()) for name, recipe in self.recipes.items()}
        return MailboxMap(
            status_base=self.status_base,
            command_base=self.command_base,
            nodes=MailboxNodes(**self.nodes.model_dump()) if self.nodes else None,
            word_order=WordOrder(self.word_order),
            recipes=recipes,
        )


class ProfileSettings(Model):
    """A machine type. Addresses are texts in the protocol's notation (`nsu=URI;s=Name` for OPC UA)."""

    protocol: Name
    """How the machine is talked to: opcua, modbus, or station, which is a person."""
    dialect: Name
    """How jobs are given to it: isa95-jobs (ISA-95 Job Control, OPC 10031-4 V2), mailbox (map v1), plain, tickets."""
    effect: Literal["remembered", "observable", "blind"]
    """How a doubtful start can be settled: by the machine's memory, by watching it, or not at all."""
    memory: Literal["persistent", "volatile"]
    """Whether the machine remembers its jobs over a restart."""
    clears_by_itself: bool
    """Whether the machine forgets finished jobs without being told to."""
    permits: PermitSettings | None = None
    """Where the machine says what it allows; needed unless it is a station."""
    mailbox: MailboxSettings | None = None
    """For dialect mailbox: where its blocks lie."""
    plain: PlainSettings | None = None
    """For dialect plain: where start, busy, done, counters and parameters are."""
    recipes: Annotated[Mapping[Name, RecipeSettings], Field(min_length=1)]
    """What it can make."""
    setup_code: Address | None = None
    """Where the machine names the tool that is fitted."""
    settle_s: Seconds = 2
    """Time after which an absent job is really absent, seconds."""
    poll_s: Seconds = 0.5
    """Time between two looks at the machine, seconds."""
    timeout_s: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 4
    """Deadline of one exchange with the machine, seconds."""
    labels: Mapping[Name, Text] = Field(default_factory=dict)
    """Names the machine uses for what it shows of an order."""
    tags: Annotated[Mapping[Name, TagSettings], Field(max_length=10_000)] = Field(default_factory=dict)
    """The values that are sampled and published, by name."""
    writable: Mapping[Name, LimitSettings] = Field(default_factory=dict)
    """The tags that a person may write by hand while the machine is in commissioning: their limits, in their units."""
    sample_s: Annotated[float, Field(ge=0.01, le=3600, allow_inf_nan=False)] = 0.5
    """Time between two samples of the tags, seconds."""

    def to_profile(self, name: str) -> Profile:
        """Give the drivers' own value of this machine type."""
        return Profile(
            name=name,
            protocol=self.protocol,
            dialect=self.dialect,
            effect=Effect(self.effect),
            memory=Memory(self.memory),
            clears_by_itself=self.clears_by_itself,
            permits=PermitTags(**self.permits.model_dump()) if self.permits else NO_PERMITS,
            mailbox=self.mailbox.to_map() if self.mailbox else None,
            plain=self.plain.to_map() if self.plain else None,
            recipes={name: _recipe(recipe) for name, recipe in self.recipes.items()},
            setup_code=self.setup_code,
            settle_s=self.settle_s,
            poll_s=self.poll_s,
            timeout_s=self.timeout_s,
            labels=dict(self.labels),
            tags={name: _tag(tag) for name, tag in self.tags.items()},
            writable=_limits(self.writable),
            sample_s=self.sample_s,
        )


def _recipe(recipe: RecipeSettings) -> Recipe:
    return Recipe(version=recipe.version, parameters=_limits(recipe.parameters), cycle_s=recipe.cycle_s)


def _limits(limits: Mapping[str, LimitSettings]) -> dict[str, Limit]:
    return {name: Limit(**limit.model_dump()) for name, limit in limits.items()}


def _tag(tag: TagSettings) -> Tag:
    return Tag(**{**tag.model_dump(), "order": WordOrder(tag.order), "tag_class": TagClass(tag.tag_class)})
