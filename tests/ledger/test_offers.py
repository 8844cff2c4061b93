"""The offer log keeps one offer in force, tells it once, and counts the promises that were kept."""

from dataclasses import replace
from datetime import datetime, timedelta
from sqlite3 import IntegrityError

import pytest
from sqlalchemy import Connection

from gateway.domain.offers import Offer
from gateway.domain.pricing import CampaignDecision, CampaignKind
from gateway.domain.states import JobState
from gateway.ledger import moving, offers, outbox
from gateway.ledger.campaigns import campaign_seen, follow_campaign
from gateway.ledger.list_prices import set_list_price
from gateway.ledger.offers import Publication
from gateway.ledger.sql import insert, rows
from gateway.ledger.times import to_text
from tests.ledger import work
from tests.ledger.work import NOW, SHOP, bare

PROMISE = NOW + timedelta(days=3)


def a_publication(
    before: int | None, *, price_minor: int = 11_000, promise_at: datetime = PROMISE, write: bool = True
) -> Publication:
    offer = Offer(price_minor=price_minor, currency="SEK", promise_at=promise_at, lead=timedelta(days=3))
    return Publication(
        shop=SHOP,
        sku="TRAY-12",
        product_id="7",
        family="white",
        offer=offer,
        list_minor=10_000,
        before=before,
        changed=("price_minor",),
        write=write,
    )


def in_force(tx: Connection) -> int:
    logged = offers.standing(tx, SHOP, "TRAY-12")
    assert logged is not None
    return logged.offer_id


def waiting(tx: Connection) -> list[outbox.Fact]:
    return outbox.pending(tx, f"shop:{SHOP}", limit=10, now=NOW + timedelta(days=9), kind="offer:")


def test_an_offer_decided_upon_another_than_the_one_in_force_is_not_put_in_force() -> None:
    with bare() as tx:
        set_list_price(tx, SHOP, "TRAY-12", "SEK", 10_000, now=NOW)
        assert offers.publish(tx, a_publication(None), now=NOW)
        first = in_force(tx)
        assert not offers.publish(tx, a_publication(None), now=NOW)
        assert not offers.publish(tx, a_publication(first + 1), now=NOW)
        assert offers.publish(tx, a_publication(first, price_minor=12_000), now=NOW)
        assert len(rows(tx, "SELECT * FROM offers")) == 2
        assert len(rows(tx, "SELECT * FROM outbox WHERE json_extract(body, '$.type') = 'offer.changed'")) == 2


def test_the_database_itself_allows_one_offer_in_force() -> None:
    with bare() as tx:
        offers.publish(tx, a_publication(None), now=NOW)
        with pytest.raises(IntegrityError):
            insert(tx, "offers", shop=SHOP, sku="TRAY-12", valid_from=to_text(NOW))


def test_the_log_stays_in_order_when_the_clock_goes_back() -> None:
    with bare() as tx:
        offers.publish(tx, a_publication(None), now=NOW)
        offers.publish(tx, a_publication(in_force(tx), price_minor=12_000), now=NOW - timedelta(hours=5))
        logged = offers.standing(tx, SHOP, "TRAY-12")
        assert logged is not None
        assert (logged.offer.price_minor, logged.valid_from) == (12_000, NOW)


def test_a_shop_is_told_the_newest_offer_only_and_a_price_it_has_is_left_alone() -> None:
    with bare() as tx:
        set_list_price(tx, SHOP, "TRAY-12", "SEK", 10_000, now=NOW)
        offers.publish(tx, a_publication(None), now=NOW)
        offers.publish(tx, a_publication(in_force(tx), price_minor=12_000), now=NOW)
        (fact,) = waiting(tx)
        assert fact.body["price_minor"] == 12_000
        offers.shown(tx, fact.body, now=NOW + timedelta(minutes=1))
        outbox.delivered(tx, fact.destination, [fact.seq])
        later = PROMISE + timedelta(hours=6)
        offers.publish(tx, a_publication(in_force(tx), price_minor=12_000, promise_at=later), now=NOW)
        (fact,) = waiting(tx)
        assert fact.body["price_minor"] is None
        assert fact.body["values"]["_kvot_promise"] == to_text(later)
        prices = [one["price_minor"] for one in rows(tx, "SELECT * FROM price_log ORDER BY price_id")]
        assert prices == [10_000, 12_000]


def test_after_a_price_that_may_have_arrived_the_price_is_told_again() -> None:
    with bare() as tx:
        set_list_price(tx, SHOP, "TRAY-12", "SEK", 10_000, now=NOW)
        offers.publish(tx, a_publication(None), now=NOW)  # written, but its answer was lost
        offers.publish(tx, a_publication(in_force(tx), price_minor=10_000), now=NOW)
        (fact,) = waiting(tx)
        assert fact.body["price_minor"] == 10_000


def test_an_offer_that_changes_nothing_in_the_shop_is_not_told_and_counts_as_shown() -> None:
    with bare() as tx:
        set_list_price(tx, SHOP, "TRAY-12", "SEK", 10_000, now=NOW)
        offers.publish(tx, a_publication(None), now=NOW)
        first = a_publication(in_force(tx))
        offers.publish(tx, replace(first, offer=replace(first.offer, lead=timedelta(hours=50))), now=NOW)
        (fact,) = waiting(tx)
        at = NOW + timedelta(minutes=3)
        offers.shown(tx, fact.body, now=at)
        logged = offers.standing(tx, SHOP, "TRAY-12")
        assert logged is not None
        assert logged.shown_at == at


def test_the_most_specific_article_number_with_an_offer_binds() -> None:
    with bare() as tx:
        offers.publish(tx, a_publication(None, write=False), now=NOW)
        placed = NOW + timedelta(hours=1)
        assert offers.binding(tx, SHOP, ("TRAY-12-B", "TRAY-12"), placed) == PROMISE
        assert offers.binding(tx, "another", ("TRAY-12",), placed) is None


@pytest.mark.parametrize(("promised_h", "kept"), [(-1.0, 0), (0.0, 1), (1.0, 1)])
def test_a_promise_is_kept_when_the_last_job_has_ended_by_then(promised_h: float, kept: int) -> None:
    with bare() as tx:
        promise_at = NOW + timedelta(hours=promised_h)
        early = a_publication(None, promise_at=promise_at, write=False)
        offers.publish(tx, early, now=NOW - timedelta(hours=5))
        work.take(tx, placed_at=NOW - timedelta(hours=2))
        assert offers.promises(tx) == (0, 0)
        assert work.release(tx) == 1
        job = work.job_ids(tx)[0]
        work.settle(tx, work.intend(tx, job))
        moving.move_job(tx, job, seen=JobState.ACCEPTED, state=JobState.RUNNING, who="kvot", evidence="seen", now=NOW)
        work.conclude(tx, job, good=1)
        assert offers.promises(tx) == (1, kept)


def test_the_hours_of_a_campaign_are_those_of_the_last_seven_days() -> None:
    def decided(*, open_: bool) -> CampaignDecision:
        return CampaignDecision(open=open_, kind=CampaignKind.VISIBILITY, depth=0.0, until=None, units_left=3)

    with bare() as tx:
        for hours, open_ in ((0, True), (5, True), (10, False), (11, False), (100, True)):
            at = NOW + timedelta(hours=hours)
            follow_campaign(tx, "white", decided(open_=open_), why="", now=at)
        seen = campaign_seen(tx, "white", now=NOW + timedelta(hours=104))
        assert (seen.open, seen.hours_week) == (True, 14.0)
        seen = campaign_seen(tx, "white", now=NOW + timedelta(hours=168 + 6))
        assert (seen.open, seen.hours_week) == (True, 4.0 + 74.0)
        seen = campaign_seen(tx, "white", now=NOW + timedelta(hours=600))
        assert (seen.open, seen.hours_week) == (True, 168.0)
        assert not campaign_seen(tx, "black", now=NOW).open
