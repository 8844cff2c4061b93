"""The witness counts samples by machine and boot, and misses what is neither there nor declared."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from simulators.witness_tags import TagBook, Tags

TOPIC = "nordform/LUND/moulding/line-1/press-1/tags"


def book(*bodies: dict[str, Any], topic: str = TOPIC) -> TagBook:
    written = TagBook()
    for body in bodies:
        assert written.hear(topic, json.dumps(body).encode())
    return written


def sample(seq: int, *, boot: int = 1, values: int = 2, **more: Any) -> dict[str, Any]:
    return {"v": 1, "t": seq, "boot": boot, "seq": seq, "values": {f"t{n}": n for n in range(values)}, **more}


def gap(first: int, last: int, *, boot: int = 1) -> dict[str, Any]:
    return {"v": 1, "boot": boot, "gap": {"from": first, "to": last, "count": last - first + 1, "reason": "full"}}


def test_values_are_counted_once_however_often_a_message_comes() -> None:
    assert book(sample(1), sample(2), sample(1, history=True)).total() == Tags(values=4, late=1)


def test_a_number_that_never_came_is_missed() -> None:
    assert book(sample(1), sample(4)).total().undeclared == 2


def test_what_was_declared_is_not_missed_whenever_that_comes() -> None:
    assert book(sample(1), sample(4), gap(2, 3)).total() == Tags(values=4, declared=2)
    assert book(gap(2, 3), sample(4), sample(1)).total() == Tags(values=4, declared=2)


def test_a_declared_number_that_comes_after_all_is_no_fault() -> None:
    assert book(sample(1), sample(2), sample(3), gap(2, 3)).total() == Tags(values=6)


def test_the_first_numbers_of_a_boot_must_be_there_too() -> None:
    assert book(sample(3, boot=1), sample(2, boot=2)).total().undeclared == 3


def test_machines_and_boots_are_counted_apart() -> None:
    written = book(sample(1), sample(1, boot=2))
    assert written.hear(TOPIC.replace("press-1", "oven-1"), json.dumps(sample(2)).encode())
    assert written.total() == Tags(values=6, undeclared=1)


@given(st.lists(st.integers(1, 30), unique=True, min_size=1), st.data())
def test_any_order_of_arrival_tells_the_same(seqs: list[int], data: st.DataObject) -> None:
    bodies = [*(sample(seq) for seq in seqs), gap(5, 9)]
    assert book(*bodies).total() == book(*data.draw(st.permutations(bodies))).total()
