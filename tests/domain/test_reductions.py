"""What a coupon takes off makes the announced share true for every article; the strictest voice about prices holds."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.price_log import Lowest
from gateway.domain.pricing import Mode, Said, strictest
from gateway.domain.reductions import Reduced, percent_off, reduced_minor, rests_until

NOW = datetime(2026, 5, 4, tzinfo=UTC)
ARTICLES = st.lists(
    st.tuples(st.integers(100, 1_000_000), st.integers(1, 100)).map(
        lambda one: Reduced(price_minor=one[0], prior_minor=max(1, one[0] * one[1] // 100))
    ),
    min_size=1,
    max_size=5,
)


@given(ARTICLES, st.integers(1, 60))
def test_everybody_pays_at_most_what_was_announced(articles: list[Reduced], depth: int) -> None:
    percent = percent_off(articles, depth / 100)
    for one in articles:
        exact = Decimal(one.price_minor) * (1 - percent / 100)
        assert exact <= Decimal(one.prior_minor) * (100 - depth) / 100
        assert abs(reduced_minor(one.price_minor, percent) - exact) <= Decimal("0.5")


def test_an_article_at_its_lowest_gets_just_the_depth() -> None:
    assert percent_off([Reduced(price_minor=10_000, prior_minor=10_000)], 0.1) == Decimal("10.00")
    assert percent_off([Reduced(price_minor=12_000, prior_minor=10_000)], 0.1) == Decimal("25.00")
    assert percent_off([Reduced(price_minor=8_000, prior_minor=10_000)], 0.1) == Decimal("10.00")


def test_a_reduction_rests_30_days_after_the_last_and_until_every_log_is_whole() -> None:
    month = timedelta(days=30)
    whole = Lowest(price_minor=1, known_since=NOW - month, whole=True)
    young = Lowest(price_minor=1, known_since=NOW, whole=False)
    assert rests_until([whole], last_ended=None) is None
    assert rests_until([whole, young], last_ended=None) == NOW + month
    assert rests_until([whole], last_ended=NOW) == NOW + month
    assert rests_until([young], last_ended=NOW + timedelta(days=1)) == NOW + timedelta(days=31)


@given(st.lists(st.tuples(st.sampled_from([*Mode, None]), st.booleans(), st.booleans())))
def test_the_strictest_voice_holds(voices: list[tuple[Mode | None, bool, bool]]) -> None:
    control = strictest(Said(who="x", mode=mode, frozen=frozen, at_list=at_list) for mode, frozen, at_list in voices)
    modes = {mode for mode, _, _ in voices}
    expected = Mode.OFF if Mode.OFF in modes else Mode.ADVISE if Mode.ADVISE in modes else Mode.AUTO
    assert control.mode is expected
    assert control.frozen is any(frozen for _, frozen, _ in voices)
    assert control.at_list is any(frozen and at_list for _, frozen, at_list in voices)
