"""The witness of samples: each machine's messages must be there, or be declared as lost, by (boot, seq)."""

import json
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Tags:
    """What all samples add up to: values after de-duplication, and messages that nobody sent nor declared lost."""

    values: int = 0
    undeclared: int = 0
    declared: int = 0
    late: int = 0  # messages marked as history


@dataclass(kw_only=True, slots=True)
class _Row:
    """The messages of one machine and boot: how many values each had, and which ranges were declared."""

    values: dict[int, int] = field(default_factory=dict)
    declared: set[tuple[int, int]] = field(default_factory=set)
    late: set[int] = field(default_factory=set)

    @property
    def missing(self) -> set[int]:
        """Give the numbers up to the highest known that no message had."""
        highest = max([0, *self.values, *(last for _, last in self.declared)])
        return set(range(1, highest + 1)) - self.values.keys()

    @property
    def undeclared(self) -> int:
        """Count the missing numbers that no declaration covers."""
        return sum(not any(low <= number <= high for low, high in self.declared) for number in self.missing)


class TagBook:
    """Writes down the messages of all tags topics."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], _Row] = {}

    def hear(self, topic: str, payload: bytes) -> bool:
        """Take one message of a tags topic; False for one that cannot be read."""
        try:
            body = json.loads(payload)
            row = self._rows.setdefault((topic, int(body["boot"])), _Row())
            if "gap" in body:
                row.declared.add((int(body["gap"]["from"]), int(body["gap"]["to"])))
            else:
                seq = int(body["seq"])
                row.values[seq] = len(body["values"])
                if body.get("history"):
                    row.late.add(seq)
        except (ValueError, TypeError, KeyError):
            return False
        return True

    def total(self) -> Tags:
        """Add everything up."""
        rows = self._rows.values()
        return Tags(
            values=sum(sum(row.values.values()) for row in rows),
            undeclared=sum(row.undeclared for row in rows),
            declared=sum(len(row.missing) - row.undeclared for row in rows),
            late=sum(len(row.late) for row in rows),
        )
