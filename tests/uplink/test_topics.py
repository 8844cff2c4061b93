"""Each fact and each mirror has one place in the tree of ISA-95 levels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.uplink.topics import Topics, check_topic

TOPICS = Topics(base="nordform/LUND", gateway_id="g1", machines={"press-1": ("moulding", "line-1")})


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        ({"type": "order.received", "order_id": 17}, "nordform/LUND/orders/17/event"),
        (
            {"type": "job.running", "machine": "press-1", "job_id": "LUND-1-A"},
            "nordform/LUND/moulding/line-1/press-1/job/LUND-1-A/event",
        ),
        ({"type": "run.finished", "family": "pla-white", "run_id": 3}, "nordform/LUND/runs/pla-white/3/event"),
        ({"type": "offer.changed", "sku": "TRAY/12"}, "nordform/LUND/offers/TRAY%2F12/event"),
        ({"type": "campaign.opened", "family": "pla-white"}, "nordform/LUND/campaigns/pla-white/event"),
        ({"type": "proposal.opened", "proposal_id": 4}, "nordform/LUND/proposals/4"),
        ({"type": "proposal.approved", "proposal_id": 4}, "nordform/LUND/proposals/4/decision"),
        ({"type": "proposal.expired", "proposal_id": 4}, "nordform/LUND/proposals/4/decision"),
        ({"type": "exception.opened", "exception_id": 9}, "nordform/LUND/exceptions/9"),
        ({"type": "machine.armed", "machine": "press-1"}, "nordform/LUND/moulding/line-1/press-1/alarm"),
        ({"type": "machine.armed", "machine": "scrapped"}, "nordform/LUND/_/_/scrapped/alarm"),
    ],
)
def test_a_fact_goes_to_the_topic_of_what_it_tells_of(body: dict[str, object], topic: str) -> None:
    assert TOPICS.fact(body) == topic


@pytest.mark.parametrize(
    "body", [{}, {"type": "weather.changed"}, {"type": "order.received"}, {"type": "job.running", "job_id": "A"}]
)
def test_a_fact_without_a_place_is_a_bug(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"topic|carry"):
        TOPICS.fact(body)


@pytest.mark.parametrize(
    ("subject", "topic"),
    [
        (("state", "press-1"), "nordform/LUND/moulding/line-1/press-1/state"),
        (("job", "press-1"), "nordform/LUND/moulding/line-1/press-1/job"),
        (("health", "g1"), "nordform/LUND/_gateway/g1/health"),
        (("info", "g1"), "nordform/LUND/_gateway/g1/info"),
        (("run", "pla-white"), "nordform/LUND/runs/pla-white/open"),
        (("offer", "TRAY-12"), "nordform/LUND/offers/TRAY-12"),
        (("campaign", "pla-white"), "nordform/LUND/campaigns/pla-white"),
        (("link", "mqtt"), None),
    ],
)
def test_a_board_subject_has_a_mirror_or_none(subject: tuple[str, str], topic: str | None) -> None:
    assert TOPICS.mirror(subject) == topic


@pytest.mark.parametrize("base", ["", "a/", "/a", "a/+", "$SYS/x", "a//b"])
def test_a_base_that_no_broker_would_accept_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        Topics(base=base, gateway_id="g1")


@given(name=st.text(min_size=1), other=st.text(min_size=1))
def test_any_name_is_exactly_one_level_and_no_two_share_a_topic(name: str, other: str) -> None:
    def topic(family: str) -> str:
        return TOPICS.fact({"type": "run.opened", "family": family, "run_id": 1})

    check_topic(topic(name))
    assert topic(name).count("/") == 5
    assert (topic(name) == topic(other)) == (name == other)
