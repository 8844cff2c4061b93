"""A second gateway at the machine of the first: a ledger, a shop and lives of its own, in a directory within."""

import json
from dataclasses import replace
from pathlib import Path

from tests.faults.checker import Finding
from tests.faults.pressside import PressSide
from tests.faults.scenes import Point, Scene
from tests.faults.wireworld import ADDRESS, WireWorld

SITE = "MALMO"
_FOUND, _PLACE = "found.json", "other"


def place_in(directory: Path) -> Path:
    """Make the guest's directory within that of its host."""
    place = directory / _PLACE
    place.mkdir()
    return place


def host_of(directory: Path) -> Path:
    """Give the directory of the host, where the machine keeps its journal."""
    return directory.parent


def beside(point: Point) -> Point:
    """Give the guest's point: the same orders in another shop, and nothing is done to it."""
    return replace(point, acts=(), scene=replace(point.scene, guest=False, site=SITE))


def note(directory: Path, found: list[Finding]) -> None:
    """Leave what was found of the guest to its host."""
    (directory / _FOUND).write_text(json.dumps(found))


def findings(directory: Path) -> list[Finding]:
    """Give what was found of the guest."""
    return [(kind, invariant, f"guest: {text}") for kind, invariant, text in _noted(directory / _PLACE / _FOUND)]


def _noted(path: Path) -> list[Finding]:
    return [(kind, invariant, text) for kind, invariant, text in json.loads(path.read_text())]


class GuestWorld(WireWorld):
    """The world of the guest: its own shop, broker and people, and its host's machine."""

    def __init__(self, directory: Path, scene: Scene) -> None:
        super().__init__(directory, scene)
        self._press_journal = host_of(directory) / "press.journal"

    def _machine_of(self, scene: Scene) -> PressSide:
        return _HostsPress(self._directory, scene, self._chance, None)


class _HostsPress(PressSide):
    """The press of the host, seen by the guest: it runs already, and is somebody else's to stop."""

    async def start(self, *, shift: int = 0, certificate: str = "own") -> None:  # noqa: ARG002 - it has been started
        self.url = (host_of(self._directory) / ADDRESS).read_text()
