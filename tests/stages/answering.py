"""Short ways to answer proposals in a house that prices itself."""

from collections.abc import Sequence
from typing import Any

from gateway.ledger import proposals
from gateway.ledger.proposals import Proposal
from gateway.stages import approvals
from gateway.stages.releases import Act
from tests.stages.pricing_house import House

ANNA, BERT = "person:anna", "person:bert"


def act(house: House, who: str = ANNA) -> Act:
    return Act(who=who, now=house.clock.now(), site="LUND", epoch=1)


async def open_proposals(house: House, kind: str | None = None) -> Sequence[Proposal]:
    found = await house.ledger.read(lambda tx: proposals.list_proposals(tx, state="open", after=0, limit=100))
    return [one for one in found if kind in {None, one.kind}]


async def the_proposal(house: House, kind: str, subject: str) -> Proposal:
    (found,) = [one for one in await open_proposals(house, kind) if one.subject == subject]
    return found


async def approve(house: House, proposal_id: int, *, who: str = ANNA, option: str | None = None) -> str:
    return await house.ledger.write(
        lambda tx: approvals.approve(tx, house.pricing, proposal_id, act(house, who), option=option)
    )


async def reject(house: House, proposal_id: int, *, who: str = ANNA, reason: str = "no") -> str:
    return await house.ledger.write(lambda tx: approvals.reject(tx, proposal_id, act(house, who), reason=reason))


async def state_of(house: House, proposal_id: int) -> Any:
    found = await house.ledger.read(lambda tx: proposals.find(tx, proposal_id))
    assert found is not None
    return found.state
