"""Ledger -> hot folder: the files of released jobs get to their machine, and only then are the jobs sent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gateway.clock import Clock
from gateway.files.store import FileStore, LostFileError, StoreError
from gateway.ledger import files
from gateway.ledger.database import Ledger, Tx
from gateway.ledger.files import Parcel
from gateway.stages.backoff import Backoff

IDLE_S = 30.0
TIDY_S = 3600.0
LONGEST_PAUSE_S = 60.0
_LOST = "our own copy of it is gone or damaged; it is fetched again"
TRIES_IN_SILENCE = 3  # after so many the job is held, so that others go on, and a person is told


@dataclass(frozen=True, kw_only=True, slots=True)
class Porter:
    """What carries files to one machine; without a folder nothing can be delivered there."""

    machine: str
    folder: Path | None
    store: FileStore
    ledger: Ledger
    clock: Clock
    log: Any

    async def run(self) -> NoReturn:
        """Deliver whatever is to be delivered; a folder that does not answer is tried again and again."""
        backoff, tries = Backoff(most_s=LONGEST_PAUSE_S), 0
        while True:
            fault = await self.step(patient=tries < TRIES_IN_SILENCE)
            if fault is None:
                backoff.reset()
            tries = 0 if fault is None else tries + 1
            pause_s = IDLE_S if fault is None else backoff.wait_s()
            await self.ledger.changed(files.delivery_bell(self.machine), timeout_s=pause_s)

    async def step(self, *, patient: bool = False) -> str | None:
        """Try to deliver everything once; give the last fault. Impatient, hold jobs whose files do not get there."""
        last: str | None = None
        for parcel in await self.ledger.read(lambda tx: files.parcels(tx, self.machine)):
            fault = await self._deliver(parcel)
            if fault is None:
                continue
            last = fault
            self.log.warning("file not delivered", machine=self.machine, job=parcel.job_id, reason=fault)
            if not patient:
                await self._hold(parcel, fault)
        return last

    async def _deliver(self, parcel: Parcel) -> str | None:
        """Lay a file into the folder, and write that down: ended in between, it is found there by its content."""
        if self.folder is None:
            return f"machines.{self.machine} has no hot_folder"
        now = self.clock.now()
        try:
            await self.store.deliver(parcel.sha256, self.folder, parcel.name)
        except StoreError as fault:
            return str(fault)
        except LostFileError:
            await self.ledger.write(lambda tx: self._fetch_again(tx, parcel))
            return _LOST
        await self.ledger.write(lambda tx: files.delivered(tx, parcel, machine=self.machine, now=now))
        return None

    async def _hold(self, parcel: Parcel, reason: str) -> None:
        now = self.clock.now()
        await self.ledger.write(
            lambda tx: files.undeliverable(tx, parcel, machine=self.machine, reason=reason, now=now)
        )

    def _fetch_again(self, tx: Tx, parcel: Parcel) -> None:
        files.again(tx, parcel.file_id)
        files.undeliverable(tx, parcel, machine=self.machine, reason=_LOST, now=self.clock.now())


async def tidy_files(store: FileStore, *, ledger: Ledger, clock: Clock, log: Any) -> NoReturn:
    """Erase files whose time has come, and delete from the disk what nothing refers to.

    A file that is kept in this very moment may be deleted before the ledger names it: its delivery then finds it
    lost, and it is fetched again.
    """
    while True:
        now = clock.now()
        await ledger.write(lambda tx: files.erase(tx, now=now))  # noqa: B023 - it runs at once
        known = await ledger.read(files.known)
        try:
            await store.prepare()
            await store.sweep(known)
        except StoreError as fault:
            log.warning("files not tidied", reason=str(fault))
        await clock.sleep(TIDY_S)
