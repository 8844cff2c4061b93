"""How far prices may go by themselves: the configuration, people and the first weeks speak, and the strictest holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.domain.pricing.inputs import Mode

_STRICTNESS: Final[Mapping[Mode, int]] = {Mode.AUTO: 0, Mode.ADVISE: 1, Mode.OFF: 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What one voice says: a mode, a freeze, or both. `who` is `kvot.yaml`, `person:<name>`, `mqtt`, or why it is so.

    `family` None: it is about all. `at_list`: the freeze is at the list price. `until`: when it ends by itself.
    """

    who: str
    family: str | None = None
    mode: Mode | None = None
    frozen: bool = False
    at_list: bool = False
    since: datetime | None = None
    until: datetime | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """What holds for a family, and every voice that spoke."""

    mode: Mode
    frozen: bool = False
    at_list: bool = False
    said: tuple[Said, ...] = ()


def strictest(said: Iterable[Said]) -> Control:
    """Give the strictest mode that any voice names (auto where none does), and a freeze where any voice freezes."""
    voices = tuple(said)
    modes = [voice.mode for voice in voices if voice.mode is not None]
    return Control(
        mode=max(modes, key=_STRICTNESS.__getitem__, default=Mode.AUTO),
        frozen=any(voice.frozen for voice in voices),
        at_list=any(voice.frozen and voice.at_list for voice in voices),
        said=voices,
    )
