"""What the factory sells and how an article becomes work: products, routes, families."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from drivers.base import Scalar

Expression = Callable[[Mapping[str, object]], Scalar]


class ExpressionFaultError(ValueError):
    """An expression met a value it has no answer for: the line is set aside with this text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One operation of a route: what is done, in which family, by which recipe with which parameters.

    `parameters` are compiled expressions over `{"line": {...}, "order": {...}}`; each raises
    `ExpressionFaultError` with a readable text when the line does not carry what it needs.
    """

    operation: str
    family: str
    recipe: str
    parameters: Mapping[str, Expression]


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A sellable article. `name` may be a pattern (`GIFT-*`); `make` False means: never produced."""

    name: str
    make: bool
    route: tuple[Step, ...] = ()
    match: Callable[[Mapping[str, object]], bool] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Products that share one set-up, the machines that can make them, and the promised lead time."""

    name: str
    machines: tuple[str, ...]
    static_days: int
    pieces_per_cycle: int = 1
    remake_limit: int = 3


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
