"""The rows of delivery.md, section 5, that this harness answers for: how each is struck, or why it is not here."""

from dataclasses import dataclass, field

DAY_S, HOUR_S = 86_400.0, 3_600.0
TO_1970_S = -56 * 365.25 * DAY_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row. `deed` is done where the gateway comes to a point that begins with one of `points`; `weight` is its
    share; `why` says why it is not exercised here, if so."""

    name: str
    deed: str = "kill"
    points: tuple[str, ...] = ()
    weight: int = 1
    amounts: tuple[float, ...] = (0.0,)
    scenes: str = ""  # only scenes whose name begins so
    wire: tuple[str, ...] = ()  # what the chaos on a wire does
    why: str = ""
    needs: frozenset[str] = field(default_factory=frozenset)


_DISK = frozenset({"recorded disk"})
_ANYWHERE = ("intake:", "plan:", "intent:", "machine:", "receipt:", "result:", "clear:", "outbox:", "shop:", "broker:")

PROCESS: tuple[Row, ...] = (
    Row(name="kill -9: first start", points=("create:", "boot:"), weight=3),
    Row(name="kill -9: intake", points=("intake:", "shop: "), weight=6),
    Row(name="kill -9: plan", points=("plan:",), weight=3),
    Row(name="kill -9: intent", points=("intent:",), weight=8),
    Row(name="kill -9: send", points=("machine:",), weight=8),
    Row(name="kill -9: receipt", points=("receipt:", "result:", "look:", "ask:"), weight=8),
    Row(name="kill -9: clear", points=("clear:",), weight=5),
    Row(name="kill -9: outbox", points=("outbox:", "broker:"), weight=6),
    Row(name="kill -9: checkpoint", points=("checkpoint:",), weight=4),
    Row(name="kill -9: migration", points=("migration:",), weight=2, scenes="upgrade"),
    Row(name="kill -9: backup", points=("backup:",), weight=2, scenes="upgrade"),
    Row(name="SIGTERM with work under way", deed="stop", points=_ANYWHERE, weight=5),
    Row(name="crash loop", deed="loop", points=_ANYWHERE, weight=3),
    Row(
        name="power cut: recorded writes, unsynced ones dropped or torn",
        deed="cut",
        points=(*_ANYWHERE, "checkpoint:", "create:", "migration:"),
        weight=20,
        needs=_DISK,
    ),
    Row(
        name="power cut: a real file system shut down under the daemon",
        why="needs a block device and a file system of its own with a shutdown call",
    ),
    Row(name="flipped bit", deed="flip", weight=2),
    Row(name="deleted database", deed="delete", weight=1),
    Row(name="truncated database", deed="truncate", weight=1),
    Row(
        name="ENOSPC during commit, then space freed",
        deed="full",
        points=_ANYWHERE,
        amounts=(1, 3),
        weight=4,
        needs=_DISK,
    ),
    Row(name="EIO on fsync", deed="io", points=_ANYWHERE, amounts=(1,), weight=4, needs=_DISK),
    Row(name="read-only remount", deed="readonly", points=_ANYWHERE, amounts=(1000,), weight=3, needs=_DISK),
    Row(name="fsync taking 2 s", deed="slow", points=("disk sync",), amounts=(2.0,), weight=1, needs=_DISK),
    Row(name="log reader stuck", deed="log", points=("round",), amounts=(0.0,), weight=1),
    Row(name="wall clock +/- 1 day", deed="clock", points=("round", "machine:"), amounts=(DAY_S, -DAY_S), weight=4),
    Row(name="start at 1970", deed="1970", points=("round",), weight=2),
    Row(name="daylight saving", deed="clock", points=("round",), amounts=(HOUR_S, -HOUR_S), weight=1),
    Row(name="leap second", deed="clock", points=("round",), amounts=(1.0, -1.0), weight=1),
    Row(name="OOM kill (from outside, at any moment)", deed="outside", amounts=(0.1, 0.2, 0.3, 0.4, 0.6), weight=3),
    Row(name="loop blocked 60 s", deed="stuck", points=("round", "machine: answered"), amounts=(60.0,), weight=1),
    Row(name="second instance", deed="second", points=("round", "intent:"), weight=2),
)
