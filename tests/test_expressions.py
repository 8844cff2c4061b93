"""Formulas over an order line: what they give, what they refuse, and in which words."""

import logging
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.products import ExpressionFaultError
from gateway.expressions import Expression, ExpressionError, MissingValueError, compile_expression

OPTIONS: dict[str, object] = {
    "width_mm": "60,5",
    "height": 12,
    "depth": 1.5,
    "engraving": "  Åsa & Bo ",
    "Färg": "röd",
    "a.b": "dotted",
    "empty": "",
    "gift": True,
    "colour": "red",
}
LINE: dict[str, object] = {"sku": "TRAY-12", "name": "Bricka", "quantity": 3}
ORDER = {"number": "1001", "channel": "webshop", "currency": "SEK"}


def value(source: str, **options: object) -> object:
    line = {**LINE, "options": {**OPTIONS, **options}}
    return compile_expression(source)({"line": line, "order": ORDER})


def fault(source: str, **options: object) -> str:
    with pytest.raises(ExpressionFaultError) as raised:
        value(source, **options)
    return str(raised.value)


def refusal(source: str, result: type | tuple[type, ...] = (bool, int, float, str)) -> str:
    with pytest.raises(ExpressionError) as raised:
        compile_expression(source, result=result)
    return str(raised.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("num(line.options.width_mm)", 60.5),
        ("num(line.options.width_mm) * 2.0", 121.0),
        ("num(line.quantity) * 1.5", 4.5),
        ("line.quantity * 2", 6),
        ("whole(line.options.height)", 12),
        ('whole("12,0")', 12),
        ("text(line.options.engraving, 20)", "Åsa & Bo"),
        ("text(line.options.height, 20)", "12"),
        ("text(1.50, 20)", "1.5"),
        ('line.options["Färg"]', "röd"),
        ('line.options["a.b"]', "dotted"),
        ('get(line.options, "missing", 5)', 5),
        ('get(line.options, "empty", "x")', "x"),
        ('get(line.options, "colour", "x")', "red"),
        ('line.options.colour == "red" ? 1 : 2', 1),
        ("has(line.options.missing) ? 1 : 0", 0),
        ("line.options.gift ? 1.0 : 2.0", 1.0),
        ('line.options.exists(key, key == "a.b")', True),
        ('kv([{"key": "a", "value": 1}, {"key": "b", "value": 2}], "key", "value").b', 2),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(num(line.options.width_mm) / 7.0, 2)", 8.64),
        ("ceil(line.options.width_mm)", 61),
        ("floor(line.options.width_mm)", 60),
        ("max(1, 2.5)", 2.5),
        ("min([3, 2])", 2),
        ("max(line.quantity, 5)", 5),
        ('order.currency + "-" + order.number', "SEK-1001"),
        ("size(line.name) > 3 && line.name.startsWith('B')", True),
    ],
)
def test_a_formula_gives_what_a_shop_owner_expects(source: str, expected: object) -> None:
    found = value(source)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("60,5", 60.5),
        ("60.5", 60.5),
        (" 60 ", 60),
        ("1 200,5", 1200.5),
        ("1\u00a0200", 1200),
        ("\u22125", -5),
        ("+3", 3),
        ("0,125", 0.125),
        ("1200,125", 1200.125),
        ("60.500", 60.5),
    ],
)
def test_numbers_are_read_the_way_shops_write_them(written: str, number: float) -> None:
    assert value("num(line.options.width_mm)", width_mm=written) == number


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("1,200", "'1,200' could be 1.2 or 1200"),
        ("60 mm", "'60 mm' is not a number"),
        ("", "is empty where a number is needed"),
        ("1e3", "'1e3' is not a number"),
        ("1.200,5", "'1.200,5' is not a number"),
        ("١٢", "is not a number"),
        ("nan", "is not a number"),
        ("9" * 30, "is too large a number"),
        ("9" * 50, "is not a number"),
        (True, "true is not a number"),
        (None, "nothing is not a number"),
        ([1], "is not a single number"),
        (math.inf, "is too large a number"),
    ],
)
def test_what_is_no_number_or_could_be_two_is_refused_and_named(written: object, words: str) -> None:
    found = fault("num(line.options.width_mm)", width_mm=written)
    assert found.startswith("line.options.width_mm: ")
    assert words in found


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("num(line.options.missing)", "line.options.missing is missing (there are: Färg, a.b, colour, depth"),
        ("line.options.Width_mm", "line.options.Width_mm is missing; did you mean 'width_mm'?"),
        ("line.options.a.b", 'line.options.a is missing; a name with dots is written line.options["a.b"]'),
        ('line.options["x y"]', 'line.options["x y"] is missing'),
        ("line.options.width_mm < 5", "(line.options.width_mm is the text '60,5'); use num(), whole() or text()"),
        ("text(line.options.engraving, 3)", "line.options.engraving: longer than 3 characters"),
        ("whole(line.options.depth)", "line.options.depth: 1.5 is not a whole number"),
        ("1 / (line.quantity - 3)", "divides by zero"),
        ("1.0 / (num(line.quantity) - 3.0)", "gives no finite number"),
        ("9223372036854775807 + line.quantity", "cannot be computed: Arithmetic overflow"),
        ("int(line.options.width_mm)", "cannot be computed: Function 'int' error"),
        ("[1, 2].map(x, x)", "gives a list where"),
        ('line.name.matches("(")', "cannot be computed: "),
    ],
)
def test_a_line_that_lacks_something_is_told_so_in_words(source: str, words: str) -> None:
    assert words in fault(source)


def test_a_missing_value_can_be_told_from_other_faults() -> None:
    with pytest.raises(MissingValueError):
        value("line.options.missing")


@pytest.mark.parametrize("written", ["two\nlines", "bell\x07", "right\u202eleft"])
def test_a_text_that_cannot_be_printed_is_refused(written: str) -> None:
    assert "cannot be printed" in fault("text(line.options.engraving, 20)", engraving=written)


def test_a_text_is_counted_in_composed_characters() -> None:
    assert value("text(line.options.engraving, 3)", engraving="A\u030asa") == "Åsa"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "not an expression, at character 1: mismatched input end"),
        ("num(", "not an expression, at character 5"),
        ("line.options.Färg", 'names with letters beyond a-z are written line.options["Färg"]'),
        ("lin.quantity", "unknown name 'lin'; did you mean 'line'?"),
        ("line.optons.x", "line has no 'optons'; did you mean 'options'?"),
        ('line["optons"].x', "line has no 'optons'"),
        ("order.nummer", "order has no 'nummer'; did you mean 'number'?"),
        ("nmu(1)", "unknown function nmu(); did you mean 'num'?"),
        ('timestamp("x")', "unknown function timestamp()"),
        ("cel.bind(x, 1, x)", "unknown function bind()"),
        ("num()", "num() takes 1 value, not 0"),
        ('text("a", 1, 2)', "text() takes 1 to 2 values, not 3"),
        ("max()", "max() takes 1 or more values, not 0"),
        ('text("a", "b")', "text(value, 20): the second value is the largest number of characters"),
        ('get(line.name, "x", 1)', "the first value must be a mapping"),
        ("round(1.5, 99)", "digits is a whole number from 0 to 9"),
        ("num(line.options.width_mm) * 2", "write 2.0 instead of 2 beside decimal numbers"),
        ("line.quantity * 1.5", "joins kinds of values that do not go together"),
        ('"a" + 1', "joins kinds of values that do not go together"),
        ("null", "gives nothing where"),
        ("line.options", "gives a mapping where"),
        ("line{a: 1}", "feature not enabled"),
        ("line.options.map(x, line.options.map(y, y))", "map() inside another list expression"),
        ("[1].filter (x, x > 0 && [[2]].exists( y , y == x))", "exists() inside another list expression"),
        ("[1].map(x, x).map(x, x).map(x, x)", "more than 2 of map, filter"),
        ("1" + " + 1" * 300, "longer than 1000 characters"),
        ("(" * 400 + "1" + ")" * 400, "not an expression"),
    ],
)
def test_a_formula_that_can_never_work_is_refused_when_it_is_compiled(source: str, words: str) -> None:
    assert words in refusal(source)


@pytest.mark.parametrize(
    "source",
    [
        "line.options.a + 1",
        "line.options.a + 1.0",
        'line.options.a + "x"',
        "line.options.a ? num(line.options.b) : 2.0",
        "line.options.a && line.options.b > 1.0",
        "100.0 / (num(line.options.a) - 7.0)",
        "1 / (line.quantity - 7)",
        'line.options.colour == "red" ? 1 : 2',
        'get(line.options, "x", 1) + 1',
        "line.options.a + line.options.b + line.options.c + line.options.d",
        "line.options.tags.exists(t, t == 'x')",
        '"map(x)" + line.name + ".map(y, y.map(z"',
    ],
)
def test_a_formula_that_some_line_can_satisfy_is_not_refused(source: str) -> None:
    compile_expression(source)


def test_a_result_has_the_type_that_was_asked_for() -> None:
    assert type(compile_expression("2", result=float)({})) is float
    assert type(compile_expression("2.0", result=int)({})) is int
    assert compile_expression("true", result=bool)({}) is True
    assert "gives true or false where a number is needed; use num(...)" in refusal("true", (int, float))
    assert "gives the text 'a' where true or false is needed" in refusal('"a"', bool)
    assert "gives the whole number 1 where a text is needed; use text(...)" in refusal("1", (str,))
    half = compile_expression("num(line.options.w)", result=int)
    with pytest.raises(ExpressionFaultError):
        half({"line": {"options": {"w": "0,5"}}})


def test_values_are_bounded_before_they_are_computed_with() -> None:
    assert "gives a text of more than 4096 characters" in fault("line.options.x", x="a" * 100_000)
    assert "longer than 20 characters" in fault("text(line.options.x, 20)", x="a" * 100_000)
    assert fault("size(line.options.x)", x=[1] * 101) == "line.options.x has more than 100 entries"
    assert (
        fault("size(line.options.x)", x={str(n): n for n in range(501)}) == "line.options.x has more than 500 entries"
    )
    nested: object = 1
    for _ in range(10):
        nested = [nested]
    assert "nested too deep" in fault("size(line.options.x)", x=nested)
    assert value("line.options.x > 1.0", x=10**30) is True
    assert "no finite number" in fault("line.options.x", x=10**400)


def test_the_costliest_allowed_formula_does_not_hold_the_gateway() -> None:
    source = "line.options.x.map(a, line.options.x + line.options.x).map(b, b + b)"
    started = time.process_time()
    fault(source, x=["y" * 100] * 100)
    assert time.process_time() - started < 5
    assert fault(source, x=["y" * 101] * 100) == "line.options.x has more than 10000 characters"


def test_the_fault_of_one_evaluation_does_not_reach_the_next() -> None:
    formula = compile_expression("num(line.options.a)")
    for options, words in (({"a": "x"}, "'x' is not a number"), ({}, "is missing"), ({"a": "y"}, "'y' is not")):
        with pytest.raises(ExpressionFaultError, match=words):
            formula({"line": {"options": options}})
    assert formula({"line": {"options": {"a": "1"}}}) == 1


def test_a_customers_value_is_not_logged_by_the_library(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        fault("num(line.options.width_mm)", width_mm="private")
    assert "private" not in caplog.text


def test_a_panic_of_the_library_is_a_fault_of_the_line() -> None:
    class Program:
        def execute(self, _context: object) -> object:
            raise panic

    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("boom")
    real = compile_expression("1")
    broken = Expression(
        source="1", result=(int,), program=Program(), outline=real.outline, names=frozenset(), functions={}
    )
    with pytest.raises(ExpressionFaultError, match="gave up"):
        broken({})
    panic = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        broken({})


PIECES = st.sampled_from(
    [
        *(
            "line",
            "order",
            ".options",
            ".quantity",
            ".name",
            "['a']",
            "1",
            "2.5",
            "'x'",
            "true",
            "null",
            "1u",
            "b'x'",
            "é",
        ),
        *(
            "+",
            "-",
            "*",
            "/",
            "%",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            "?",
            ":",
            "&&",
            "||",
            "!",
            "==",
            "<",
            " in ",
            ".",
        ),
        *("num(", "text(", "get(", "kv(", "round(", "max(", "size(", "has(", "duration(", "matches(", ".matches('(')"),
        *(".map(x,", ".filter(x,", ".exists(", "x", "-9223372036854775808", '"\\x00"', "//", "\n"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=12), option=st.one_of(st.none(), st.integers(), st.floats(), st.text()))
def test_no_source_and_no_value_lets_anything_else_escape(pieces: list[str], option: Any) -> None:
    try:
        found = compile_expression("".join(pieces))({"line": {"options": {"a": option}, "quantity": option}})
    except (ExpressionError, ExpressionFaultError):
        return
    assert isinstance(found, bool | int | float | str)
    assert isinstance(found, str) or math.isfinite(found)


@settings(max_examples=200, deadline=None)
@given(number=st.decimals(min_value=-(10**6), max_value=10**6, places=2))
def test_a_number_means_the_same_in_swedish_and_in_english(number: Any) -> None:
    plain = f"{number:.2f}"
    expected = float(plain)
    assert value("num(line.options.width_mm)", width_mm=plain) == expected
    assert value("num(line.options.width_mm)", width_mm=plain.replace(".", ",")) == expected
    assert (
        value("num(line.options.width_mm)", width_mm=f"{number:,.2f}".replace(",", " ").replace(".", ",")) == expected
    )
