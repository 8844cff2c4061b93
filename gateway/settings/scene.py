"""Everything that is checked together, and what a check may say about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from drivers.profile import Profile
from gateway.settings.faults import Path
from gateway.settings.models import Sections
from gateway.settings.routes import StepSettings
from gateway.settings.source import Node

STATION = "station"  # the protocol of a person


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """Something about one key; `of_key` points at the key itself rather than at its value."""

    path: Path
    text: str
    of_key: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """All that is checked together.

    `tree` and the `names` of its sections hold everything written, `sections` only the well formed;
    `profiles` the machine types that could be read, by name.
    """

    tree: Node
    sections: Sections
    names: Mapping[str, frozenset[str]]
    profiles: Mapping[str, Profile]

    def profile_of(self, machine: str) -> Profile | None:
        """Give a machine's type, or None where it is unknown or faulty itself."""
        node = self.tree.find(("machines", machine, "profile"))
        return self.profiles.get(node.value) if node is not None and isinstance(node.value, str) else None

    def machines_of(self, family: str) -> Iterator[str]:
        """Give the names of the machines that a family lists."""
        for path in listed(self.tree, ("families", family, "machines")):
            node = self.tree.find(path)
            if node is not None and isinstance(node.value, str):
                yield node.value

    def machines_for(self, step: StepSettings) -> tuple[str, ...]:
        """Give the names of the machines that can do a step."""
        return tuple(self.machines_of(step.family)) if step.family is not None else (step.group,)

    def has(self, *path: str | int) -> bool:
        """Say whether a key is written, whatever stands there."""
        return self.tree.find(path) is not None


def listed(tree: Node, path: Path) -> Iterator[Path]:
    """Give the path of each member of a list."""
    node = tree.find(path)
    members = len(node.value) if node is not None and isinstance(node.value, tuple) else 0
    yield from ((*path, number) for number in range(members))
