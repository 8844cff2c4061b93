"""Ledger -> ledger: what is owed becomes released jobs."""

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.domain.machines import Level
from gateway.domain.plan import Candidate, plan
from gateway.domain.products import Family
from gateway.ledger import planning
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.machines import arming

LOOK_AGAIN_S = 60.0


async def planning_stage(
    ledger: Ledger, *, families: Mapping[str, Family], machines: tuple[str, ...], clock: Clock, log: Any
) -> NoReturn:
    """Plan whenever something is owed, and once a minute."""

    def once(tx: Tx) -> int:
        load = planning.loads(tx)
        candidates = {
            name: Candidate(machine=name, load=load.get(name, 0), usable=arming(tx, name).level is not Level.READ)
            for name in machines
        }
        decided = plan(planning.owed(tx), families, candidates)
        return planning.release(tx, decided, site=ledger.site, epoch=ledger.epoch, now=clock.now())

    while True:
        if released := await ledger.write(once):
            log.info("jobs released", jobs=released)
        await ledger.changed("plan", timeout_s=LOOK_AGAIN_S)
