"""Random histories at a machine that keeps a mark and can lose it: one question a time, and no second start."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from drivers.base import Answer, Command, Finding, Receipt
from gateway.domain.dispatch import Standing
from gateway.domain.machines import Level
from gateway.errors import RefusedError
from gateway.ledger import machines
from gateway.ledger.database import Tx
from gateway.ledger.sql import rows
from tests.stages.factory import PRESS
from tests.stages.lives import Life, Place, QuickMachine
from tests.stages.test_histories import STEPS, History, check

SEEDS = (0, 1, 11, 19, 27, 31)  # marks taken over twice, and refused while a command is being settled


class MarkedMachine(QuickMachine):
    """A machine that remembers the highest job number it accepted, and accepts none below it."""

    def restart(self, *, forget: bool = True) -> None:
        if forget:
            self.mark = 0
        super().restart(forget=forget)

    def finding(self, job_id: str) -> Finding:
        return replace(super().finding(job_id), mark=self.mark)

    def _load(self, command: Command) -> Receipt:
        if command.job_no <= (self.mark or 0):
            return Receipt(answer=Answer.ACCEPTED, evidence="already accepted earlier (ACK_CODE 2)")
        receipt = super()._load(command)
        if receipt.answer is Answer.ACCEPTED:
            self.mark = command.job_no
        return receipt


class MarkedHistory(History):
    """A history in which a person also accepts a lost mark, at any moment, and arms the machine again."""

    async def person(self, life: Life) -> None:
        await self._one_question_at_most(life)
        known = (await life.ledger.read(_standing)).mark
        mark = self.place.press.mark or 0
        if mark < known:
            await self._take_over(life, mark)
        await super().person(life)

    async def _take_over(self, life: Life, mark: int) -> None:
        def take(tx: Tx) -> None:
            machines.baseline(tx, PRESS, mark=mark, who="person:tester", now=self.place.clock.now())

        try:
            await life.ledger.write(take)
        except RefusedError:
            self.story.append("baseline: refused")
            return
        self.story.append(f"baseline: {mark}")
        await life.factory.arm()

    async def _one_question_at_most(self, life: Life) -> None:
        """See that nobody is asked twice about the same job, nor about a lost memory beside its job."""
        found = await life.ledger.read(
            lambda tx: rows(
                tx,
                "SELECT subject, cause FROM exceptions WHERE state <> 'resolved' "
                "AND (cause = 'held' OR actions LIKE '%\"not_made\"%')",
            )
        )
        assert len(found) <= 1, [(one["subject"], one["cause"]) for one in found]


def _standing(tx: Tx) -> Standing:
    return machines.standing(tx, PRESS, configured=Level.START, silent_s=0.0)


@contextmanager
def _a_history(seed: int, directory: Path) -> Iterator[MarkedHistory]:
    place = Place(state_dir=directory)
    place.press = MarkedMachine(monotonic=place.clock.monotonic, now=place.clock.now, duplicates="run")
    place.press.mark = 0
    history = MarkedHistory(place=place, chance=Random(seed))
    try:
        yield history
    except BaseException as error:
        error.add_note("\n".join(history.story))
        raise


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_job_is_started_once_though_the_mark_is_lost_and_taken_over_at_any_time(
    seed: int, state_dir: Path
) -> None:
    with _a_history(seed, state_dir) as history:
        await history.live(steps=STEPS)
        async with history.place.life() as life:
            await life.begin()
            await history.calm_down(life)
            await check(history, life)
