"""Every row of a shop's order ends in a state, whatever the shop sends; what is not understood is never guessed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Scalar
from drivers.profile import Limit, Recipe
from gateway.domain.intake import Catalogue, DueRule, LinePlan, content_hash, promise_of, read_order
from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.domain.products import ExpressionFaultError, Family, Product, Range, Step
from gateway.domain.states import LINE_FIRST, LineState

PLACED = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
RULE = DueRule(states=frozenset({"processing", "completed"}), methods=frozenset({"invoice"}))


def _width(variables: Any) -> Scalar:
    try:
        return float(variables["line"]["options"].get("width_mm", 60))
    except ValueError as fault:
        raise ExpressionFaultError("line.options.width_mm: no number") from fault


def _is_engraved(variables: Any) -> bool:
    engraving = variables["line"]["options"].get("engraving", "")
    if not isinstance(engraving, str):
        raise ExpressionFaultError("line.options.engraving: not a text")
    return engraving != ""


RECIPE = Recipe(version="1", parameters={"width_mm": Limit(min=20, max=400, unit="mm")})
NARROW = Recipe(version="1", parameters={"width_mm": Limit(min=20, max=100, unit="mm")})
STEP = Step(operation="make", family="white", recipe="tray", parameters={"width_mm": _width})
CATALOGUE = Catalogue(
    range=Range(
        products=(
            Product(name="TRAY-12", make=True, route=(STEP,)),
            Product(name="TRAY-*", make=True, route=(STEP, STEP)),
            Product(name="GIFT-*", make=False),
            Product(name="engraved", make=True, route=(STEP,), match=_is_engraved),
        ),
        families={"white": Family(name="white", machines=("press-1", "press-2"), static_days=5)},
    ),
    recipe=lambda machine, _recipe: RECIPE if machine == "press-1" else NARROW,
)


def a_line(**fields: Any) -> ShopLine:
    whole: dict[str, Any] = {
        "shop_line_id": "1",
        "kind": LineKind.ARTICLE,
        "skus": ("TRAY-12",),
        "name": "Tray",
        "quantity": 2,
        "unit_price_minor": 14900,
    }
    return ShopLine(**(whole | fields))


def an_order(*lines: ShopLine, **fields: Any) -> ShopOrder:
    whole: dict[str, Any] = {
        "shop_order_id": "1001",
        "number": "1001",
        "channel": "webshop",
        "currency": "SEK",
        "placed_at": PLACED,
        "status": "processing",
        "payment": "card",
        "cancelled": False,
        "lines": lines or (a_line(),),
    }
    return ShopOrder(**(whole | fields))


def _read(order: ShopOrder) -> tuple[LinePlan, ...]:
    return read_order(order, shop="webshop", rule=RULE, catalogue=CATALOGUE)


def _one(**fields: Any) -> LinePlan:
    (plan,) = _read(an_order(a_line(**fields)))
    return plan


# Whatever the shop sends ---------------------------------------------------------------------------

SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
SKUS = st.lists(st.sampled_from(["TRAY-12", "TRAY-99", "GIFT-1", "", "NEW", "[", "*", "TRAY-12\0"]), max_size=3)
LINES = st.builds(
    ShopLine,
    shop_line_id=st.text(max_size=4),
    kind=st.sampled_from(LineKind),
    skus=SKUS.map(tuple),
    name=st.text(max_size=8),
    quantity=st.integers(0, 10**6),
    unit_price_minor=st.integers(),
    options=st.dictionaries(st.sampled_from(["width_mm", "engraving", "x"]), SCALARS, max_size=3),
    fault=st.none() | st.just("id: is missing"),
)
ORDERS = st.builds(
    ShopOrder,
    shop_order_id=st.text(max_size=4),
    number=st.text(max_size=4),
    channel=st.just("webshop"),
    currency=st.sampled_from(["SEK", ""]),
    placed_at=st.just(PLACED),
    status=st.sampled_from(["processing", "pending", "on-hold", "", "cancelled"]),
    payment=st.sampled_from(["card", "invoice", ""]),
    cancelled=st.booleans(),
    lines=st.lists(LINES, max_size=4).map(tuple),
    hold=st.none() | st.just("fraud check"),
    fault=st.none() | st.just("currency: is not SEK"),
)


@settings(deadline=None)
@given(ORDERS)
def test_every_row_ends_in_a_first_state_and_nothing_raises(order: ShopOrder) -> None:
    plans = _read(order)
    assert [plan.line for plan in plans] == list(order.lines)
    assert [plan.position for plan in plans] == list(range(1, len(plans) + 1))
    for plan in plans:
        assert plan.state in LINE_FIRST
        assert (plan.trouble is not None) == (plan.state is LineState.QUARANTINED)
        assert bool(plan.requirements) == (plan.state is LineState.RECEIVED)
        assert (plan.reason is None) == (plan.state is LineState.RECEIVED)


@settings(deadline=None)
@given(ORDERS)
def test_only_what_may_be_made_now_is_made(order: ShopOrder) -> None:
    for plan in _read(order):
        if plan.state is LineState.RECEIVED:
            assert not order.cancelled
            assert RULE.hold(order) is None
            assert order.fault is None
            assert plan.line.fault is None
            assert plan.line.kind is LineKind.ARTICLE
            assert {need.quantity for need in plan.requirements} == {plan.line.quantity}
            assert plan.line.quantity > 0


@settings(deadline=None)
@given(ORDERS)
def test_every_parameter_that_is_asked_for_is_within_the_limits_of_every_machine(order: ShopOrder) -> None:
    for plan in _read(order):
        for need in plan.requirements:
            assert RECIPE.faults(need.parameters) == ()
            assert NARROW.faults(need.parameters) == ()


@settings(deadline=None)
@given(ORDERS)
def test_the_same_content_has_the_same_fingerprint_and_a_change_has_another(order: ShopOrder) -> None:
    assert content_hash(order) == content_hash(replace(order))
    assert content_hash(order) != content_hash(replace(order, status=order.status + "x"))
    assert content_hash(order) != content_hash(replace(order, lines=(*order.lines, a_line(shop_line_id="added"))))


# One thing at a time -------------------------------------------------------------------------------


def test_an_article_becomes_a_requirement_with_its_parameters() -> None:
    plan = _one(options={"width_mm": "60.5"})
    (need,) = plan.requirements
    assert (plan.state, plan.product) == (LineState.RECEIVED, "TRAY-12")
    assert (need.family, need.recipe, need.recipe_version, need.quantity) == ("white", "tray", "1", 2)
    assert need.parameters == {"width_mm": 60.5}


def test_freight_and_fees_are_not_made_even_when_they_are_not_understood_or_cancelled() -> None:
    charge = a_line(kind=LineKind.CHARGE, fault="total: is missing")
    assert [plan.state for plan in _read(an_order(charge))] == [LineState.NOT_MADE]
    assert [plan.state for plan in _read(an_order(charge, cancelled=True))] == [LineState.NOT_MADE]


def test_a_line_refunded_in_full_is_cancelled() -> None:
    plan = _one(quantity=0)
    assert (plan.state, plan.reason) == (LineState.CANCELLED, "refunded in full")


def test_a_cancelled_order_is_cancelled_even_where_it_is_not_understood() -> None:
    order = an_order(a_line(fault="sku: is a list"), cancelled=True, fault="currency: is not SEK")
    assert [plan.state for plan in _read(order)] == [LineState.CANCELLED]


def test_a_faulty_row_is_set_aside_alone() -> None:
    plans = _read(an_order(a_line(), a_line(shop_line_id="2", fault="quantity: is a text")))
    assert [plan.state for plan in plans] == [LineState.RECEIVED, LineState.QUARANTINED]
    assert plans[1].trouble is not None
    assert plans[1].trouble.subject == "order:webshop/1001/2"


def test_a_faulty_order_sets_aside_every_article() -> None:
    plans = _read(an_order(a_line(), a_line(shop_line_id="2"), fault="currency: is EUR"))
    assert {plan.state for plan in plans} == {LineState.QUARANTINED}


def test_an_unknown_article_is_named_by_its_number_or_else_by_its_name() -> None:
    numbered, named = _one(skus=("NEW-1", "NEW")), _one(skus=(), name="Vase")
    assert numbered.trouble is not None
    assert numbered.trouble.subject == "sku:webshop/NEW-1"
    assert named.trouble is not None
    assert named.trouble.subject == "sku:webshop/Vase"


def test_an_unpaid_unknown_article_waits_for_its_payment_first() -> None:
    (plan,) = _read(an_order(a_line(skus=("NEW-1",)), status="pending"))
    assert (plan.state, plan.trouble) == (LineState.NOT_DUE, None)


def test_an_exact_number_comes_before_a_pattern_and_a_pattern_before_a_condition() -> None:
    assert _one(skus=("TRAY-12",)).product == "TRAY-12"
    assert len(_one(skus=("TRAY-99",)).requirements) == 2
    assert _one(skus=("GIFT-1",), options={"engraving": "Åsa"}).state is LineState.NOT_MADE
    assert _one(skus=("NEW-1",), options={"engraving": "Åsa"}).product == "engraved"


def test_a_condition_that_cannot_be_computed_sets_that_line_aside() -> None:
    plan = _one(skus=("NEW-1",), options={"engraving": 7})
    assert plan.state is LineState.QUARANTINED
    assert "engraving: not a text" in (plan.reason or "")


def test_a_limit_of_any_machine_of_the_family_counts() -> None:
    plan = _one(options={"width_mm": 250})  # press-1 could, press-2 could not
    assert plan.state is LineState.QUARANTINED
    assert "above 100 mm" in (plan.reason or "")


@pytest.mark.parametrize("width", ["abc", "nan", "inf", "-1", 19.9, 400.1])
def test_a_parameter_that_is_no_number_or_out_of_limits_sets_the_line_aside(width: Scalar) -> None:
    assert _one(options={"width_mm": width}).state is LineState.QUARANTINED


# When an order is due ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "payment", "due"),
    [
        ("processing", "card", True),
        ("completed", "", True),
        ("pending", "card", False),
        ("pending", "invoice", True),
        ("on-hold", "invoice", True),
        ("checkout-draft", "invoice", False),
        ("unheard-of", "invoice", False),
        ("", "", False),
    ],
)
def test_an_order_is_due_when_it_is_paid_or_authorised(status: str, payment: str, due: bool) -> None:
    assert (RULE.hold(an_order(status=status, payment=payment)) is None) == due


def test_a_hold_in_the_shop_outranks_its_payment() -> None:
    assert RULE.hold(an_order(hold="fraud check")) == "fraud check"


def test_the_promise_is_the_longest_of_the_families_counted_from_the_given_time() -> None:
    plan = _one()
    families = CATALOGUE.range.families
    assert promise_of(plan.requirements, counted_from=PLACED, families=families) == PLACED + timedelta(days=5)
    assert promise_of((), counted_from=PLACED, families=families) is None
