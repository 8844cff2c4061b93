"""What YAML texts mean, and what is refused in them."""

import time
from pathlib import Path

import pytest

from gateway.settings.source import MAX_BYTES, Node, SecretName, read_file, read_text


def tree(text: str) -> Node:
    node, faults = read_text(text, "f")
    assert node is not None
    assert faults == ()
    return node


def complaints(text: str) -> list[str]:
    return [str(fault) for fault in read_text(text, "f")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2026-05-04", "2026-05-04"),
        ("12", 12),
        ("-3", -3),
        ("0x1F", 31),
        ("0123", "0123"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("", None),
        ("~", None),
        ("null", None),
        ('"true"', "true"),
        ("'12'", "12"),
        ("Ljusgrå", "Ljusgrå"),
        ("!secret shop-key", SecretName(name="shop-key")),
    ],
)
def test_a_plain_value_means_what_yaml_1_2_says(text: str, value: object) -> None:
    found = tree(f"key: {text}").find(("key",))
    assert found is not None
    assert found.value == value
    assert type(found.value) is type(value)


def test_every_key_and_value_knows_its_line_and_column() -> None:
    node = tree("# first\na:\n  b: [1, {c: 2}]\n")
    assert str(node.place_of(("a",), of_key=True)) == "f:2:1"
    assert str(node.place_of(("a", "b"), of_key=True)) == "f:3:3"
    assert str(node.place_of(("a", "b", 0))) == "f:3:7"
    assert str(node.place_of(("a", "b", 1, "c"))) == "f:3:14"


def test_what_is_missing_stands_at_the_key_of_what_should_hold_it() -> None:
    node = tree("a:\n  b:\n    c: 1\n")
    assert str(node.place_of(("a", "b", "d"))) == "f:2:3"
    assert str(node.place_of(("x",))) == "f:1:1"


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert tree("0815: 1\ntrue: 2\n12: 3\n").plain() == {"0815": 1, "true": 2, "12": 3}


def test_an_empty_text_is_an_empty_mapping() -> None:
    assert tree("# nothing here\n").plain() == {}
    assert tree("").plain() == {}
    assert tree("---\n").plain() == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: a: given twice, first in line 1; remove one of them"),
        ("a: &x 1", "f:1:4: a: anchors (&name) are not allowed; write the value out where it is needed"),
        ("a: *x", "f:1:4: a: aliases (*name) are not allowed; write the value out"),
        ("<<: {a: 1}", "f:1:1: merge keys (<<) are not allowed; write the values out"),
        ("a: !!str 1", "f:1:4: a: unknown tag tag:yaml.org,2002:str; the only tag is !secret"),
        ("a: !env X", "f:1:4: a: unknown tag !env; the only tag is !secret"),
        ("a: !secret [x]", "f:1:4: a: unknown tag !secret; the only tag is !secret, for texts"),
        ("a: {b: !python/object:os.system {}}", "unknown tag !python/object:os.system"),
        ("a: !secret ../../etc/passwd", "a secret's name has a-z, 0-9, - and _ only"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here; keep one document per file"),
        ("[a]: 1", "f:1:1: a key must be a plain text"),
        ("a: 1e999", "too large a number"),
        ("a: 99999999999999999999", "too large a number"),
        ("a: " + "1" * 5000, "a number of more than 40 characters"),
        ("a:\n\tb: 1\n", "indent with spaces, not tabs"),
        ("a: [1", "not YAML: "),
        ("a: \x07", "not YAML: "),
        ("a: " + "[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ("[" * 100_000, "f:1:"),
        ("a: " * 3 + "b", "not YAML: "),
    ],
)
def test_what_could_mean_something_else_is_refused_with_its_place(text: str, fault: str) -> None:
    found = complaints(text)
    assert any(fault in line for line in found), found


def test_several_faults_of_one_text_are_found_at_once() -> None:
    found = complaints("a: &x 1\nb: *x\na: 2\n")
    assert [line.split(":")[1] for line in found] == ["1", "2", "3"]


def test_a_file_that_is_too_large_or_no_utf_8_or_absent_is_a_fault(tmp_path: Path) -> None:
    large, latin, absent = tmp_path / "large", tmp_path / "latin", tmp_path / "absent"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    latin.write_bytes("a: grå".encode("latin-1"))
    for file, text in ((large, "larger than 1024 KiB"), (latin, "not UTF-8"), (absent, "no such file"), (tmp_path, "")):
        node, found = read_file(file)
        assert node is None
        assert text in str(found[0])


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    node, found = read_file(file)
    assert (node and node.plain(), found) == ({"a": 1, "b": 2}, ())


@pytest.mark.parametrize("text", ["- " * 400_000, "? " * 400_000, "a: [" * 200_000, "[a, " * 200_000, "&a " * 300_000])
def test_a_hostile_text_is_refused_quickly(text: str) -> None:
    started = time.perf_counter()
    assert complaints(text)
    assert time.perf_counter() - started < 2
