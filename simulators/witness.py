"""The witness: it believes nobody, and judges by the shop's, the machines' and the broker's own records.

It shares no line with the gateway: its own subscriber, its own shop client, its own reading of the
machines' journals. `judge` is pure; everything else only gathers.
"""

import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.witness_earnings import Costs, Earned, earned
from simulators.witness_journal import Entry, Write, read_journal, read_writes
from simulators.witness_prices import PriceBook, Published, look_at
from simulators.witness_shop import ShopOrder, read_orders
from simulators.witness_tags import TagBook, Tags

__all__ = [
    "Costs",
    "Earned",
    "Entry",
    "Evidence",
    "Fact",
    "Listener",
    "ShopOrder",
    "TagBook",
    "Tags",
    "Told",
    "Verdict",
    "Write",
    "earned",
    "fact_gaps",
    "judge",
    "listen",
    "read_journal",
    "read_orders",
    "read_writes",
]

FINISHED = frozenset({"made", "shipped", "not_made", "cancelled"})
_PRICING = frozenset({"offer", "campaign", "proposal"})  # what a fact tells of, by the first word of its type
_SESSION_S = 3600  # the broker keeps for us what it hears while we reconnect


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One message with a number, as it came over the broker."""

    id: str
    epoch: int
    seq: int
    job_id: str | None = None
    type: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the gateway says of itself. `job_ids` are (machine, job id); `facts` how many it has posted.

    `orders_in` and `lines` count what is due: not the unpaid. `promises`: lines made that had a promise, and how
    many of them were made by then.
    """

    orders_in: int
    lines: int
    jobs: int
    jobs_completed: int
    exceptions: int
    job_ids: frozenset[tuple[str, str]]
    facts: int | None = None
    runs: int = 0
    promises: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything that was gathered, and what was asked for: so many orders, so many exceptions."""

    orders_wanted: int
    told: Told
    orders: tuple[ShopOrder, ...]
    journal: tuple[Entry, ...]
    facts: tuple[Fact, ...]
    writes: tuple[Write, ...] = ()
    exceptions_wanted: int = 0
    tags: Tags = field(default_factory=Tags)
    prices: Published = field(default_factory=Published)
    clicks: int = 0  # visitors whom a campaign sent
    unnamed: frozenset[str] = frozenset()  # machines that know no job ids: their journals number starts, not jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The summary, and in `broken`, in words, every relation that does not hold."""

    orders_placed: int
    orders_in: int
    lines: int
    jobs: int
    jobs_completed: int
    physical_starts: int
    double_starts: int
    orders_unfinished: int
    fact_gaps: int
    facts_published: int
    status_writes: int
    exceptions: int
    pieces_ordered: int
    pieces_good: int
    values_published: int
    tag_gaps_undeclared: int
    offers_published: int
    price_writes: int
    runs: int
    promises_made: int
    promises_kept: int
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: tuple[str, ...] = field(default=())

    @property
    def clean(self) -> bool:
        """Tell whether everything holds."""
        return not self.broken

    def summary(self) -> dict[str, object]:
        """Give all fields as plain values for JSON."""
        return {**asdict(self), "broken": list(self.broken)}


def judge(evidence: Evidence) -> Verdict:
    """Count what really happened and name every relation between the counts that does not hold."""
    told = evidence.told
    due = [order for order in evidence.orders if order.due]
    starts = Counter((entry.machine, entry.job) for entry in evidence.journal if entry.event == "start")
    ended = {(entry.machine, entry.job) for entry in evidence.journal if entry.event == "end"}
    counts: dict[str, int] = {
        "orders_placed": len(due),
        "orders_in": told.orders_in,
        "lines": told.lines,
        "jobs": told.jobs,
        "jobs_completed": told.jobs_completed,
        "physical_starts": len(starts),
        "double_starts": _double_starts(starts, told.job_ids, evidence.unnamed),
        "orders_unfinished": sum(order.state not in FINISHED for order in due),
        "fact_gaps": fact_gaps(evidence.facts),
        "facts_published": len({fact.id for fact in evidence.facts}),
        "status_writes": sum(write.changed and write.order is not None for write in evidence.writes),
        "exceptions": told.exceptions,
        "pieces_ordered": sum(order.pieces for order in due),
        "pieces_good": _good(evidence.journal),
        "values_published": evidence.tags.values,
        "tag_gaps_undeclared": evidence.tags.undeclared,
        "offers_published": len({fact.id for fact in evidence.facts if fact.type == "offer.changed"}),
        "price_writes": sum(write.changed and write.product is not None for write in evidence.writes),
        "runs": told.runs,
        "promises_made": told.promises[0],
        "promises_kept": told.promises[1],
    }
    relations = [
        _equal("orders_placed", counts["orders_placed"], "the orders wanted", evidence.orders_wanted),
        _equal("orders_in", counts["orders_in"], "orders_placed", counts["orders_placed"]),
        _equal("orders_unfinished", counts["orders_unfinished"], "none", 0),
        _equal("physical_starts", counts["physical_starts"], "jobs", counts["jobs"]),
        _equal("jobs_completed", counts["jobs_completed"], "jobs", counts["jobs"]),
        _equal("jobs_completed", counts["jobs_completed"], "jobs ended in the journals", len(ended)),
        _equal("double_starts", counts["double_starts"], "none", 0),
        _equal("fact_gaps", counts["fact_gaps"], "none", 0),
        _equal("tag_gaps_undeclared", counts["tag_gaps_undeclared"], "none", 0),
        _equal("exceptions", counts["exceptions"], "those expected", evidence.exceptions_wanted),
        _equal("started jobs that no fact tells of", len(_untold(starts, evidence)), "none", 0),
        *(
            _equal(f"starts of {name}", _of(name, starts), "the gateway's jobs on it", _of(name, told.job_ids))
            for name in sorted(evidence.unnamed)
        ),
    ]
    relations.append(_unposted(counts["facts_published"], told.facts, evidence.facts))
    if counts["pieces_good"] < counts["pieces_ordered"]:
        relations.append(
            f"good parts are {counts['pieces_good']}, fewer than pieces ordered ({counts['pieces_ordered']})"
        )
    told_articles = [write.article for write in evidence.writes if write.changed and write.article is not None]
    policies, more = look_at(evidence.prices, told_articles, orders=evidence.orders_wanted)
    return Verdict(**counts, policies=policies, broken=tuple(relation for relation in (*relations, *more) if relation))


def fact_gaps(facts: Sequence[Fact]) -> int:
    """Count the numbers that are missing: those of each epoch must run from 1 on without a hole."""
    numbers: dict[int, set[int]] = {}
    for fact in facts:
        numbers.setdefault(fact.epoch, set()).add(fact.seq)
    return sum(max(seen) - len(seen) for seen in numbers.values())


class Listener:
    """Hears every message from the moment it is subscribed and keeps the facts, over reconnects too."""

    def __init__(self) -> None:
        self._lock = threading.Condition(threading.RLock())
        self._facts: dict[str, Fact] = {}
        self._unreadable: list[str] = []
        self._tags = TagBook()
        self._prices = PriceBook()
        self.messages = 0

    def facts(self) -> tuple[Fact, ...]:
        """Give the facts heard so far, each once; raise `ValueError` if a message could not be read."""
        with self._lock:
            if self._unreadable:
                raise ValueError(f"messages that are no JSON objects: {', '.join(self._unreadable)}")
            return tuple(self._facts.values())

    def tags(self) -> Tags:
        """Give what the samples heard so far add up to."""
        with self._lock:
            return self._tags.total()

    def prices(self) -> Published:
        """Give what was heard of offers, runs and campaigns so far."""
        with self._lock:
            return self._prices.total()

    def wait_for(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait until that holds, asking again after each message; False when the time has passed first."""
        with self._lock:
            return self._lock.wait_for(condition, timeout_s)

    def hear(self, topic: str, payload: bytes) -> None:
        """Take one message; never raises, because that would end the subscriber's thread."""
        fact = _fact(payload)
        with self._lock:
            self.messages += 1
            if isinstance(fact, Fact):
                self._facts[fact.id] = fact
                readable = self._prices.hear(topic, payload)
            elif topic.endswith("/open"):
                readable = self._prices.hear(topic, payload)
            elif topic.endswith("/tags"):
                readable = self._tags.hear(topic, payload)
            else:
                readable = fact is None
            if not readable:
                self._unreadable.append(topic)
            self._lock.notify_all()


@contextmanager
def listen(url: str, *, timeout_s: float = 10.0) -> Iterator[Listener]:
    """Subscribe to everything at `mqtt://host:port`; the body runs once the broker has acknowledged it.

    A broker that keeps its sessions on disk (mosquitto, not iotcore) may restart meanwhile.

    Raise `OSError` when the broker cannot be reached in time.
    """
    listener, subscribed = Listener(), threading.Event()
    client_id = f"kvot-witness-{secrets.token_hex(4)}"
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_timeout = timeout_s
    client.reconnect_delay_set(1, 2)

    def connected(*_: object) -> None:
        client.subscribe("#", qos=1)

    def heard(_client: Client, _user: object, message: MQTTMessage) -> None:
        listener.hear(message.topic, bytes(message.payload))

    client.on_connect = connected
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = heard
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = _SESSION_S
    address = urlsplit(url)
    # No clean start although the session is new: mosquitto 2.0.11 stores no session that began with one.
    client.connect(address.hostname or "", address.port or 1883, clean_start=False, properties=session)
    client.loop_start()
    try:
        if not subscribed.wait(timeout_s):
            raise TimeoutError(f"no subscription at {url} within {timeout_s:g} s")
        yield listener
    finally:
        forget = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        forget.SessionExpiryInterval = 0
        client.disconnect(properties=forget)
        client.loop_stop()


def _equal(what: str, is_: int, other: str, wanted: int) -> str:
    return "" if is_ == wanted else f"{what} is {is_}, but {other}: {wanted}"


def _unposted(heard: int, posted: int | None, facts: Sequence[Fact]) -> str:
    """Compare the facts heard with those posted; prices go on after the gateway was asked, nothing else does."""
    later = {fact.id for fact in facts if fact.type.partition(".")[0] in _PRICING}
    if posted is None or posted <= heard <= posted + len(later):
        return ""
    return f"facts_published is {heard}, but facts the gateway posted: {posted}"


def _double_starts(
    starts: Mapping[tuple[str, str], int], known: frozenset[tuple[str, str]], unnamed: frozenset[str]
) -> int:
    """Count starts beyond one for each job of the gateway's; where a machine knows no jobs, beyond their number."""
    named = {job: count for job, count in starts.items() if job[0] not in unnamed}
    too_many = sum(max(0, _of(name, starts) - _of(name, known)) for name in unnamed)
    return too_many + sum(count - 1 if job in known else count for job, count in named.items())


def _untold(starts: Mapping[tuple[str, str], int], evidence: Evidence) -> set[str]:
    """Give the jobs started that no fact tells of; at a machine that knows no jobs, the gateway's jobs there."""
    unnamed = evidence.unnamed
    jobs = {job for machine, job in starts if machine not in unnamed}
    jobs |= {job for machine, job in evidence.told.job_ids if machine in unnamed}
    return jobs - {fact.job_id for fact in evidence.facts if fact.job_id is not None}


def _of(machine: str, pairs: Iterable[tuple[str, str]]) -> int:
    return sum(name == machine for name, _ in pairs)


def _good(journal: Sequence[Entry]) -> int:
    """Sum the good pieces of each job by the last line about it."""
    last = {(entry.machine, entry.job): entry.good for entry in journal}
    return sum(last.values())


def _fact(payload: bytes) -> Fact | str | None:
    """Read a fact; None for a message without a number, a text for what cannot be read."""
    if not payload:
        return None  # the removal of a retained message
    try:
        body = json.loads(payload)
        if not isinstance(body, dict):
            return "no object"
        if not {"id", "epoch", "seq"} <= body.keys():
            return None
        job = body.get("job_id")
        return Fact(
            id=str(body["id"]),
            epoch=int(body["epoch"]),
            seq=int(body["seq"]),
            job_id=None if job is None else str(job),
            type=str(body.get("type", "")),
        )
    except (ValueError, TypeError) as fault:
        return str(fault)
