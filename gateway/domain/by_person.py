"""A person releases a run, or a part of it, when the rules would still wait: what starts, and what collects on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.domain.products import Family
from gateway.domain.runs import Candidate, Member, OpenRun, Releasing, choose_machine

BY_A_PERSON = "by_person"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A waiting job to be divided: so many of its pieces start, the others collect on."""

    member: Member
    quantity: int


def release_by_person(
    run: OpenRun, family: Family, candidates: Mapping[str, Candidate], *, keep: int | None = None
) -> tuple[Releasing, Cut | None]:
    """Decide what of a run starts now: all that can start, or its first `keep` pieces by promise.

    What a run costs is not asked: a person may release one that does not pay. The job in the `Cut` stands in
    `starting` with all its pieces until it has been divided. Nothing that can start gives an empty `starting`.
    """
    able = [member for member in run.members if member.can_start]
    starting: list[Member] = []
    cut: Cut | None = None
    left = sum(member.quantity for member in able) if keep is None else keep
    for member in able:
        if left < 1:
            break
        if member.quantity > left:
            cut = Cut(member=member, quantity=left)
        starting.append(member)
        left -= member.quantity
    waiting = tuple(member for member in run.members if member not in starting)
    decided = Releasing(
        run_id=run.run_id,
        machine=choose_machine(family, candidates),
        reason=BY_A_PERSON,
        starting=tuple(starting),
        waiting=waiting,
    )
    return decided, cut


def divided(decided: Releasing, cut: Cut, *, rest: str) -> Releasing:
    """Give the release once the job in the cut was divided: it keeps its pieces, the job `rest` collects on."""
    member = cut.member
    kept = replace(member, quantity=cut.quantity)
    later = replace(member, job_id=rest, quantity=member.quantity - cut.quantity)
    starting = tuple(kept if one == member else one for one in decided.starting)
    return replace(decided, starting=starting, waiting=(later, *decided.waiting))
