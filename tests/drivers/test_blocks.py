"""Blocks wait for whoever takes them; too many make room for newer ones and are counted."""

from drivers.blocks import Block, Gathering


def block(value: int, *, lost: int = 0) -> Block:
    return Block(t_ms=value, names=("a", "b"), values=(value, value), qualities=bytes(2), lost=lost)


def test_blocks_are_given_once_and_in_their_order() -> None:
    gathering = Gathering()
    gathering.put(block(1))
    gathering.put(block(2))
    assert gathering.take() == (block(1), block(2))
    assert gathering.take() == ()


def test_what_does_not_fit_is_told_with_the_next_block() -> None:
    gathering = Gathering(values_max=4)
    for value in range(1, 6):
        gathering.put(block(value, lost=1 if value == 1 else 0))
    assert gathering.take() == (block(4, lost=7), block(5))
    gathering.put(block(6))
    assert gathering.take() == (block(6),)


def test_a_listener_hears_of_blocks_that_came_before_it() -> None:
    gathering, calls = Gathering(), []
    gathering.put(block(1))
    gathering.listen(lambda: calls.append("heard"))
    gathering.put(block(2))
    assert calls == ["heard", "heard"]
