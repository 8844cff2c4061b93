"""The witness of prices sees by hand-made messages what each policy has to show, and says so where it does not."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.witness import Listener, read_writes
from simulators.witness_prices import ENOUGH_ORDERS, PriceBook, Published, ShopWrite, look_at

OPENING = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
BASE = "nordform/LUND"
WHITE, BLACK = "cure-white", "cure-black"


@dataclass(frozen=True, kw_only=True)
class Said:
    """One offer as it was published so many minutes after the opening; the run closes so many minutes after that."""

    at: float
    factor: float = 1.0
    lead: float = 45.0
    closes_in: float | None = None
    campaign: str | None = None
    promise: float | None = None
    sku: str = "PLATE-W-1"


FAR_THEN_NEAR = (
    Said(at=0, factor=1.15),
    Said(at=5, factor=1.15),
    Said(at=10, factor=1.1, closes_in=30),
    Said(at=25, factor=1.05, lead=30, closes_in=15),
    Said(at=31, factor=1.0, lead=30, closes_in=9, campaign="visibility"),
    Said(at=36, factor=0.97, lead=15, closes_in=4, campaign="visibility"),
    Said(at=41, factor=1.15),
)
COUNTING_DOWN = (
    Said(at=0, sku="PLATE-B-1"),
    Said(at=10, closes_in=30, sku="PLATE-B-1"),
    Said(at=25, lead=30, closes_in=15, sku="PLATE-B-1"),
    Said(at=36, lead=15, closes_in=4, sku="PLATE-B-1", campaign="visibility"),
    Said(at=41, sku="PLATE-B-1"),
)
RUN = (10.0, 40.0)


def ms(minutes: float) -> int:
    return round((OPENING + timedelta(minutes=minutes)).timestamp() * 1000)


def iso(minutes: float) -> str:
    return (OPENING + timedelta(minutes=minutes)).isoformat().replace("+00:00", ".000000Z")


def heard(
    *,
    white: Iterable[Said] = FAR_THEN_NEAR,
    black: Iterable[Said] = COUNTING_DOWN,
    run: tuple[float, float] = RUN,
    others: Iterable[float] = (),
) -> Published:
    """Tell the book the policies, one run of each colour, the campaigns, these offers, and other facts at times."""
    book = PriceBook()

    def hear(topic: str, **body: Any) -> None:
        assert book.hear(f"{BASE}/{topic}", json.dumps(body).encode())

    for number, (family, policy, said) in enumerate(((WHITE, "distance", white), (BLACK, "countdown", black)), 1):
        hear(f"runs/{family}/open", family=family, policy=policy, window_h=0.5)
        for kind, at in zip(("run.collecting", "run.committed", "run.releasing"), (run[0], *run), strict=True):
            name = f"{kind}-{number}"
            hear(f"runs/{family}/{number}/event", id=name, type=kind, t=ms(at), run_id=number, family=family)
        if any(one.campaign for one in said):
            hear(f"campaigns/{family}/event", id=f"c{number}", type="campaign.opened", t=ms(31), family=family)
        for count, one in enumerate(said):
            closes = {} if one.closes_in is None else {"closes_at": iso(one.at + one.closes_in)}
            hear(
                f"offers/{one.sku}/event",
                id=f"{number}-{count}",
                type="offer.changed",
                t=ms(one.at),
                sku=one.sku,
                family=family,
                price_minor=round(12_900 * one.factor),
                factor=one.factor,
                promise_at=iso(one.at + one.lead),
                lead_h=one.lead / 60,
                **closes,
                **({} if one.campaign is None else {"campaign": one.campaign}),
            )
    for at in others:
        hear("orders/1/event", id=f"o{at}", type="order.state", t=ms(at))
    return book.total()


def broken(published: Published, writes: tuple[ShopWrite, ...] = (), *, orders: int = 40) -> list[str]:
    return look_at(published, writes, orders=orders)[1]


def test_what_the_policies_show_is_told_in_numbers() -> None:
    writes = (ShopWrite(sku="PLATE-W-1", at=OPENING), ShopWrite(sku="TRAY-12", at=OPENING))
    found, wrong = look_at(heard(), writes, orders=40)
    assert wrong == []
    assert found == {
        "distance": {
            "offers": 7,
            "runs": 1,
            "campaigns": 1,
            "shop_writes": 1,
            "price_far": 1.15,
            "price_near": 0.985,
            "lead_far_min": 45.0,
            "lead_near_min": 22.5,
        },
        "countdown": {
            "offers": 5,
            "runs": 1,
            "campaigns": 1,
            "shop_writes": 0,
            "promise_steps_down": 2,
            "promise_steps_up": 0,
        },
    }


def test_the_same_message_twice_counts_once_whatever_the_order() -> None:
    once = heard()
    again = heard(white=(*reversed(FAR_THEN_NEAR),))
    assert look_at(once, (), orders=40)[0]["distance"] == look_at(again, (), orders=40)[0]["distance"]


Change = Callable[[Said], Said]


def changed(said: tuple[Said, ...], change: Change) -> tuple[Said, ...]:
    return tuple(change(one) for one in said)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: replace(one, factor=1.0), "price_near is 1.0, not below price_far"),
        (lambda one: replace(one, factor=2.1 - one.factor), "price_near is"),
        (lambda one: replace(one, lead=45), "lead_near_min is 45"),
        (lambda one: replace(one, campaign=None), "no campaign was open near a run"),
        (
            lambda one: replace(one, campaign="visibility"),
            "3 offers have a campaign while no run collects",  # at 0, 5 and 41, less what lies beside the run
        ),
    ],
)
def test_by_distance_what_is_not_dearer_and_later_far_from_a_run_is_told(change: Change, why: str) -> None:
    said = (*FAR_THEN_NEAR[:-1], replace(FAR_THEN_NEAR[-1], at=50))
    (told,) = broken(heard(white=changed(said, change)))
    assert told.startswith("distance: ")
    assert why in told


SILENT_BLACK: dict[str, Any] = {
    "white": FAR_THEN_NEAR[:3],
    "black": COUNTING_DOWN[:2],
}  # nothing but other facts after 10 minutes


def test_by_count_down_a_long_run_whose_lead_never_falls_is_told() -> None:
    (told,) = broken(heard(black=changed(COUNTING_DOWN, lambda one: replace(one, lead=45)), others=(18,)))
    assert told == "countdown: 1 runs collected for long, but no told lead ever went down"
    assert broken(heard(**SILENT_BLACK, others=(12, 20, 29, 36))) == [told]


def test_a_run_that_collected_while_the_gateway_was_away_has_nothing_to_show() -> None:
    assert broken(heard(**SILENT_BLACK, others=(12, 20, 31, 36))) == []


def test_by_count_down_a_lead_that_rises_while_its_run_comes_nearer_is_told() -> None:
    told = broken(heard(black=changed(COUNTING_DOWN, lambda one: replace(one, lead=60 - one.lead))))
    assert "countdown: the lead told within a run rose 2 times and fell 0 times" in told


def test_the_longer_lead_of_the_next_run_is_no_rise() -> None:
    next_run = (Said(at=42, closes_in=30, sku="PLATE-B-1"), Said(at=60, lead=30, closes_in=12, sku="PLATE-B-1"))
    found, wrong = look_at(heard(black=(*COUNTING_DOWN[:-1], *next_run)), (), orders=40)
    assert wrong == []
    assert (found["countdown"]["promise_steps_down"], found["countdown"]["promise_steps_up"]) == (3, 0)


def test_a_run_that_filled_at_once_has_no_promise_to_count_down() -> None:
    assert broken(heard(white=FAR_THEN_NEAR[:3], black=COUNTING_DOWN[:2], run=(10, 12))) == []


def test_a_policy_without_offers_is_told() -> None:
    assert broken(heard(white=())) == ["distance: there are no offers"]


def test_with_few_orders_nothing_is_demanded_of_a_policy() -> None:
    dearer_near = changed(FAR_THEN_NEAR, lambda one: replace(one, factor=2.1 - one.factor))
    assert broken(heard(white=dearer_near), orders=ENOUGH_ORDERS - 1) == []
    assert broken(heard(white=dearer_near), orders=ENOUGH_ORDERS) != []


def test_where_no_run_came_near_far_and_near_are_not_compared() -> None:
    found, wrong = look_at(heard(white=FAR_THEN_NEAR[:4]), (), orders=40)
    assert wrong == []
    assert found["distance"]["price_near"] is None


def test_a_factory_without_runs_is_not_judged() -> None:
    book = PriceBook()
    body = {"family": "pla-white", "policy": "static"}
    assert book.hear(f"{BASE}/runs/pla-white/open", json.dumps(body).encode())
    assert look_at(book.total(), (), orders=40) == ({}, [])


@pytest.mark.parametrize(
    ("write", "wrong"),
    [
        (ShopWrite(sku="PLATE-W-1", at=OPENING + timedelta(minutes=11), price_minor=14_190), False),
        (ShopWrite(sku="PLATE-W-1", at=OPENING + timedelta(minutes=11), price_minor=14_191), True),
        (ShopWrite(sku="PLATE-B-1", at=OPENING + timedelta(minutes=11), price_minor=14_190), True),
        (ShopWrite(sku="PLATE-B-1", at=OPENING, promise_at=OPENING + timedelta(minutes=45)), False),
        (ShopWrite(sku="PLATE-B-1", at=OPENING, promise_at=OPENING + timedelta(minutes=46)), True),
        (ShopWrite(sku="PLATE-W-1", at=OPENING + timedelta(minutes=42), price_minor=1), False),  # news may be under way
    ],
)
def test_what_the_shop_was_told_must_have_been_published(write: ShopWrite, wrong: bool) -> None:
    told = broken(heard(), (write,), orders=1)
    assert told == (["1 writes to articles in the shop's log were never published as offers"] if wrong else [])


def test_writes_to_articles_are_read_from_the_shop_log_with_price_and_promise(tmp_path: Path) -> None:
    path = tmp_path / "shop.log"
    values = {"regular_price": "148.35", "_kvot_promise": "2026-05-04T08:45:00.000000Z"}
    line = {"business": "2026-05-04T08:00:03+00:00", "product": 3, "sku": "PLATE-W-1", "values": values}
    path.write_text(json.dumps({**line, "keys": ["regular_price"], "changed": True, "status": 200}) + "\n")
    (write,) = read_writes(path)
    assert write.article == ShopWrite(
        sku="PLATE-W-1",
        at=OPENING + timedelta(seconds=3),
        price_minor=14_835,
        promise_at=OPENING + timedelta(minutes=45),
    )


def test_the_listener_keeps_what_is_told_of_prices_beside_the_facts() -> None:
    listener = Listener()
    body = {"id": "A-1", "epoch": 1, "seq": 1, "type": "run.collecting", "t": ms(1), "run_id": 4, "family": WHITE}
    listener.hear(f"{BASE}/runs/{WHITE}/4/event", json.dumps(body).encode())
    listener.hear(f"{BASE}/runs/{WHITE}/open", b'{"family": "cure-white", "policy": "distance"}')
    listener.hear(f"{BASE}/runs/{WHITE}/open", b"")
    assert len(listener.facts()) == 1
    assert listener.prices().policies == {WHITE: "distance"}
    assert [run.run_id for run in listener.prices().runs] == [4]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (f"{BASE}/offers/A/event", b'{"id": "1", "epoch": 1, "seq": 1, "type": "offer.changed", "t": 1}'),
        (f"{BASE}/runs/white/open", b'{"family": "white"}'),
        (f"{BASE}/runs/white/1/event", b'{"id": "1", "epoch": 1, "seq": 1, "type": "run.releasing"}'),
    ],
)
def test_a_message_about_prices_that_cannot_be_read_is_told(topic: str, payload: bytes) -> None:
    listener = Listener()
    listener.hear(topic, payload)
    with pytest.raises(ValueError, match="no JSON objects"):
        listener.facts()
