"""What the factory sells and how an article becomes work: products, routes, families."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from drivers.base import Scalar
from gateway.domain.files import FileRules
from gateway.domain.pricing.inputs import Policy, Release, RunRules

UNBOUNDED_PLACES: Final = 1_000_000  # a run that is released at once holds whatever is there
MAKE_TO_ORDER: Final = RunRules(places=UNBOUNDED_PLACES, threshold=1, release=Release.AT_ONCE)

Expression = Callable[[Mapping[str, object]], Scalar]


class ExpressionFaultError(ValueError):
    """An expression met a value it has no answer for: the line is set aside with this text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One operation of a route: what is done, in which family, by which recipe with which parameters.

    `parameters` are compiled expressions over `{"line": {...}, "order": {...}}`; each raises
    `ExpressionFaultError` with a readable text when the line does not carry what it needs.
    places: what a piece takes of a run. batch: pieces that come from the step before together, None: all at
    once. expected_yield: share of pieces that become good. drives_price: this step's run gives price, promise
    and campaign; one step of every route does. files: what the step's machine needs before its job is sent.
    """

    operation: str
    family: str
    recipe: str
    parameters: Mapping[str, Expression]
    places: float = 1.0
    batch: int | None = None
    expected_yield: float = 1.0
    drives_price: bool = False
    files: tuple[FileRules, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a step that takes no room, moves nothing on, or makes nothing good."""
        if not self.places > 0 or (self.batch is not None and self.batch < 1) or not 0 < self.expected_yield <= 1:
            raise ValueError("a step: places and batch above 0, expected_yield above 0 and at most 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A sellable article. `name` may be a pattern (`GIFT-*`); `make` False means: never produced."""

    name: str
    make: bool
    route: tuple[Step, ...] = ()
    match: Callable[[Mapping[str, object]], bool] | None = None

    @property
    def priced_by(self) -> str | None:
        """Give the family whose run gives this article's price, promise and campaign; None where nothing is made."""
        driving = [step.family for step in self.route if step.drives_price]
        every = [step.family for step in self.route]
        return next(iter(driving or every), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """How a run begins: whether a first piece is held for approval, and the tool a machine must name as fitted.

    confirm: a named person, or the machine by its tool, says that the set-up is done; else the machine changes
    over by itself.
    """

    first_piece: bool = False
    tool_code: str | None = None
    confirm: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Changeover:
    """Seconds of the change to a family: from certain families, and from any other."""

    default_s: float = 0.0
    from_s: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, before: str | None) -> float:
        """Give the change from the family that is set up now, None where nothing is known to be."""
        return self.default_s if before is None else self.from_s.get(before, self.default_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What must be there before a run starts: stock per good piece by item, and tools used by one run at a time."""

    material: Mapping[str, float] = field(default_factory=dict)
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Products that share one set-up, the machines that can make them, and how their work is gathered.

    static_days: the fixed lead. setup None: nothing is done by people before the first piece. station: a
    person works here.
    """

    name: str
    machines: tuple[str, ...]
    static_days: int
    pieces_per_cycle: int = 1
    remake_limit: int = 3
    policy: Policy = Policy.STATIC
    run: RunRules = MAKE_TO_ORDER
    setup: Setup | None = None
    changeover: Changeover = field(default_factory=Changeover)
    needs: Needs = field(default_factory=Needs)
    station: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Everything the factory can make, looked up by article number."""

    products: tuple[Product, ...]
    families: Mapping[str, Family]

    def find(self, skus: tuple[str, ...], line: Mapping[str, object]) -> Product | None:
        """Find the product: exact article number first, then patterns, then `match:` expressions."""
        exact = {product.name: product for product in self.products if not product.match}
        for sku in skus:
            if sku in exact:
                return exact[sku]
        for product in self.products:
            if product.match is None and any(fnmatchcase(sku, product.name) for sku in skus):
                return product
        for product in self.products:
            if product.match is not None and product.match({"line": line}):
                return product
        return None
