"""The outbox: facts leave in order, each until it was acknowledged, and none is dropped."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from gateway.ledger import outbox
from gateway.ledger.database import Ledger, Tx, open_ledger

NOW = datetime(2026, 5, 4, 10, 15, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def post(tx: Tx, subject: str = "order:1", destination: str = "mqtt", **body: object) -> int:
    return outbox.post(tx, destination=destination, subject=subject, body=body, at=NOW)


def seqs(tx: Tx, *, destination: str = "mqtt", limit: int = 100, now: datetime = NOW) -> list[int]:
    return [fact.seq for fact in outbox.pending(tx, destination, limit=limit, now=now)]


def test_a_fact_comes_back_as_it_was_posted(tx: Connection) -> None:
    post(tx, "order:7", text="Räksmörgås", number=1, nothing=None)

    assert outbox.pending(tx, "mqtt", limit=10, now=NOW) == [
        outbox.Fact(
            destination="mqtt",
            seq=1,
            subject="order:7",
            body={"text": "Räksmörgås", "number": 1, "nothing": None},
            attempts=0,
        )
    ]


def test_each_destination_counts_from_one(tx: Connection) -> None:
    assert [post(tx), post(tx), post(tx, destination="shop:web"), post(tx)] == [1, 2, 1, 3]
    assert seqs(tx) == [1, 2, 3]
    assert seqs(tx, destination="shop:web") == [1]


def test_no_more_facts_are_given_than_asked_for(tx: Connection) -> None:
    for _ in range(5):
        post(tx)

    assert seqs(tx, limit=2) == [1, 2]


def test_a_delivered_fact_is_gone_and_its_number_is_not_given_again(tx: Connection) -> None:
    post(tx)
    post(tx)

    outbox.delivered(tx, "mqtt", [1, 2, 2, 99])
    outbox.delivered(tx, "mqtt", [])

    assert post(tx) == 3
    assert seqs(tx) == [3]


def test_a_delivery_at_one_destination_is_none_at_another(tx: Connection) -> None:
    post(tx)
    post(tx, destination="shop:web")

    outbox.delivered(tx, "mqtt", [1])

    assert seqs(tx, destination="shop:web") == [1]


def test_a_failed_fact_waits_and_keeps_back_the_later_ones_of_its_subject_alone(tx: Connection) -> None:
    for subject in ("order:1", "order:2", "order:1", "order:2"):
        post(tx, subject)

    outbox.failed(tx, "mqtt", 1, error="timeout", not_before=LATER)

    assert seqs(tx) == [2, 4]
    assert seqs(tx, now=LATER) == [1, 2, 3, 4]
    assert outbox.pending(tx, "mqtt", limit=1, now=LATER)[0].attempts == 1


def test_a_failed_fact_does_not_keep_back_earlier_ones(tx: Connection) -> None:
    post(tx)
    post(tx)

    outbox.failed(tx, "mqtt", 2, error="timeout", not_before=LATER)

    assert seqs(tx) == [1]


def test_a_buried_fact_is_listed_and_keeps_nothing_back(tx: Connection) -> None:
    post(tx, why="bad")
    post(tx)
    outbox.failed(tx, "mqtt", 1, error="timeout", not_before=LATER)

    outbox.bury(tx, "mqtt", 1, error="410 gone", at=NOW)

    assert seqs(tx) == [2]
    (letter,) = outbox.dead_letters(tx, limit=10)
    assert (letter.fact.seq, letter.fact.body, letter.fact.attempts) == (1, {"why": "bad"}, 2)
    assert (letter.error, letter.dead_at) == ("410 gone", NOW)


def test_what_waits_is_counted_per_destination(tx: Connection) -> None:
    outbox.post(tx, destination="mqtt", subject="a", body={}, at=NOW)
    outbox.post(tx, destination="mqtt", subject="a", body={}, at=LATER)
    outbox.post(tx, destination="shop:web", subject="a", body={}, at=LATER)
    outbox.bury(tx, "mqtt", 1, error="410", at=LATER)
    outbox.bury(tx, "shop:web", 1, error="410", at=LATER)

    assert outbox.counts(tx) == [("mqtt", 1, 1, LATER), ("shop:web", 0, 1, None)]


async def test_posting_rings_the_bell_of_the_destination(ledger: Ledger) -> None:
    await ledger.write(post)

    assert await ledger.changed(outbox.bell("mqtt"), timeout_s=5)
    assert not await ledger.changed(outbox.bell("shop:web"), timeout_s=0.01)


def test_a_body_that_is_no_json_is_refused(tx: Connection) -> None:
    with pytest.raises(TypeError):
        post(tx, thing=object())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40))
def test_numbers_are_dense_and_in_order_whatever_fails(events: list[tuple[int, bool]]) -> None:
    """Each event posts some facts and then fails or not; what is left is numbered without a gap."""

    async def history(state_dir: Path) -> list[tuple[int, int]]:
        async with open_ledger(state_dir, site="LUND", commit_interval_s=0.001) as ledger:

            def event(tx: Tx, event_no: int, facts: int, fails: bool) -> None:
                for _ in range(facts):
                    post(tx, event=event_no)
                if fails:
                    raise ValueError("no")

            await asyncio.gather(
                *(
                    ledger.write(lambda tx, no=no, facts=facts, fails=fails: event(tx, no, facts, fails))  # type: ignore[misc]
                    for no, (facts, fails) in enumerate(events)
                ),
                return_exceptions=True,
            )
            left = await ledger.read(lambda tx: outbox.pending(tx, "mqtt", limit=1000, now=NOW))
        return [(fact.seq, fact.body["event"]) for fact in left]

    with TemporaryDirectory(prefix="kvot-") as state_dir:
        left = asyncio.run(history(Path(state_dir)))

    kept = [no for no, (facts, fails) in enumerate(events) if not fails for _ in range(facts)]
    assert left == list(enumerate(kept, start=1))


POSTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["waits", "postponed", "dead"])), max_size=12)


@settings(max_examples=50, deadline=None)
@given(POSTS)
def test_no_fact_is_given_before_an_earlier_one_of_its_subject(posts: list[tuple[str, str]]) -> None:
    async def history(state_dir: Path) -> list[int]:
        async with open_ledger(state_dir, site="LUND", commit_interval_s=0) as ledger:

            def event(tx: Tx) -> list[int]:
                for subject, fate in posts:
                    seq = post(tx, subject)
                    if fate == "postponed":
                        outbox.failed(tx, "mqtt", seq, error="x", not_before=LATER)
                    elif fate == "dead":
                        outbox.bury(tx, "mqtt", seq, error="x", at=NOW)
                return seqs(tx)

            return await ledger.write(event)

    with TemporaryDirectory(prefix="kvot-") as state_dir:
        given_out = asyncio.run(history(Path(state_dir)))

    wanted, kept_back = [], set()
    for seq, (subject, fate) in enumerate(posts, start=1):
        if fate == "postponed":
            kept_back.add(subject)
        elif fate == "waits" and subject not in kept_back:
            wanted.append(seq)
    assert given_out == wanted
