"""Which tags of a machine type a person may write by hand: never what moves, resets, forces or guards it (pure)."""

import re
from collections.abc import Iterator
from typing import Final

from drivers.profile import Profile, Tag

# Looked for in names and addresses, parted into words: `Press.ResetDone` is read as `press reset done`.
_NEVER: Final = (
    ("mode", r"\w*modes?\b"),
    ("reset", r"(?<!p)reset"),
    ("clear-fault", r"\b(clear|clr|ack|acknowledge|quit)"),
    ("force", r"\bforc(e|ed|ing)\b"),
    ("safety", r"\bsafe(ty)?\b|safety|\be ?stop\b|emergency|\bguard|interlock|\bmuting\b|\bbypass"),
    ("start", r"\b(re)?start\b|reboot|\bjog\b"),
)
_FORCES: Final = frozenset({"N", "kN", "MN"})  # a tag in these units is a force that is measured, not a forced value


def named_faults(profile: Profile) -> Iterator[str]:
    """List what a profile lets people write and must not, as `writable.NAME: what is wrong`, whatever the protocol."""
    for name in profile.writable:
        tag = profile.tags.get(name)
        if tag is None:
            yield f"writable.{name}: no such tag; write its address and unit under tags"
        elif (kind := _never(name, tag)) is not None:
            yield (
                f"writable.{name}: Kvot writes no {kind} tag, not even by hand (it looks like one: "
                f"{tag.address!r}); do it at the machine's panel, and remove it here"
            )


def _never(name: str, tag: Tag) -> str | None:
    """Say which kind of tag that nobody may write through Kvot this looks like, or None."""
    words = f"{_words(name)} | {_words(tag.address.rpartition(';')[2])}"
    for kind, pattern in _NEVER:
        if re.search(pattern, words) and not (kind == "force" and tag.unit in _FORCES):
            return kind
    return None


def _words(text: str) -> str:
    """Part a name into words in small letters."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return " ".join(re.findall(r"[a-z]+", parted.lower()))
