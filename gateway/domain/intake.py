"""A shop's order becomes lines with a state and requirements; what is not understood is set aside, never guessed."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from drivers.base import Scalar
from drivers.profile import Recipe
from gateway.domain.exceptions import Kind
from gateway.domain.files import WantedFile
from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.domain.products import Expression, ExpressionFaultError, Family, Product, Range, Step
from gateway.domain.runs import upstream
from gateway.domain.states import LineState

UNKNOWN_ARTICLE = Kind.UNKNOWN_ARTICLE.cause
RecipeOf = Callable[[str, str], Recipe]  # (machine, recipe name) -> the machine type's recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class DueRule:
    """When an order may be made: the shop's states, or payment methods that need no money first.

    A listed method counts only in `method_states`, so that a basket never becomes a job.
    """

    states: frozenset[str]
    methods: frozenset[str] = frozenset()
    method_states: frozenset[str] = frozenset({"pending", "on-hold"})

    def hold(self, order: ShopOrder, *, let_in: str | None = None) -> str | None:
        """Say why this order may not be made yet, or None; `let_in` is the reason that a person has overruled."""
        why = self._hold(order)
        return None if why == let_in else why

    def _hold(self, order: ShopOrder) -> str | None:
        if order.hold is not None:
            return order.hold
        if order.status in self.states:
            return None
        if order.payment in self.methods and order.status in self.method_states:
            return None
        return f"the shop says {order.status!r}, paid by {order.payment or 'nothing yet'!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """What one step of one line must yield: pieces of a recipe with parameters, in a family."""

    component: int
    step: int
    operation: str
    family: str
    setup_key: str
    recipe: str
    recipe_version: str
    parameters: Mapping[str, Scalar]
    quantity: int
    places: float = 1.0  # what a piece takes of a run
    batch: int | None = None  # pieces that come from the step before together; None: all at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why a line is set aside: one exception per subject and cause, however many lines share it."""

    subject: str
    kind: Kind
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LinePlan:
    """What becomes of one row: its state and reason, and when it is to be made, what must be made."""

    line: ShopLine
    position: int
    product: str | None
    state: LineState
    reason: str | None = None
    trouble: Trouble | None = None
    requirements: tuple[Requirement, ...] = ()
    files: tuple[WantedFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """What is needed to read a line: the articles, their families, and the recipes of each machine."""

    range: Range
    recipe: RecipeOf


def content_hash(order: ShopOrder) -> str:
    """Fingerprint everything we use of an order; an echo of our own write-back has the same one."""
    content = {name: value for name, value in asdict(order).items() if name != "told"}
    return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def read_order(
    order: ShopOrder, *, shop: str, rule: DueRule, catalogue: Catalogue, let_in: str | None = None
) -> tuple[LinePlan, ...]:
    """Decide for each row of an order what becomes of it."""
    hold = rule.hold(order, let_in=let_in)
    return tuple(
        _read_line(line, position, order=order, shop=shop, hold=hold, catalogue=catalogue)
        for position, line in enumerate(order.lines, start=1)
    )


def promise_of(
    requirements: tuple[Requirement, ...], *, counted_from: datetime, families: Mapping[str, Family]
) -> datetime | None:
    """Give the promise of a line: the longest of its families' static days, counted from placing or late payment."""
    days = [families[requirement.family].static_days for requirement in requirements]
    return counted_from + timedelta(days=max(days)) if days else None


def _read_line(
    line: ShopLine, position: int, *, order: ShopOrder, shop: str, hold: str | None, catalogue: Catalogue
) -> LinePlan:
    def plan(state: LineState, product: str | None = None, reason: str | None = None, **more: object) -> LinePlan:
        return LinePlan(line=line, position=position, product=product, state=state, reason=reason, **more)  # type: ignore[arg-type]

    def aside(subject: str, kind: Kind, evidence: str, product: str | None = None) -> LinePlan:
        trouble = Trouble(subject=subject, kind=kind, evidence=evidence)
        return plan(LineState.QUARANTINED, product, f"{kind.cause}: {evidence}", trouble=trouble)

    here = f"order:{shop}/{order.shop_order_id}"
    if line.kind is LineKind.CHARGE:
        return plan(LineState.NOT_MADE, reason="freight or fee")
    if order.cancelled:
        return plan(LineState.CANCELLED, reason="cancelled in the shop")
    if line.fault is not None or order.fault is not None:
        return aside(f"{here}/{line.shop_line_id}", Kind.NOT_UNDERSTOOD, line.fault or order.fault or "")
    values = _variables(line, order)
    try:
        product = catalogue.range.find(line.skus, values["line"])
    except ExpressionFaultError as fault:
        return aside(f"{here}/{line.shop_line_id}", Kind.BAD_PARAMETER, f"match: {fault}")
    if product is not None and not product.make:
        return plan(LineState.NOT_MADE, product.name, "not made here")
    if line.quantity == 0:
        return plan(LineState.CANCELLED, product.name if product else None, "refunded in full")
    if hold is not None:
        return plan(LineState.NOT_DUE, product.name if product else None, hold)
    if product is None:
        named = line.skus[0] if line.skus else line.name
        return aside(f"sku:{shop}/{named}", Kind.UNKNOWN_ARTICLE, f"{named!r} is not under products:")
    try:
        requirements = tuple(
            _require(step, index, quantity=quantity, values=values, catalogue=catalogue)
            for index, (step, quantity) in enumerate(
                zip(product.route, _quantities(line, product), strict=True), start=1
            )
        )
        files = tuple(_files(product, values))
    except ExpressionFaultError as fault:
        return aside(f"{here}/{line.shop_line_id}", Kind.BAD_PARAMETER, _without_addresses(str(fault)), product.name)
    return plan(LineState.RECEIVED, product.name, requirements=requirements, files=files)


def _variables(line: ShopLine, order: ShopOrder) -> dict[str, dict[str, object]]:
    """Give the names an expression may use."""
    return {
        "line": {
            "sku": line.skus[0] if line.skus else "",
            "name": line.name,
            "quantity": line.quantity,
            "options": dict(line.options),
        },
        "order": {"number": order.number, "channel": order.channel, "currency": order.currency},
    }


def _files(product: Product, values: Mapping[str, object]) -> Iterator[WantedFile]:
    """Compute where each file of the line is and how large it is to be; an empty address means there is none."""
    for index, step in enumerate(product.route, start=1):
        for rules in step.files:
            try:
                if (url := str(rules.url(values)).strip()) == "":
                    continue
                width_mm, height_mm = _side(rules.width_mm, values), _side(rules.height_mm, values)
            except ExpressionFaultError as fault:
                raise ExpressionFaultError(f"file {rules.name}: {fault}") from fault
            yield WantedFile(step=index, name=rules.name, url=url, width_mm=width_mm, height_mm=height_mm)


def _side(expression: Expression | None, values: Mapping[str, object]) -> float | None:
    if expression is None:
        return None
    if not (side := float(expression(values))) > 0:
        raise ExpressionFaultError("width_mm and height_mm must be above 0")
    return side


def _without_addresses(text: str) -> str:
    """Take web addresses out of a text that people see: one may let everybody in who knows it."""
    return re.sub(r"https?:[^\s'\"]*", "(an address)", text, flags=re.IGNORECASE)


def _quantities(line: ShopLine, product: Product) -> list[int]:
    """Give the pieces each step must make good, so that after what later steps lose the line's quantity is left."""
    yields = [step.expected_yield for step in product.route]
    return [upstream(line.quantity, yields[index + 1 :]) for index in range(len(yields))]


def _require(
    step: Step,
    index: int,
    *,
    quantity: int,
    values: Mapping[str, object],
    catalogue: Catalogue,
) -> Requirement:
    """Compute the parameters of one step and check them against the recipe of every machine that may make it."""
    parameters: dict[str, Scalar] = {}
    for name, expression in step.parameters.items():
        try:
            parameters[name] = expression(values)
        except ExpressionFaultError as fault:
            raise ExpressionFaultError(f"{name}: {fault}") from fault
    recipes = [catalogue.recipe(machine, step.recipe) for machine in catalogue.range.families[step.family].machines]
    faults = sorted({fault for recipe in recipes for fault in recipe.faults(parameters)})
    if faults:
        raise ExpressionFaultError("; ".join(faults))
    return Requirement(
        component=1,
        step=index,
        operation=step.operation,
        family=step.family,
        setup_key=step.family,
        recipe=step.recipe,
        recipe_version=recipes[0].version,
        parameters=parameters,
        quantity=quantity,
        places=step.places,
        batch=step.batch,
    )
