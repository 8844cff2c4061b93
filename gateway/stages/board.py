"""What is true right now and stored nowhere: machine states and link states, for mirrors and pages."""

import asyncio
from collections.abc import Mapping

Subject = tuple[str, str]  # ("state", "press-1"), ("job", "press-1"), ("health", gateway id)


class Board:
    """The newest value per subject; a writer overwrites, a reader asks what changed since it last looked."""

    def __init__(self) -> None:
        self._values: dict[Subject, Mapping[str, object]] = {}
        self._stamps: dict[Subject, int] = {}
        self._stamp = 0
        self._bell = asyncio.Event()

    def put(self, subject: Subject, value: Mapping[str, object]) -> None:
        """Replace a subject's value; an equal value is no change."""
        if self._values.get(subject) == value:
            return
        self._stamp += 1
        self._values[subject] = dict(value)
        self._stamps[subject] = self._stamp
        self._bell.set()

    def get(self, subject: Subject) -> Mapping[str, object]:
        """Give a subject's value; an empty mapping when nothing is known."""
        return self._values.get(subject, {})

    @property
    def stamp(self) -> int:
        """Give the number of the newest change."""
        return self._stamp

    def since(self, stamp: int) -> dict[Subject, Mapping[str, object]]:
        """Give every subject changed after that number."""
        return {subject: self._values[subject] for subject, at in self._stamps.items() if at > stamp}

    async def changed(self, stamp: int) -> None:
        """Wait until something changed after that number; for one reader (the publish stage)."""
        while self._stamp <= stamp:
            self._bell.clear()
            await self._bell.wait()
