"""What starts a run, and what does not."""

from dataclasses import replace
from datetime import timedelta

from gateway.domain.pricing import FamilyRules, Release, ReleaseKind
from tests.domain.pricing.cases import HOUSE, START, codes, orders, planned

FAR = START + timedelta(hours=200)
NEAR = START + timedelta(hours=4)


def by(release: Release) -> FamilyRules:
    return replace(HOUSE, run=replace(HOUSE.run, release=release))


def test_an_empty_run_waits_whatever_releases_it() -> None:
    for release in Release:
        seen = planned(by(release))
        assert seen.release.kind is ReleaseKind.WAIT
        assert seen.release.until is None


def test_a_full_run_always_starts() -> None:
    for release in Release:
        assert planned(by(release), orders=orders(120, promise=FAR)).release.kind is ReleaseKind.NOW


def test_orders_made_at_once_start_with_the_first() -> None:
    assert planned(by(Release.AT_ONCE), orders=orders(1, promise=FAR)).release.kind is ReleaseKind.NOW


def test_a_threshold_starts_the_run_and_so_does_its_latest_start() -> None:
    family = by(Release.THRESHOLD)
    assert planned(family, orders=orders(44, promise=FAR)).release.kind is ReleaseKind.NOW
    waiting = planned(family, orders=orders(43, promise=FAR))
    assert waiting.release.kind is ReleaseKind.WAIT
    assert waiting.release.until == waiting.latest_start
    assert planned(family, orders=orders(3, promise=NEAR)).release.kind is ReleaseKind.NOW
    assert planned(family, orders=orders(43, promise=None)).release.until is None


def test_a_threshold_below_break_even_asks_first_and_goes_on_collecting() -> None:
    family = replace(HOUSE, run=replace(HOUSE.run, release=Release.THRESHOLD, threshold=10))
    asks = planned(family, orders=orders(12, promise=FAR))
    assert asks.release.needs_approval
    assert asks.release.kind is ReleaseKind.WAIT
    assert asks.release.until == asks.latest_start
    assert {"release_threshold", "below_break_even"} <= codes(asks)
    assert planned(family, orders=orders(23, promise=FAR)).release.kind is ReleaseKind.NOW
    committed = planned(family, orders=orders(12, promise=NEAR)).release
    assert committed.kind is ReleaseKind.NOW
    assert not committed.needs_approval


def test_with_latest_start_the_threshold_is_only_an_alarm() -> None:
    waiting = planned(HOUSE, orders=orders(60, promise=FAR))
    assert waiting.threshold_reached
    assert waiting.release.kind is ReleaseKind.WAIT
    started = planned(HOUSE, orders=orders(5, promise=NEAR))
    assert started.release.kind is ReleaseKind.NOW
    assert "below_break_even" in codes(started)


def test_without_promises_a_run_starts_when_its_window_is_over() -> None:
    opened = orders(5, promise=None, placed=START - timedelta(hours=190))
    assert planned(HOUSE, orders=opened).release.kind is ReleaseKind.NOW
    assert "release_window_over" in codes(planned(HOUSE, orders=opened))


def test_a_held_run_starts_for_nothing() -> None:
    seen = planned(HOUSE, orders=orders(120, promise=NEAR), held="no moulds")
    assert seen.release.kind is ReleaseKind.HOLD
    assert "release_held" in codes(seen)
    assert seen.at_risk


def test_a_family_that_earns_nothing_says_so() -> None:
    poor = replace(HOUSE, costs=replace(HOUSE.costs, unit_minor=9000))
    seen = planned(poor, orders=orders(1, promise=NEAR))
    assert seen.break_even_units is None
    assert not seen.earns
    assert "never_breaks_even" in codes(seen)
