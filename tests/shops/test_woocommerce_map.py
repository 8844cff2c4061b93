"""A row of WooCommerce becomes an order; what is broken is set aside alone, with its reason."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.orders import LineKind, ShopLine, ShopOrder
from gateway.shops.fields import to_minor
from gateway.shops.options import OptionFaultError, flatten
from gateway.shops.woocommerce_map import MapSettings, to_order
from tests.shops.rows import a_line_row, a_refund, a_row, meta

SETTINGS = MapSettings(channel="webshop", currency="SEK", personal=("billing.email", "shipping.city", "billing.age"))


def mapped(row: Any = None, refunds: Any = (), **fields: Any) -> ShopOrder:
    return to_order(a_row(**fields) if row is None else row, SETTINGS, refunds)


def line_of(**fields: Any) -> ShopLine:
    return mapped(line_items=[a_line_row(**fields)]).lines[0]


def test_a_whole_row_becomes_an_order() -> None:
    assert mapped() == ShopOrder(
        shop_order_id="1001",
        number="1001",
        channel="webshop",
        currency="SEK",
        placed_at=datetime(2026, 5, 4, 8, 0, tzinfo=UTC),
        status="processing",
        payment="invoice",
        cancelled=False,
        lines=(
            ShopLine(
                shop_line_id="7",
                kind=LineKind.ARTICLE,
                skus=("TRAY-12",),
                name='Bricka "Åsa" – blå',
                quantity=3,
                unit_price_minor=14900,
                options={"width_mm": "60.5"},
            ),
            ShopLine(
                shop_line_id="shipping-8",
                kind=LineKind.CHARGE,
                skus=(),
                name="Frakt",
                quantity=1,
                unit_price_minor=4900,
            ),
            ShopLine(
                shop_line_id="fee-9",
                kind=LineKind.CHARGE,
                skus=(),
                name="Avgift",
                quantity=1,
                unit_price_minor=-1001,
            ),
        ),
        personal={"billing.email": "asa@example.com", "shipping.city": "Lund"},
    )


def test_personal_data_that_is_not_allowed_is_in_no_field_of_the_order() -> None:
    text = repr(mapped())
    for private in ("040-1", "192.0.2.7", "Ring på", "wc_order_1001", "first_name", "_secret"):
        assert private not in text
    assert to_order(a_row(), MapSettings(channel="w", currency="SEK")).personal == {}


@pytest.mark.parametrize("status", ["cancelled", "refunded", "failed", "trash"])
def test_an_order_in_an_ended_state_is_cancelled(status: str) -> None:
    assert mapped(status=status).cancelled


@pytest.mark.parametrize("status", ["pending", "on-hold", "processing", "completed", "my-own-state"])
def test_any_other_state_is_passed_on_in_the_shops_own_word(status: str) -> None:
    order = mapped(status=status)
    assert (order.status, order.cancelled, order.fault) == (status, False, None)


def test_refunded_pieces_are_taken_off_and_the_price_per_piece_stays() -> None:
    line = mapped(refunds=[a_refund(), a_refund(line_id="7")]).lines[0]
    assert (line.quantity, line.unit_price_minor, line.fault) == (1, 14900, None)


def test_a_refund_of_money_only_takes_no_pieces() -> None:
    order = mapped(refunds=[a_refund(line_id=None, quantity=0), {"id": 5, "amount": "1.00", "line_items": []}])
    assert (order.lines[0].quantity, order.fault) == (3, None)


@pytest.mark.parametrize(
    ("refund", "named"),
    [
        (a_refund(line_id=None), "which line was refunded"),
        (a_refund(line_id=999), "a line that is not in the order"),
        (a_refund(quantity="-1"), "refunds.line_items.quantity"),
        ("x", "refunds."),
    ],
)
def test_a_refund_that_is_not_understood_sets_the_order_aside(refund: Any, named: str) -> None:
    assert named in str(mapped(refunds=[refund]).fault)


def test_more_refunded_than_ordered_sets_the_line_aside() -> None:
    line = mapped(refunds=[a_refund(quantity=-4)]).lines[0]
    assert (line.quantity, line.fault) == (0, "quantity: is less than what was refunded")


@pytest.mark.parametrize(
    ("total", "quantity", "currency", "expected"),
    [
        ("100.00", 3, "SEK", 3333),
        ("0.05", 10, "SEK", 1),
        ("100.0049", 1, "SEK", 10000),
        ("12500", 1, "JPY", 12500),
        ("1.2345", 1, "KWD", 1235),
        (Decimal("396.875"), 1, "SEK", 39688),
        (149, 1, "SEK", 14900),
    ],
)
def test_prices_are_exact_minor_units_rounded_once(total: Any, quantity: int, currency: str, expected: int) -> None:
    row = a_row(currency=currency, line_items=[a_line_row(total=total, quantity=quantity)])
    line = to_order(row, MapSettings(channel="w", currency=currency)).lines[0]
    assert (line.unit_price_minor, line.fault) == (expected, None)


def test_money_never_passes_through_a_float() -> None:
    assert to_minor(Decimal("9007199254740993.01"), currency="SEK") == 900719925474099301


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", "3"),
        ("quantity", Decimal("1.5")),
        ("quantity", -1),
        ("quantity", True),
        ("quantity", None),
        ("quantity", 10**30),
        ("total", "abc"),
        ("total", "1e400"),
        ("total", "-5.00"),
        ("total", None),
        ("sku", 12),
        ("sku", "TRAY\x00"),
        ("name", None),
        ("name", "x\ud800"),
        ("name", "x" * 501),
        ("id", None),
        ("id", "7"),
        ("meta_data", {"key": "a"}),
        ("meta_data", ["a"]),
        ("meta_data", [{"id": 1, "value": "a"}]),
    ],
)
def test_a_broken_field_sets_only_its_line_aside_and_is_named(field: str, value: Any) -> None:
    order = mapped(line_items=[a_line_row(), a_line_row(id=77) | {field: value}])
    good, bad = order.lines[:2]
    assert order.fault is None
    assert good.fault is None
    assert str(bad.fault).startswith(f"{field}: ")


@pytest.mark.parametrize("field", ["id", "quantity", "total", "name"])
def test_a_renamed_field_sets_only_its_line_aside_and_is_named(field: str) -> None:
    row = a_line_row()
    row["renamed"] = row.pop(field)
    order = mapped(line_items=[row, a_line_row(id=78)])
    assert order.fault is None
    assert order.lines[0].fault == f"{field}: is missing, not {_wanted(field)}"
    assert order.lines[1].fault is None


def _wanted(field: str) -> str:
    return {
        "id": "a number above zero",
        "quantity": "a whole number",
        "total": "an amount of money",
        "name": "a text",
    }[field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", 1001),
        ("status", None),
        ("status", ""),
        ("currency", None),
        ("currency", "EUR"),
        ("payment_method", []),
        ("date_created_gmt", None),
        ("date_created_gmt", "2026-13-04T10:00:00"),
        ("date_created_gmt", "yesterday"),
        ("date_modified_gmt", 5),
        ("line_items", None),
        ("line_items", {}),
        ("line_items", [a_line_row()] * 501),
        ("shipping_lines", "x"),
        ("id", "1001"),
        ("id", None),
    ],
)
def test_a_broken_field_of_the_order_sets_the_order_aside_and_is_named(field: str, value: Any) -> None:
    assert f"{field}: " in str(mapped(**{field: value}).fault)


def test_an_order_without_an_id_is_kept_under_a_made_up_one_that_stays_the_same() -> None:
    first, edited = mapped(id=None), mapped(id=None, status="completed")
    other = mapped(a_row(1002) | {"id": None})
    assert first.shop_order_id.startswith("no-id-")
    assert first.shop_order_id == edited.shop_order_id
    assert first.shop_order_id != other.shop_order_id
    assert "id: is empty" in str(first.fault)


def test_two_rows_under_one_id_never_count_as_one() -> None:
    lines = mapped(line_items=[a_line_row(), a_line_row()]).lines
    assert lines[0].fault is None
    assert "given twice" in str(lines[1].fault)
    assert lines[0].shop_line_id != lines[1].shop_line_id


def test_a_line_without_article_number_is_no_fault_of_the_row() -> None:
    for sku in (None, "", "  "):
        line = line_of(sku=sku)
        assert (line.skus, line.fault) == ((), None)


def test_a_bundled_line_names_its_bundle() -> None:
    by_field = [a_line_row(), a_line_row(id=78, bundled_by=7), a_line_row(id=79, bundled_by="")]
    assert [line.parent_line_id for line in mapped(line_items=by_field).lines[:3]] == [None, "7", None]
    by_cart_key = [
        a_line_row(meta_data=meta(_bundle_cart_key="c0ffee")),
        a_line_row(id=78, meta_data=meta(_bundled_by="c0ffee")),
    ]
    assert [line.parent_line_id for line in mapped(line_items=by_cart_key).lines[:2]] == [None, "7"]


def test_an_unknown_extra_field_changes_nothing() -> None:
    assert mapped(brand_new={"a": 1}) == mapped()


# Options


def test_options_are_flattened_sensibly() -> None:
    rows = meta(
        engraving='Åsa & "Bo"',
        width_mm="60.5",
        count=4,
        ratio=Decimal("0.5"),
        gift=True,
        size={"w": 10, "h": {"mm": 20}, "_id": 3},
        tags=["a", "b", 3],
        parts=[{"sku": "A"}, {"sku": "B"}],
        nothing=None,
        empty=[],
        blank="",
        _hidden="x",
    )
    assert flatten(rows) == {
        "engraving": 'Åsa & "Bo"',
        "width_mm": "60.5",
        "count": 4,
        "ratio": 0.5,
        "gift": True,
        "size.w": 10,
        "size.h.mm": 20,
        "tags": "a, b, 3",
        "parts.0.sku": "A",
        "parts.1.sku": "B",
        "blank": "",
    }


def test_a_key_given_twice_is_kept_apart_unless_it_says_the_same() -> None:
    twice = [{"key": "text", "value": "A"}, {"key": "text", "value": "B"}, {"key": "colour", "value": "red"}]
    assert flatten(twice) == {"text.0": "A", "text.1": "B", "colour": "red"}
    assert flatten([twice[0], twice[0]]) == {"text": "A"}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (meta(text="x" * 2001), "text is longer than 2000"),
        (meta(**{"k" * 101: "x"}), "a name that cannot be used"),
        (meta(**{f"k{n}": "x" for n in range(65)}), "more than 64 options"),
        (meta(many=[{"a": str(n)} for n in range(65)]), "more than 64 options"),
        ([{"key": "a", "value": "x"}] * 501, "more than 500 entries"),
        (meta(deep={"a": {"b": {"c": {"d": 1}}}}), "nested too deep"),
        (meta(text="a\x00b"), "text holds characters"),
        (meta(text="\udcff"), "text holds characters"),
        (meta(big=2**63), "big is not a usable value"),
        (meta(big=Decimal("1e30")), "big is not a usable value"),
    ],
)
def test_options_beyond_their_bounds_are_refused_by_name(rows: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(OptionFaultError, match=why):
        flatten(rows)


# Whatever comes


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["1e400", "\x00", "\ud800", "", "9" * 5000, "2026-05-04T10:00:00", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ORDER_FIELDS = sorted(a_row())
LINE_FIELDS = [*sorted(a_line_row()), "bundled_by"]


@st.composite
def mangled_rows(draw: st.DrawFn) -> Any:
    row = a_row() | {name: draw(JSON) for name in draw(st.lists(st.sampled_from(ORDER_FIELDS), max_size=3))}
    if isinstance(row["line_items"], list):
        broken = a_line_row() | {name: draw(JSON) for name in draw(st.lists(st.sampled_from(LINE_FIELDS), max_size=3))}
        row["line_items"] = [*row["line_items"], broken, draw(JSON)]
    for name in draw(st.lists(st.sampled_from(ORDER_FIELDS), max_size=2)):
        row.pop(name, None)
    return draw(st.just(row) | JSON)


@settings(max_examples=400, deadline=None)
@given(row=mangled_rows(), refunds=st.lists(JSON | st.builds(a_refund, JSON, JSON), max_size=3))
def test_whatever_comes_becomes_an_order_that_can_be_stored(row: Any, refunds: list[Any]) -> None:
    order = to_order(row, SETTINGS, refunds)
    assert order.shop_order_id
    assert order.placed_at.tzinfo is UTC
    assert len({line.shop_line_id for line in order.lines}) == len(order.lines)
    assert all(line.quantity >= 0 for line in order.lines)
    for text in texts_of(dataclasses.asdict(order)):
        text.encode("utf-8")
        assert "\x00" not in text
    if not isinstance(row, dict):
        assert order.fault


def texts_of(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for pair in value.items() for each in pair for text in texts_of(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in texts_of(each)]
    return []


def test_a_quote_is_read_from_the_row_or_else_from_the_order_and_is_no_option() -> None:
    rows = [a_line_row(meta_data=meta(_kvot_quote="Q1-2.with_run.aa")), a_line_row(id=78)]
    order = to_order(a_row(meta_data=meta(_kvot_quote="Q1-1.own_run.bb"), line_items=rows), SETTINGS)
    articles = [line for line in order.lines if line.kind is LineKind.ARTICLE]
    assert [line.quote for line in articles] == ["Q1-2.with_run.aa", "Q1-1.own_run.bb"]
    assert all("_kvot_quote" not in line.options for line in articles)
    assert [line.quote for line in order.lines if line.kind is LineKind.CHARGE] == ["", ""]


@pytest.mark.parametrize("named", [None, {"a": 1}, ["x"], "x" * 10_000, True, 1.5])
def test_whatever_an_order_names_as_its_quote_it_is_taken(named: object) -> None:
    order = to_order(a_row(meta_data=[{"key": "_kvot_quote", "value": named}]), SETTINGS)
    assert order.fault is None
    assert all(len(line.quote) <= 250 for line in order.lines)
