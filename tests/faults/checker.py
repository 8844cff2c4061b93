"""The judge: it reads what machine, shop and broker wrote down themselves, and last the ledger's file, and believes nobody.

It knows nothing of the gateway's code: the journals are lines of JSON, and the ledger is a file that it opens with
nothing but SQL, read-only, when every process of the point has ended. Each breach is one finding: a kind (lost, doubled,
unexplained), the invariant it breaks (delivery.md, section 4) and a sentence.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

LOST, DOUBLED, UNEXPLAINED = "lost", "doubled", "unexplained"
Finding = tuple[str, str, str]
_ORDER_OF_STATES = ("received", "planned", "in_production", "made")
_LOADS = ("load", "load_start")


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """What the world wrote down, and the questions the ledger answers. `settled` says that all came to rest."""

    press: list[dict[str, Any]]
    shop: list[dict[str, Any]]
    broker: list[dict[str, Any]]
    ledger: Path
    others: frozenset[str] = frozenset()  # jobs that somebody else has given to the machine
    exact: bool = True  # the machine made no scrap, and nobody may make more than was ordered


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Read a journal; a last line that was cut short is not there."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def check(directory: Path, ledger: Path, *, press: Path | None = None, site: str = "LUND") -> list[Finding]:
    """Judge a point by the files in its directory; of a machine that several sites use, what it did for this one."""
    did = read_journal(press or directory / "press.journal")
    records = Records(
        press=[entry for entry in did if entry.get("job", "").startswith((f"{site}-", "J-"))],
        shop=read_journal(directory / "shop.journal"),
        broker=read_journal(directory / "broker.journal"),
        ledger=ledger,
        others=frozenset(entry["job"] for entry in read_journal(directory / "others.journal")),
    )
    return judge(records)


def judge(records: Records) -> list[Finding]:
    """Give every breach of the invariants that these records show."""
    try:
        return _judged(records)
    except sqlite3.DatabaseError as error:
        return [(UNEXPLAINED, "I9", f"the ledger cannot be read: {error}")]


def _judged(records: Records) -> list[Finding]:
    with closing(sqlite3.connect(f"file:{records.ledger}?mode=ro", uri=True)) as ledger:
        ledger.row_factory = sqlite3.Row
        damage = [line[0] for line in ledger.execute("PRAGMA integrity_check") if line[0] != "ok"]
        damage += [f"foreign key of {line[0]}" for line in ledger.execute("PRAGMA foreign_key_check")]
        if damage:
            return [(UNEXPLAINED, "I9", f"the ledger is damaged: {'; '.join(damage[:3])}")]
        return [
            *_starts(records),
            *_intents(records, ledger),
            *_attempts(ledger),
            *_results(records, ledger),
            *_orders(records, ledger),
            *_production(records, ledger),
            *_words_to_the_shop(records),
            *_strayed(records),
            *_facts(records, ledger),
            *_histories(ledger),
        ]


def _starts(records: Records) -> Iterator[Finding]:
    """I2: a job starts once, by the machine's own journal."""
    counted = Counter(entry["job"] for entry in records.press if entry["event"] == "start")
    for job, starts in counted.items():
        if starts > 1:
            yield DOUBLED, "I2", f"job {job} was started {starts} times"


def _intents(records: Records, ledger: sqlite3.Connection) -> Iterator[Finding]:
    """I3: each load the machine received has an intent in the ledger, one each."""
    received = Counter(
        entry["job"] for entry in records.press if entry["event"] == "received" and entry["kind"] in _LOADS
    )
    for job, loads in received.items():
        (intents,) = ledger.execute(
            "SELECT COUNT(*) FROM commands WHERE job_id = ? AND kind IN ('load', 'load_start')", (job,)
        ).fetchone()
        if loads > intents:
            yield UNEXPLAINED, "I3", f"the machine received job {job} {loads} times, on {intents} intents"
    known = {line[0] for line in ledger.execute("SELECT job_id FROM jobs")} | records.others
    for job in {entry["job"] for entry in records.press if entry["event"] == "start"} - known:
        yield UNEXPLAINED, "I3", f"the machine started {job}, a job the ledger does not know"


def _attempts(ledger: sqlite3.Connection) -> Iterator[Finding]:
    """I4: a further attempt comes only after a proof of absence, a refusal, or a person's word."""
    rows = ledger.execute(
        "SELECT job_id, settlement FROM commands WHERE kind IN ('load', 'load_start') ORDER BY job_id, command_id"
    ).fetchall()
    for earlier, later in pairwise(rows):
        if earlier["job_id"] == later["job_id"] and earlier["settlement"] not in ("absent", "refused", "person"):
            yield UNEXPLAINED, "I4", f"job {later['job_id']} was sent again after {earlier['settlement']}"


def _results(records: Records, ledger: sqlite3.Connection) -> Iterator[Finding]:
    """R9: what is cleared at the machine was stored before, in the machine's own numbers."""
    made = {entry["job"]: entry["good"] for entry in records.press if entry["event"] == "end"}
    cleared = {entry["job"] for entry in records.press if entry["event"] == "received" and entry["kind"] == "clear"}
    own = dict(ledger.execute("SELECT job_id, good FROM results WHERE confirmed_by IS NULL").fetchall())
    for job in sorted(cleared & made.keys() - own.keys()):
        yield LOST, "R9", f"job {job} was cleared at the machine, and its result was never stored"
    for job, good in own.items():
        if good is not None and job in made and made[job] != good:
            yield LOST, "R9", f"the machine made {made[job]} of job {job}, the ledger says {good}"


def _orders(records: Records, ledger: sqlite3.Connection) -> Iterator[Finding]:
    """I1: each row of the shop is in the ledger once, and made, cancelled or visibly held."""
    newest = {entry["order"]: entry for entry in records.shop if entry["event"] == "order"}
    kept: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in ledger.execute(
        "SELECT o.shop_order_id, o.order_id, l.shop_line_id, l.state, l.quantity, "
        "(SELECT MIN(r.good) FROM requirements r WHERE r.line_id = l.line_id) AS good "
        "FROM orders o JOIN order_lines l USING (order_id)"
    ):
        kept[row["shop_order_id"]].append(row)
    asked = {row[0] for row in ledger.execute("SELECT subject FROM exceptions WHERE subject LIKE 'order:%'")}
    odd = {(entry["order"], entry["line"]) for entry in records.shop if entry["event"] == "odd"}
    for order, entry in newest.items():
        if len({row["order_id"] for row in kept[order]}) > 1:
            yield DOUBLED, "I1", f"order {order} is in the ledger more than once"
        for line, quantity in entry["lines"].items():
            found = [row for row in kept[order] if row["shop_line_id"] == line]
            if not found:
                yield LOST, "I1", f"row {line} of order {order} is not in the ledger"
            elif len(found) > 1:
                yield DOUBLED, "I1", f"row {line} of order {order} is in the ledger {len(found)} times"
            elif not entry.get("make", True) and found[0]["state"] == "not_made":
                continue
            elif odd and (fault := _is_set_aside_alone(found[0], order, line, asked, odd)):
                yield LOST, "I1", fault
            elif (order, line) in odd:
                continue  # nobody can be sure what was meant, and a person was asked
            elif entry.get("begun") and f"order:{found[0]['order_id']}/{line}" not in asked:
                yield LOST, "I1", f"row {line} of another order {order} was taken for that of the first one"
            elif f"order:{found[0]['order_id']}/{line}" in asked and found[0]["state"] in ("made", "cancelled"):
                continue  # it was changed after its job was released: a person was asked, and has decided
            elif not _is_at_its_end(found[0], quantity, cancelled=entry["cancelled"]):
                yield LOST, "I1", f"row {line} of order {order}: {dict(found[0])} where {quantity} were ordered"


def _is_set_aside_alone(row: sqlite3.Row, order: str, line: str, asked: set[str], odd: set[tuple[str, str]]) -> str:
    """Say what is wrong where a row that nobody can be sure to understand is not set aside, or another one is."""
    shown = any(subject.startswith("order:") and subject.endswith(f"/{order}/{line}") for subject in asked)
    if (order, line) in odd and not shown:
        return f"row {line} of order {order} was given wrongly, and nobody was asked: {dict(row)}"
    if (order, line) not in odd and (shown or row["state"] == "quarantined"):
        return f"row {line} of order {order} was set aside, and only another one was given wrongly"
    return ""


def _is_at_its_end(row: sqlite3.Row, quantity: int, *, cancelled: bool) -> bool:
    if row["state"] == "made":
        return cancelled or int(row["good"] or 0) >= quantity
    return bool(row["state"] == "quarantined" or (cancelled and row["state"] == "cancelled"))


def _production(records: Records, ledger: sqlite3.Connection) -> Iterator[Finding]:
    """I2 under other job ids: no more is made for a row than was ever ordered of it."""
    if not records.exact:
        return
    most: Counter[str] = Counter()
    for entry in records.shop:
        if entry["event"] == "order":
            for line, quantity in entry["lines"].items():
                most[line] = max(most[line], quantity)
    made = {entry["job"]: entry["good"] for entry in records.press if entry["event"] == "end"}
    made_of: Counter[str] = Counter()
    for row in ledger.execute(
        "SELECT a.job_id, a.quantity, l.shop_line_id FROM allocations a JOIN requirements USING (requirement_id) "
        "JOIN order_lines l USING (line_id)"
    ):
        made_of[row["shop_line_id"]] += min(made.get(row["job_id"], 0), row["quantity"])
    for line, pieces in made_of.items():
        if pieces > most[line]:
            yield DOUBLED, "I2", f"{pieces} pieces were made of row {line}, {most[line]} were ordered"


def _words_to_the_shop(records: Records) -> Iterator[Finding]:
    """I6: each order's states reach the shop once, in order, and the last one is its end."""
    told: dict[str, list[str]] = defaultdict(list)
    for entry in records.shop:
        if entry["event"] == "told" and "_kvot_state" in entry["values"]:
            told[entry["order"]].append(entry["values"]["_kvot_state"])
    for entry in {one["order"]: one for one in records.shop if one["event"] == "order"}.values():
        states = [
            state for n, state in enumerate(told[entry["order"]]) if n == 0 or told[entry["order"]][n - 1] != state
        ]
        if not states or states[-1] not in ("made", "cancelled", "not_made", "shipped"):
            yield LOST, "I6", f"the shop was last told {states[-1:] or 'nothing'} of order {entry['order']}"
        for state, times in Counter(states).items():
            if times > 1 and state in _ORDER_OF_STATES[2:] and not _was_changed(records, entry["order"]):
                yield DOUBLED, "I6", f"the shop was told {times} times that order {entry['order']} is {state}"


def _strayed(records: Records) -> Iterator[Finding]:
    """I10: no request, which carries a signature, follows a redirect to another place."""
    for entry in records.shop:
        if entry["event"] == "strayed":
            yield UNEXPLAINED, "I10", f"{entry['request']} followed a redirect"


def _was_changed(records: Records, order: str) -> bool:
    return len([entry for entry in records.shop if entry["event"] == "order" and entry["order"] == order]) > 1


def _facts(records: Records, ledger: sqlite3.Connection) -> Iterator[Finding]:
    """I6: the broker has heard each fact; a repeat bears the same number and name."""
    posted = ledger.execute("SELECT value FROM counters WHERE name = 'outbox:mqtt'").fetchone()
    heard: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for entry in records.broker:
        heard[entry["seq"]].add((entry["id"], entry["type"]))
    missing = [seq for seq in range(1, (posted[0] if posted else 0) + 1) if seq not in heard]
    if missing:
        yield LOST, "I6", f"the broker never heard the facts {missing[:5]}"
    for seq, names in heard.items():
        if len(names) > 1:
            yield DOUBLED, "I6", f"fact {seq} was told as {sorted(names)}"
    first = list(dict.fromkeys(entry["seq"] for entry in records.broker))
    if first != sorted(first):
        yield UNEXPLAINED, "I6", "facts came out of order"


def _histories(ledger: sqlite3.Connection) -> Iterator[Finding]:
    """I9: no job moved along a pair the model does not know, and each move goes on from the one before."""
    allowed = set(map(tuple, ledger.execute("SELECT prev_state, state FROM job_moves")))
    last: dict[str, str] = {}
    for row in ledger.execute(
        "SELECT subject, before, after FROM events WHERE what LIKE 'job.%' AND before IS NOT NULL ORDER BY rowid"
    ):
        before, after = json.loads(row["before"] or "null"), json.loads(row["after"] or "null")
        if not before or "state" not in before:
            continue
        move = (before["state"], after["state"])
        if move not in allowed or last.get(row["subject"], move[0]) != move[0]:
            yield UNEXPLAINED, "I9", f"{row['subject']} moved {move} after {last.get(row['subject'])}"
        last[row["subject"]] = move[1]
