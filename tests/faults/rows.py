"""The rows of delivery.md, section 5, that this harness answers for: how each is struck, or why it is not here."""

from dataclasses import dataclass, field

from tests.faults import nameless
from tests.faults.answers import BOMB, PAGES, REDIRECTS, REFUSALS
from tests.faults.filesystem import LOG_FLUSHED, LOG_LOST
from tests.faults.oddities import EXTRA, MALFORMED, MISTYPED, ODD_TEXTS
from tests.faults.traced import CALLS
from tests.faults.wireworld import RESTORED

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


_SERIAL = frozenset({"serial line"})
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
        deed="shutdown",
        points=(*_ANYWHERE, "checkpoint:"),
        amounts=(LOG_FLUSHED, LOG_LOST),
        weight=3,
        needs=frozenset({"device"}),
    ),
    Row(
        name="kill -9: at system calls, by strace",
        deed="trace",
        points=tuple(CALLS),
        weight=3,
        needs=frozenset({"strace"}),
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
    Row(
        name="ENOSPC on a small file system, then space freed",
        deed="small",
        points=("round",),
        weight=1,
        needs=frozenset({"mount"}),
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

SHOP: tuple[Row, ...] = (
    Row(name="shop: 429 with seconds", wire=("429 with seconds",), weight=2),
    Row(name="shop: 429 with a date or nothing", wire=REFUSALS),
    Row(name="shop: 5xx", wire=("5xx",), weight=2),
    Row(name="shop: HTML with 200", wire=("HTML with 200",)),
    Row(name="shop: truncated JSON", wire=("truncated JSON",), weight=2),
    Row(name="shop: lost answer of a write", wire=("lost answer of a write",), weight=3),
    Row(name="shop: slow", wire=("slow",)),
    Row(name="shop: drip-fed bytes", wire=("drip",)),
    Row(name="shop: duplicate and missing pages", wire=("duplicate page", "missing page"), weight=2),
    Row(name="shop: clock off by 1 h", wire=("clock 1 h ahead", "clock 1 h behind"), weight=2),
    Row(name="shop: killed while it is asked or told", deed="kill", points=("round",), wire=("5xx", "cut"), weight=3),
    Row(name="shop: chaos on the wire", wire=("delay", "cut", "corrupt", "duplicate", "stall"), weight=8),
    Row(name="shop: order changed or cancelled at each state", deed="edit", weight=8),
    Row(name="shop: gzip bomb", wire=(BOMB,)),
    Row(name="shop: renamed, null, extra, mistyped fields", wire=(*MISTYPED, EXTRA), weight=4),
    Row(name="shop: looping and overlapping pages", wire=PAGES),
    Row(name="shop: DNS failure", wire=(nameless.AWAY,)),
    Row(name="shop: redirect, also to a private address", wire=REDIRECTS),
    Row(name="shop: ids reused after a restored backup", wire=(RESTORED,), weight=3),
    Row(name="shop: webhooks", why="belongs to the shops' own harness"),
)
_MEASURED = ("uncertain", "bad", "null", "nan")
OPCUA: tuple[Row, ...] = (
    Row(name="opcua: server restart", wire=("restart",), weight=2),
    Row(name="opcua: freeze", wire=("frozen",), weight=2),
    Row(name="opcua: black hole", wire=("black hole",), weight=2),
    Row(name="opcua: up but nodes missing", wire=("nodes missing",)),
    Row(name="opcua: namespace array reordered", wire=("restart with other indexes",)),
    Row(name="opcua: two servers whose indexes differ in one process", wire=("restart with other indexes",)),
    Row(name="opcua: Bad or null values", wire=("bad permits",)),
    Row(name="opcua: method that executes but answers late", wire=("late",), weight=3),
    Row(name="opcua: method that executes but answers Bad or Uncertain", wire=("bad", "uncertain"), weight=3),
    Row(name="opcua: method that executes but never answers", wire=("never", "close"), weight=4),
    Row(name="opcua: killed with a session open", deed="kill", points=("round",), wire=("never", "cut"), weight=3),
    Row(name="opcua: chaos on the wire", wire=("delay", "drip", "cut", "corrupt", "duplicate", "stall"), weight=6),
    Row(name="opcua: session cut, revised low", wire=("session cut",), weight=2),
    Row(name="opcua: too many sessions", wire=("too many sessions",)),
    Row(name="opcua: certificate changed", wire=("certificate changed",)),
    Row(name="opcua: node removed among 500", wire=("node removed",)),
    Row(
        name="opcua: Uncertain, Bad, null and NaN values", wire=tuple(f"measured {how}" for how in _MEASURED), weight=3
    ),
    Row(name="opcua: datatype changed", wire=("measured text", "measured array")),
    Row(name="opcua: queue overflow", wire=("queue overflow",)),
    Row(name="opcua: clock skew", wire=("machine clock off",)),
)
MODBUS: tuple[Row, ...] = (
    Row(
        name="modbus: exceptions 1-6, 8, 10, 11",
        wire=tuple(f"exception {n}" for n in (1, 2, 3, 4, 5, 6, 8, 10, 11)),
        weight=5,
    ),
    Row(name="modbus: short PDU, lying byte count", wire=("short", "byte_count"), weight=2),
    Row(
        name="modbus: wrong transaction id, unit, function, count",
        wire=("transaction", "unit", "function", "count"),
        weight=4,
    ),
    Row(name="modbus: late reply of the previous request (TCP)", wire=("late reply", "previous"), weight=3),
    Row(name="modbus: answer lost", wire=("never", "close"), weight=3),
    Row(name="modbus: garbage", wire=("garbage",)),
    Row(name="modbus: torn 32-bit value", wire=("torn value", "torn write"), weight=2),
    Row(name="modbus: PLC reboot mid-job with memory kept", wire=("reboot, memory kept",), weight=2),
    Row(name="modbus: PLC reboot mid-job with memory lost", wire=("reboot, memory lost",), weight=2),
    Row(name="modbus: frozen", wire=("frozen", "black hole"), weight=2),
    Row(name="modbus: one-connection PLC", wire=("one connection",), weight=2),
    Row(name="modbus: killed with the mailbox in use", deed="kill", points=("round",), wire=("never", "cut"), weight=4),
    Row(name="modbus: chaos on the wire", wire=("delay", "drip", "cut", "corrupt", "duplicate", "stall"), weight=6),
    Row(name="10,000 reconnects without leak", deed="reconnect", points=("round",), wire=("nothing",)),
    Row(name="modbus: wrong word order", wire=("wrong word order",), weight=2),
    Row(name="modbus: second master", wire=("second master",), weight=3),
    Row(
        name="modbus: late reply of the previous request (RTU)", wire=("rtu late reply", "rtu previous"), needs=_SERIAL
    ),
    Row(name="modbus: garbage and lost answers (RTU)", wire=("rtu garbage", "rtu never"), needs=_SERIAL),
    Row(name="modbus: adapter unplugged", wire=("rtu unplugged",), needs=_SERIAL),
    Row(name="modbus: one dead unit behind a gateway", wire=("dead unit",)),
)
SAMPLED = frozenset(  # what the chaos on a wire does where the machine's values are published and judged
    {
        *("delay", "drip", "cut", "duplicate", "stall", "restart", "frozen", "black hole", "session cut"),
        *("certificate changed", "node removed", "queue overflow", "machine clock off", "measured text"),
        *("measured array", *(f"measured {how}" for how in _MEASURED), "torn value", "wrong word order"),
        *("reboot, memory kept", "reboot, memory lost", "previous", "late reply", "rtu late reply", "rtu previous"),
    }
)
LOAD: tuple[Row, ...] = (
    Row(name="load: 10,000 orders at once", deed="crowd"),
    Row(name="hostile: malformed orders", wire=(*MALFORMED, *ODD_TEXTS), weight=3),
    Row(name="hostile: slowloris", why="nobody but people of this computer can connect yet: the API is a Unix socket"),
    Row(name="load: one partner flooding", why="belongs to the partner API"),
    Row(name="load: two instances on one machine", deed="guest"),
    Row(name="load: upgrade", why="struck in each row of migrations and backups"),
    Row(
        name="load: downgrade, restore of yesterday's backup",
        why="see test_opening.py and test_restore.py in tests/ledger",
    ),
)
WIRES: dict[str, tuple[Row, ...]] = {"http": (*SHOP, *LOAD), "opcua": OPCUA, "modbus": MODBUS}
ALL: tuple[Row, ...] = (*PROCESS, *SHOP, *OPCUA, *MODBUS, *LOAD)
SHARES = {"process": 0.7, "http": 0.12, "opcua": 0.08, "modbus": 0.12}  # of all points
