"""Board and results -> board: the key figures of each machine since midnight, for the kpi mirror."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import NoReturn
from zoneinfo import ZoneInfo

from drivers.profile import Recipe
from gateway.clock import Clock
from gateway.domain import kpis
from gateway.domain.kpis import Made, Record
from gateway.ledger import results
from gateway.ledger.database import Ledger
from gateway.ledger.results import Outcome
from gateway.stages.board import Board

LOOK_S = 1.0
SHOW_S = 5.0  # figures that only time changed are shown this often

Recipes = Mapping[str, Mapping[str, Recipe]]  # by machine and name


async def watch_kpis(
    ledger: Ledger,
    board: Board,
    *,
    recipes: Recipes,
    pieces_per_cycle: Mapping[str, int],
    timezone: str,
    clock: Clock,
) -> NoReturn:
    """Look at every machine once a second for ever, and begin anew at the factory's midnight.

    After a restart the day's results are counted again from the ledger, with their times of running.
    """
    watch = KpiWatch(board, recipes=recipes, pieces_per_cycle=pieces_per_cycle, zone=ZoneInfo(timezone))
    began = clock.now()
    after = await ledger.read(lambda tx: results.last_before(tx, watch.midnight(began)))
    watch.begin(began)
    while True:
        while found := await ledger.read(partial(results.results_after, after=after)):
            after = found[-1].result_id
            watch.count(found, began=began)
        watch.look(clock.now(), monotonic_s=clock.monotonic())
        await clock.sleep(LOOK_S)


class KpiWatch:
    """The records of all machines."""

    def __init__(self, board: Board, *, recipes: Recipes, pieces_per_cycle: Mapping[str, int], zone: ZoneInfo) -> None:
        self._board, self._recipes, self._pieces, self._zone = board, recipes, pieces_per_cycle, zone
        self._records: dict[str, Record] = {}
        self._shown: dict[str, tuple[object, float]] = {}
        self._day: datetime | None = None

    def midnight(self, now: datetime) -> datetime:
        """Give the beginning of the factory's day."""
        return now.astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)

    def begin(self, now: datetime) -> None:
        """Begin every machine's record anew."""
        self._day = self.midnight(now)
        self._records = {machine: kpis.begin(now, since=self._day) for machine in self._recipes}

    def count(self, outcomes: list[Outcome], *, began: datetime) -> None:
        """Add results; what ended before we began to look was not seen running."""
        for outcome in outcomes:
            record = self._records.get(outcome.machine)
            if record is not None:
                seen = outcome.ended_at is None or outcome.ended_at >= began
                self._records[outcome.machine] = kpis.count(record, self._made(outcome), seen=seen)

    def look(self, now: datetime, *, monotonic_s: float) -> None:
        """Look at the board once, and show figures where something happened or time has passed."""
        if self._day != self.midnight(now):
            self.begin(now)
        for machine, record in self._records.items():
            state = self._board.get(("state", machine))
            word = str(state.get("state", "not_available"))
            has_job = None if "job" not in state else state["job"] is not None
            mode = state.get("mode")
            seen = kpis.see(record, state=word, has_job=has_job, mode=None if mode is None else str(mode), at=now)
            self._records[machine] = seen
            self._show(machine, seen, monotonic_s)

    def _show(self, machine: str, record: Record, monotonic_s: float) -> None:
        news = (record.element, record.jobs, record.produced, record.good, record.since)
        before, shown_s = self._shown.get(machine, (None, 0.0))
        if news != before or monotonic_s - shown_s >= SHOW_S:
            self._shown[machine] = (news, monotonic_s)
            self._board.put(("kpi", machine), kpis.figures(record))

    def _made(self, outcome: Outcome) -> Made:
        recipe = self._recipes[outcome.machine].get(outcome.recipe)
        return Made(
            job_id=outcome.job_id,
            produced=outcome.produced,
            good=outcome.good,
            pieces_per_cycle=self._pieces.get(outcome.family, 1),
            busy_s=outcome.busy_s,
            planned_s=None if recipe is None else recipe.cycle_s,
            is_first=outcome.is_first,
        )
