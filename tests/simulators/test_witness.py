"""The witness is clean when all is right, and any loss or double it is shown makes it say so."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.uplink.broker import running_broker
from simulators.journal import Event, Journal
from simulators.shop import ShopSimulation, running_shop
from simulators.witness import (
    Entry,
    Evidence,
    Fact,
    Listener,
    ShopOrder,
    Tags,
    Told,
    Write,
    fact_gaps,
    judge,
    listen,
    read_journal,
    read_orders,
    read_writes,
)
from tests.eventually import eventually


def a_clean_day(orders: int, unpaid: int = 0) -> Evidence:
    """Every order is one job of two pieces on one of two machines, with three facts."""
    jobs = [(f"press-{n % 2}", f"LUND-1-{n}") for n in range(orders)]
    journal = [
        Entry(machine=machine, job=job, event=event, good=good)
        for machine, job in jobs
        for event, good in (("start", 0), ("interrupt", 1), ("resume", 1), ("end", 2))
    ]
    facts = [
        Fact(id=f"LUND-1-{3 * n + k}", epoch=1, seq=3 * n + k, job_id=job)
        for n, (_, job) in enumerate(jobs)
        for k in (1, 2, 3)
    ]
    paid = [ShopOrder(order_id=str(n), due=True, pieces=2, state="made") for n in range(orders)]
    others = [ShopOrder(order_id=f"u{n}", due=False, pieces=9, state=None) for n in range(unpaid)]
    told = Told(
        orders_in=orders,
        lines=orders,
        jobs=orders,
        jobs_completed=orders,
        exceptions=0,
        job_ids=frozenset(jobs),
        facts=len(facts),
        runs=2,
        promises=(orders, orders - 1),
    )
    return Evidence(
        orders_wanted=orders,
        told=told,
        orders=(*paid, *others),
        journal=tuple(journal),
        facts=tuple(facts),
        writes=(
            *(Write(order=str(n), changed=changed) for n in range(orders) for changed in (True, False)),
            *(Write(product="7", changed=changed) for changed in (True, True, False)),
        ),
        tags=Tags(values=5 * orders, declared=2),
    )


days = st.builds(a_clean_day, st.integers(1, 12), st.integers(0, 3))


T = TypeVar("T")


def without(rows: tuple[T, ...], row: T) -> tuple[T, ...]:
    return tuple(each for each in rows if each is not row)


Plant = Callable[[Evidence, st.DataObject], Evidence]


def lose_a_fact(day: Evidence, data: st.DataObject) -> Evidence:
    return dataclasses.replace(day, facts=without(day.facts, data.draw(st.sampled_from(day.facts))))


def lose_all_facts_of_a_job(day: Evidence, data: st.DataObject) -> Evidence:
    job = data.draw(st.sampled_from(sorted(job for _, job in day.told.job_ids)))
    told = dataclasses.replace(day.told, facts=None)
    return dataclasses.replace(day, told=told, facts=tuple(fact for fact in day.facts if fact.job_id != job))


def lose_a_journal_line(day: Evidence, data: st.DataObject) -> Evidence:
    line = data.draw(st.sampled_from([entry for entry in day.journal if entry.event in ("start", "end")]))
    return dataclasses.replace(day, journal=without(day.journal, line))


def start_again(day: Evidence, data: st.DataObject) -> Evidence:
    line = data.draw(st.sampled_from([entry for entry in day.journal if entry.event == "start"]))
    return dataclasses.replace(day, journal=(*day.journal[:1], line, *day.journal[1:]))


def start_elsewhere(day: Evidence, data: st.DataObject) -> Evidence:
    line = data.draw(st.sampled_from([entry for entry in day.journal if entry.event == "start"]))
    return dataclasses.replace(day, journal=(*day.journal, dataclasses.replace(line, machine="oven-1")))


def start_a_stranger(day: Evidence, data: st.DataObject) -> Evidence:
    return dataclasses.replace(day, journal=(*day.journal, Entry(machine="press-0", job="X", event="start", good=0)))


def lose_a_job(day: Evidence, data: st.DataObject) -> Evidence:
    """The gateway's list and counts agree on one job fewer than the machines made."""
    job = data.draw(st.sampled_from(sorted(day.told.job_ids)))
    told = dataclasses.replace(
        day.told, job_ids=day.told.job_ids - {job}, jobs=day.told.jobs - 1, jobs_completed=day.told.jobs - 1
    )
    return dataclasses.replace(day, told=told)


def make_a_job_never(day: Evidence, data: st.DataObject) -> Evidence:
    _, job = data.draw(st.sampled_from(sorted(day.told.job_ids)))
    return dataclasses.replace(day, journal=tuple(entry for entry in day.journal if entry.job != job))


def make_a_piece_too_few(day: Evidence, data: st.DataObject) -> Evidence:
    line = data.draw(st.sampled_from([entry for entry in day.journal if entry.event == "end"]))
    fewer = dataclasses.replace(line, good=line.good - 1)
    return dataclasses.replace(day, journal=tuple(fewer if entry is line else entry for entry in day.journal))


def lose_an_order_at_the_shop(day: Evidence, data: st.DataObject) -> Evidence:
    order = data.draw(st.sampled_from([order for order in day.orders if order.due]))
    return dataclasses.replace(day, orders=without(day.orders, order))


def leave_an_order_open(day: Evidence, data: st.DataObject) -> Evidence:
    order = data.draw(st.sampled_from([order for order in day.orders if order.due]))
    state = data.draw(st.sampled_from([None, "received", "in_production", "quarantined", "not_due", "MADE"]))
    left = dataclasses.replace(order, state=state)
    return dataclasses.replace(day, orders=tuple(left if each is order else each for each in day.orders))


def lose_a_sample(day: Evidence, data: st.DataObject) -> Evidence:
    return dataclasses.replace(day, tags=dataclasses.replace(day.tags, undeclared=1))


def tell_otherwise(field: str) -> Plant:
    def plant(day: Evidence, data: st.DataObject) -> Evidence:
        more = getattr(day.told, field) + data.draw(st.sampled_from([-1, 1, 2]))
        return dataclasses.replace(day, told=dataclasses.replace(day.told, **{field: more}))

    return plant


PLANTS = [
    lose_a_fact,
    lose_all_facts_of_a_job,
    lose_a_journal_line,
    start_again,
    start_elsewhere,
    start_a_stranger,
    lose_a_job,
    make_a_job_never,
    make_a_piece_too_few,
    lose_an_order_at_the_shop,
    leave_an_order_open,
    lose_a_sample,
    *(
        pytest.param(tell_otherwise(field), id=f"tell_other_{field}")
        for field in ("orders_in", "jobs", "jobs_completed", "exceptions", "facts")
    ),
]


@given(day=days)
def test_a_clean_day_is_clean(day: Evidence) -> None:
    verdict = judge(day)
    assert verdict.clean, verdict.broken
    count = day.orders_wanted
    assert verdict.summary() == {
        "orders_placed": count,
        "orders_in": count,
        "lines": count,
        "jobs": count,
        "jobs_completed": count,
        "physical_starts": count,
        "double_starts": 0,
        "orders_unfinished": 0,
        "fact_gaps": 0,
        "facts_published": 3 * count,
        "status_writes": count,
        "exceptions": 0,
        "pieces_ordered": 2 * count,
        "pieces_good": 2 * count,
        "values_published": 5 * count,
        "tag_gaps_undeclared": 0,
        "offers_published": 0,
        "price_writes": 2,
        "runs": 2,
        "promises_made": count,
        "promises_kept": count - 1,
        "policies": {},
        "broken": [],
    }


@pytest.mark.parametrize("plant", PLANTS)
@given(day=days, data=st.data())
def test_a_day_with_any_planted_loss_or_double_is_never_clean(plant: Plant, day: Evidence, data: st.DataObject) -> None:
    planted = plant(day, data)
    assume(planted != day)
    verdict = judge(planted)
    assert not verdict.clean
    assert all(any(word in relation for word in ("is", "are")) for relation in verdict.broken)


@given(day=days, data=st.data())
def test_two_planted_faults_do_not_hide_each_other(day: Evidence, data: st.DataObject) -> None:
    first, second = data.draw(st.permutations([lose_a_fact, start_again, leave_an_order_open, start_a_stranger]))[:2]
    assert not judge(second(first(day, data), data)).clean


@given(day=days, data=st.data())
def test_repeated_and_reordered_messages_are_no_fault(day: Evidence, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(day.facts)))
    shuffled = data.draw(st.permutations((*day.facts, *again)))
    verdict = judge(dataclasses.replace(day, facts=tuple(shuffled)))
    assert verdict.clean
    assert verdict.facts_published == len(day.facts)


def test_a_double_start_is_counted_each_time_and_by_machine() -> None:
    day = a_clean_day(2)
    line = day.journal[0]
    journal = (*day.journal, line, line, dataclasses.replace(line, machine="oven-1"))
    verdict = judge(dataclasses.replace(day, journal=journal))
    assert verdict.double_starts == 3
    assert verdict.physical_starts == 3
    assert "double_starts is 3, but none: 0" in verdict.broken


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ({1: [1, 2, 3]}, 0),
        ({1: [3, 1, 2, 2]}, 0),
        ({1: [1, 3]}, 1),
        ({1: [3]}, 2),
        ({1: [1, 2], 2: [1]}, 0),
        ({1: [1, 2], 2: [2]}, 1),
        ({}, 0),
    ],
)
def test_a_gap_is_a_number_missing_from_one_on_in_its_epoch(numbers: dict[int, list[int]], gaps: int) -> None:
    facts = [Fact(id=f"LUND-{epoch}-{seq}", epoch=epoch, seq=seq) for epoch, seen in numbers.items() for seq in seen]
    assert fact_gaps(facts) == gaps


def test_a_torn_last_line_has_not_happened_and_no_file_is_an_empty_journal(tmp_path: Path) -> None:
    path = tmp_path / "press-1.journal"
    assert read_journal(path) == ()
    with Journal(path, machine="press-1") as journal:
        journal.write(Event.START, job="LUND-1-A", job_no=7)
        journal.write(Event.END, job="LUND-1-A", job_no=7, good=2, scrap=1)
    whole = read_journal(path)
    assert [(entry.event, entry.good) for entry in whole] == [("start", 0), ("end", 2)]
    with path.open("ab") as file:
        file.write(b'{"t": 1.5, "machine": "press-1", "job": "LUND-1')
    assert read_journal(path) == whole


def test_a_broken_line_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "press-1.journal"
    path.write_text('{"machine": "press-1", "jo\n{"machine": "a", "job": "b", "event": "start", "good": 0}\n')
    with pytest.raises(ValueError, match="line 1"):
        read_journal(path)


def test_writes_to_orders_and_to_articles_are_read_from_the_shop_log(tmp_path: Path) -> None:
    path = tmp_path / "shop.log"
    lines = [
        {"t": 1, "order": 17, "keys": ["_kvot_state"], "values": {}, "changed": True, "status": 200},
        {"t": 2, "order": 17, "keys": [], "values": {}, "changed": False, "status": 200},
        {"t": 3, "product": 3, "keys": ["regular_price"], "values": {}, "changed": True, "status": 200},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_writes(path) == (
        Write(order="17", changed=True),
        Write(order="17", changed=False),
        Write(product="3", changed=True),
    )


@given(day=days, more=st.integers(0, 3), asked_before=st.integers(0, 4))
def test_offers_made_after_the_gateway_was_asked_are_no_fault_other_facts_are(
    day: Evidence, more: int, asked_before: int
) -> None:
    last = len(day.facts)
    offers = tuple(
        Fact(id=f"LUND-1-{last + n}", epoch=1, seq=last + n, type="offer.changed") for n in range(1, more + 1)
    )
    posted = last + more - asked_before
    verdict = judge(
        dataclasses.replace(
            day,
            facts=(*day.facts, *offers, offers[0]) if offers else day.facts,
            told=dataclasses.replace(day.told, facts=posted),
        )
    )
    assert verdict.offers_published == more
    assert verdict.clean == (asked_before <= more)


async def test_the_shops_own_list_is_read_page_by_page_with_a_signature() -> None:
    settings = ShopSimulation(orders=120, unpaid=3, seed=7, speed=1e6)
    async with running_shop(settings) as shop:
        await eventually(lambda: shop.placed == 120)
        orders = await asyncio.to_thread(
            read_orders,
            shop.url,
            key=settings.key,
            secret=settings.secret,
            never_made=["GIFT-*", "MUG-*", "LAMP-*"],
            on_account=["invoice"],
        )
        assert len(orders) == 123
        assert sum(order.due for order in orders) == 120
        assert all(order.state is None for order in orders)
        trays = {
            str(order.id): sum(line.quantity for line in order.lines if line.article.sku.startswith("TRAY"))
            for order in shop.orders
        }
        assert {order.order_id: order.pieces for order in orders} == trays
        taken = {str(order.id): sum(line.amount.net_minor for line in order.lines) for order in shop.orders}
        assert {order.order_id: sum(line.net_minor for line in order.lines) for order in orders} == taken
        with pytest.raises(OSError, match="401"):
            await asyncio.to_thread(read_orders, shop.url, key=settings.key, secret="wrong")


async def test_the_witness_hears_each_fact_once_from_before_the_first(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        host, port = broker.url.removeprefix("mqtt://").split(":")

        def tell() -> tuple[Fact, ...]:
            with listen(broker.url) as witness:
                speaker = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
                speaker.connect(host, int(port))
                speaker.loop_start()
                for seq in (1, 2, 2, 3):
                    body = {"v": 1, "id": f"LUND-1-{seq}", "epoch": 1, "seq": seq, "type": "job.running", "job_id": "A"}
                    speaker.publish(f"a/{seq}", json.dumps(body), qos=1)
                speaker.publish("a/state", b'{"v":1,"state":"idle"}', qos=1).wait_for_publish(5)
                speaker.disconnect()
                speaker.loop_stop()
                assert witness.wait_for(lambda: witness.messages >= 5, timeout_s=5)
                return witness.facts()

        facts = await asyncio.to_thread(tell)
    assert facts == tuple(
        Fact(id=f"LUND-1-{seq}", epoch=1, seq=seq, job_id="A", type="job.running") for seq in (1, 2, 3)
    )


@pytest.mark.parametrize(
    "payload", [b"\xff", b"[1]", b"{", b'{"id":"a","epoch":"x","seq":1}', b'{"id":1,"epoch":1,"seq":null}']
)
def test_a_message_that_cannot_be_read_is_told_and_never_ends_the_listening(payload: bytes) -> None:
    listener = Listener()
    listener.hear("a/b", payload)
    with pytest.raises(ValueError, match="a/b"):
        listener.facts()


def test_a_removed_retained_message_is_no_fault() -> None:
    listener = Listener()
    listener.hear("a/b", b"")
    assert listener.facts() == ()


@pytest.mark.parametrize("payload", [b'{"v":1,"boot":1}', b'{"v":1,"seq":1,"values":{}}', b'{"v":1,"boot":1,"gap":3}'])
def test_a_sample_that_cannot_be_read_is_told(payload: bytes) -> None:
    listener = Listener()
    listener.hear("nordform/LUND/a/b/press-1/tags", payload)
    with pytest.raises(ValueError, match="press-1/tags"):
        listener.facts()


def test_samples_are_counted_by_the_listener_and_are_no_facts() -> None:
    listener = Listener()
    listener.hear("nordform/LUND/a/b/press-1/tags", b'{"v":1,"t":1,"boot":1,"seq":1,"values":{"a":1,"b":2}}')
    assert listener.facts() == ()
    assert listener.tags() == Tags(values=2)


# A machine that knows no job ids ---------------------------------------------------------------------


def a_day_at_a_saw(starts: int, jobs: int) -> Evidence:
    """So many orders, each one job; the saw has numbered its own starts."""
    day = a_clean_day(jobs)
    names = frozenset(("saw-1", job) for _, job in day.told.job_ids)
    journal = [
        Entry(machine="saw-1", job=str(n), event=event, good=good)
        for n in range(1, starts + 1)
        for event, good in (("start", 0), ("end", 2))
    ]
    told = dataclasses.replace(day.told, job_ids=names)
    return dataclasses.replace(day, told=told, journal=tuple(journal), unnamed=frozenset({"saw-1"}))


def test_where_a_machine_knows_no_jobs_its_starts_are_held_against_the_number_of_jobs_on_it() -> None:
    assert judge(a_day_at_a_saw(3, 3)).broken == ()
    twice = judge(a_day_at_a_saw(4, 3))
    assert twice.double_starts == 1
    assert "starts of saw-1 is 4, but the gateway's jobs on it: 3" in twice.broken
    assert "starts of saw-1 is 2, but the gateway's jobs on it: 3" in judge(a_day_at_a_saw(2, 3)).broken


def test_a_job_at_such_a_machine_that_no_fact_tells_of_is_seen() -> None:
    day = a_day_at_a_saw(3, 3)
    _, lost = min(day.told.job_ids)
    told = dataclasses.replace(day.told, facts=None)
    day = dataclasses.replace(day, told=told, facts=tuple(fact for fact in day.facts if fact.job_id != lost))
    assert "started jobs that no fact tells of is 1, but none: 0" in judge(day).broken
