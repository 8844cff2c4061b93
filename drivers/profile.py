"""A machine type as data: how to talk to it, what it remembers, which recipes it accepts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.base import Scalar


class Effect(StrEnum):
    """How a doubtful start can be settled on this machine (delivery promise)."""

    REMEMBERED = "remembered"
    OBSERVABLE = "observable"
    BLIND = "blind"


class Memory(StrEnum):
    """Whether the machine's memory of jobs survives its restart."""

    PERSISTENT = "persistent"
    VOLATILE = "volatile"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The allowed values of one recipe parameter: a range in `unit`, or a closed set of texts."""

    min: float | None = None
    max: float | None = None
    one_of: tuple[Scalar, ...] = ()
    max_length: int | None = None  # characters, for texts
    unit: str = ""

    def fault(self, value: Scalar) -> str | None:
        """Say why a value is not allowed, or None. Booleans are only allowed where listed."""
        if self.one_of:
            return None if value in self.one_of else f"not one of {', '.join(map(str, self.one_of))}"
        if isinstance(value, bool):
            return "a truth value where none is listed"
        if isinstance(value, str):
            if self.max_length is None:
                return "a text where a number is expected"
            if len(value) > self.max_length:
                return f"longer than {self.max_length} characters"
            if not value.isprintable():
                return "has a character that cannot be printed"
            return None
        if self.max_length is not None:
            return "a number where a text is expected"
        if isinstance(value, float) and not math.isfinite(value):
            return "not a finite number"
        if self.min is not None and value < self.min:
            return f"below {self.min:g} {self.unit}".rstrip()
        if self.max is not None and value > self.max:
            return f"above {self.max:g} {self.unit}".rstrip()
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Named, limited parameters that make a product on a machine type."""

    version: str
    parameters: Mapping[str, Limit]
    cycle_s: float | None = None  # planned time of one machine cycle; None: not planned

    def faults(self, values: Mapping[str, Scalar]) -> tuple[str, ...]:
        """List why these parameter values cannot be sent: missing, unknown, outside the limits."""
        missing = [f"{name}: missing" for name in self.parameters if name not in values]
        unknown = [f"{name}: not a parameter of this recipe" for name in values if name not in self.parameters]
        outside = [
            f"{name}: {value!r} is {fault}"
            for name, value in values.items()
            if name in self.parameters and (fault := self.parameters[name].fault(value))
        ]
        return (*missing, *unknown, *outside)


@dataclass(frozen=True, kw_only=True, slots=True)
class PermitTags:
    """Addresses of the permits, in the protocol's own notation; None where the machine has none."""

    remote: str
    ready: str
    handed_over: str | None = None


class WordOrder(StrEnum):
    """How the bytes of a value lie in 16-bit registers, A the most significant, as sent on the wire."""

    ABCD = "ABCD"  # high word first
    CDAB = "CDAB"  # low word first
    BADC = "BADC"  # high word first, the bytes of each register swapped
    DCBA = "DCBA"  # low word first, the bytes of each register swapped


class TagClass(StrEnum):
    """What a tag tells, which decides what counts as a change of it."""

    ANALOG = "analog"  # a measured number: a change within the deadband is none
    COUNTER = "counter"  # every step counts
    STATE = "state"  # a text, a truth value or a code: every change counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """One value of a machine that is sampled: `value = raw * scale + offset`, in `unit`.

    `type` and `order` say how it lies in registers (`drivers.scaling.Kind`); `length` and `bit` as there.
    A protocol whose values carry their type needs none of the four.
    """

    address: str
    type: str | None = None
    order: WordOrder = WordOrder.ABCD
    length: int = 1
    bit: int | None = None
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    deadband: float = 0.0  # in `unit`
    tag_class: TagClass = TagClass.ANALOG


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxRecipe:
    """A recipe as the mailbox carries it: its number, and its parameters in the order of PARAM[0..15]."""

    number: int  # 1..65535
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxNodes:
    """The variables in which an OPC UA server shows the two blocks of mailbox map v1; each is written whole."""

    status: str  # UInt16[64]: S
    payload: str  # UInt16[56]: C from CMD to PAYLOAD_CRC
    commit: str  # UInt16: CMD_SEQ
    heartbeat: str  # UInt16: GW_HEARTBEAT


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxMap:
    """Where the two blocks of mailbox map v1 lie, and what its numbers mean.

    On Modbus the bases count (zero-based register offsets), on OPC UA the nodes.
    """

    status_base: int = 0
    command_base: int = 100
    nodes: MailboxNodes | None = None
    word_order: WordOrder = WordOrder.ABCD  # or CDAB; the map leaves the bytes of a register alone
    recipes: Mapping[str, MailboxRecipe] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one value of a plain machine lies: `value = raw * scale + offset`; `type` and `order` as of a `Tag`."""

    address: str
    type: str = "uint16"
    order: WordOrder = WordOrder.ABCD
    scale: float = 1.0
    offset: float = 0.0


class Counting(StrEnum):
    """When the counters of a plain machine begin at 0."""

    TOTAL = "total"  # never, as long as its memory is kept
    BATCH = "batch"  # at each start


class Unit(StrEnum):
    """What the quantity of a plain machine is a number of."""

    PIECES = "pieces"
    CYCLES = "cycles"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainRecipe:
    """A recipe as a plain machine knows it: its number, and where its parameters lie."""

    number: int | None = None
    parameters: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainMap:
    """Where a machine without memory of jobs has its start, its signs of work and its parameters.

    `start` starts by its rising edge. `busy` is on while a batch is in the machine, interrupted or not;
    `done` from its end until the next start. Only start, reset, quantity, recipe and parameters are written.
    """

    start: str
    busy: str
    done: str
    good: Place
    scrap: Place
    quantity: Place
    quantity_in: Unit = Unit.PIECES
    counting: Counting = Counting.TOTAL
    pieces_per_count: int = 1  # what one step of the counters stands for
    start_clears: bool = True  # the machine takes the start back by itself
    reset_done: str | None = None  # its rising edge takes `done` back
    boot: Place | None = None  # anything that is another value after each start of the controller
    recipe: Place | None = None
    scan_s: float = 0.1  # the longest the controller takes to go round once
    recipes: Mapping[str, PlainRecipe] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A machine type. Addresses are texts in the protocol's notation.

    `nsu=URI;s=Name` for OPC UA; `PERMIT.n`, a bit of the mailbox's word of permits, for the mailbox;
    `coil:N`, `discrete:N`, `holding:N`, `input:N` or a bit of a register, `holding:N.BIT`, for plain Modbus.
    """

    name: str
    protocol: str
    dialect: str
    effect: Effect
    memory: Memory
    clears_by_itself: bool
    permits: PermitTags
    recipes: Mapping[str, Recipe]
    setup_code: str | None = None
    settle_s: float = 2.0
    poll_s: float = 0.5
    timeout_s: float = 4.0
    labels: Mapping[str, str] = field(default_factory=dict)
    mailbox: MailboxMap | None = None
    plain: PlainMap | None = None
    tags: Mapping[str, Tag] = field(default_factory=dict)
    writable: Mapping[str, Limit] = field(default_factory=dict)  # tags that a person may write, in their units
    sample_s: float = 0.5  # the machine is asked for the tags' values this often
