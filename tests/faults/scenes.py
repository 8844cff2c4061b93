"""What a point is made of: a scene (what the world does) and what is done to the gateway in each of its lives."""

from dataclasses import dataclass, field
from enum import StrEnum

from tests.drivers.fake_machine import Fault


class Between(StrEnum):
    """What the machine does while no gateway lives."""

    NOTHING = "nothing"
    WORKS = "works"  # it starts and ends what it has been given
    FORGETS = "forgets"  # it works, then loses its memory, as when the whole house is dark
    RESTARTS = "restarts"  # it restarts and remembers
    CLEARED = "cleared"  # the operator removes what has ended at the panel


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """An order that a customer places in that round; `then` is what becomes of it two rounds later."""

    round: int
    quantities: tuple[int, ...]
    then: str = ""  # "", "cancel", "more"
    after: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What the world does, always the same. `faults` befall the machine's commands, by their number."""

    name: str
    orders: tuple[Order, ...]
    quick: bool = False  # the machine begins at once
    faults: tuple[tuple[int, Fault], ...] = ()
    shop_faults: tuple[tuple[str, int], ...] = ()  # call, number of the call that fails
    broker_faults: tuple[int, ...] = ()  # publishes whose acknowledgement is lost
    between: Between = Between.WORKS
    early_checkpoints: bool = False
    crowd: int = 0  # customers who place an order each in the second round, of what needs not be made
    guest: bool = False  # a second gateway, with a shop and a ledger of its own, uses the same machine
    site: str = "LUND"
    upgrade: bool = False  # the first life ends in order, the next brings a new schema
    machine: str = "memory"
    shop: str = "memory"
    wire: str = ""  # what the chaos on the wire does, where there is one
    wire_seed: int = 0
    sampled: bool = False  # the machine's values are published, and judged by what it wrote down itself
    neighbour: bool = False  # a second machine goes wrong, and this one must not suffer (I13)

    @property
    def is_wired(self) -> bool:
        return self.machine != "memory" or self.shop != "memory"


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """What is done at the n-th time the gateway comes to a point in that life.

    `deed`: kill, cut, stop, clock, second, slow, full, io, readonly, stuck. `amount` is seconds, or the number of calls
    a fault lasts.
    """

    deed: str
    point: str = ""
    nth: int = 1
    life: int = 1
    amount: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point: a row of the list of faults, a scene, acts, what is broken on the disk between lives, and a seed."""

    index: int
    row: str
    scene: Scene
    acts: tuple[Act, ...] = ()
    damage: str = ""  # done to the files after the first life: flip, delete, truncate
    weakness: str = ""  # the protection that is taken out, in a control run
    seed: int = 0

    @property
    def is_long(self) -> bool:
        """Say whether it takes minutes."""
        return self.scene.crowd > 0 or any(act.deed == "reconnect" for act in self.acts)

    def at_life(self, life: int) -> tuple[Act, ...]:
        """Give what is done in that life."""
        return tuple(act for act in self.acts if act.life == life)


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What became of a point. `findings` are (kind, invariant, text); `touched` counts the points it came to."""

    point: Point
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    lives: int = 0
    struck: bool = False  # what was to be done was done
    touched: dict[str, int] = field(default_factory=dict)
    skipped: str = ""
    took_s: float = 0.0
    finished: int | None = None  # jobs that a neighbour had ended where they were counted
