"""Both sides of the mailbox as one state machine, and a search through every interleaving of their steps.

One step is one access of the gateway to the registers or to its ledger, or one assignment of the PLC to its
retentive memory; power is lost on either side between any two steps. The gateway's judgements are the
driver's own (`drivers.mailbox`, `Finding.absence`); the PLC's rules are written down here from the reference.
"""

from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from drivers import mailbox
from drivers.base import Absence, Answer, Command, CommandKind, Finding, JobPhase
from drivers.mailbox import MailboxError, Status

_LOAD, _CLEAR = 1, 8
_DONE_STATES = (5, 6)
_SEQ_MAX = 12  # commands in all


class Rules(NamedTuple):
    """The rules of the protocol; leaving one out must be found out."""

    interrupted_after_boot: bool = True  # PLC: a running job is interrupted, never restarted by itself
    stored_before_clear: bool = True  # gateway: the result is on disk before CLEAR
    mark: bool = True  # both: HWM_JOB is kept, and judged by
    boot_as_at_intent: bool = True  # gateway: absence proves nothing once BOOT_CNT has changed
    takes_back: bool = True  # gateway: what an earlier session laid down is withdrawn before anything is concluded
    wipes: bool = True  # gateway: the withdrawn payload is emptied
    commits_alone: bool = True  # gateway: the payload is read back, then one word commits it
    crc: bool = True  # PLC: a payload that is not whole is refused


class Setting(NamedTuple):
    """What can happen around the two."""

    jobs: int = 2
    crashes: int = 1  # of the gateway, or of its patience
    cuts: int = 1  # of the PLC's power
    lagging: bool = False  # the PLC saves its memory only now and then
    boot_saved: bool = True  # but BOOT_CNT before anything else
    command_kept: bool = False  # C survives the PLC's power cut
    clears: int = 0  # by an operator at the machine
    late: bool = False  # a commit may arrive long after its sender is gone
    reassigns: bool = False  # a job that is not there may be given to another machine

    @property
    def persistent(self) -> bool:
        """The profile may say `memory: persistent`."""
        return not self.lagging


class Stage(Enum):
    """What the ledger says of the job at hand."""

    RELEASED = 1
    DOUBT = 2  # a LOAD_START is open
    ACCEPTED = 3
    STORED = 4
    CLEARING = 5  # a CLEAR is open
    ASKED = 6  # a person decides


class Memory(NamedTuple):
    """The PLC's retentive memory."""

    boot: int = 1
    ack_seq: int = 0
    ack_code: int = 0
    hwm: int = 0
    slot: int = 0
    state: int = 0


class World(NamedTuple):
    """Everything that can differ between two moments."""

    # The ledger
    job: int = 1
    stage: Stage = Stage.RELEASED
    intent_boot: int = 0
    known_mark: int = 0
    # The gateway's volatile memory
    at: str = "off"
    boot: int = 0
    seq: int = 0
    # The command block, and a commit under way
    c_seq: int = 0
    c_cmd: int = 0
    c_job: int = 0
    c_whole: bool = True
    flight: int = 0
    # The PLC
    memory: Memory = Memory()
    saved: Memory = Memory()
    doing: tuple[str, int, int, int] | None = None  # step, CMD or ACK_CODE, JOB_NO, CMD_SEQ
    beats: int = 2  # idle scans since the gateway waits for them, at most 2
    # The machine
    moving: bool = False
    moved: bool = False  # the job accepted last has moved
    accepted: int = 0  # which job was accepted last, in truth
    made: tuple[int, ...] = ()
    spoiled: bool = False  # a job was accepted with half a payload
    # What may still go wrong
    crashes: int = 0
    cuts: int = 0
    clears: int = 0


class Report(NamedTuple):
    """What a search found; a trace leads to the first world in which something is so."""

    states: int
    wrong: tuple[str, ...] | None  # a job made twice, or with half its payload
    lost: tuple[str, ...] | None
    asked: tuple[str, ...] | None
    stuck: int  # states from which no end can be reached


def search(setting: Setting, rules: Rules = Rules(), *, limit: int = 400_000) -> Report:  # noqa: B008
    """Go through every state that can be reached, breadth first."""
    first = World(made=(0,) * setting.jobs, crashes=setting.crashes, cuts=setting.cuts, clears=setting.clears)
    came: dict[World, tuple[World | None, str]] = {first: (None, "")}
    before: dict[World, list[World]] = {}
    ends: list[World] = []
    lost = asked = None
    queue = [first]
    for world in queue:
        if max(world.made) > 1 or world.spoiled:
            return Report(len(came), _trace(came, world), None, None, 0)
        if world.memory.ack_seq > _SEQ_MAX:
            continue  # a machine that refuses for ever; three refusals call a person
        if _is_end(world, setting):
            ends.append(world)
            if lost is None and world.stage is not Stage.ASKED and min(world.made) < 1:
                lost = _trace(came, world)
            if asked is None and world.stage is Stage.ASKED:
                asked = _trace(came, world)
            continue
        for label, after in _steps(world, setting, rules):
            before.setdefault(after, []).append(world)
            if after not in came:
                came[after] = (world, label)
                queue.append(after)
        if len(came) > limit:
            raise AssertionError(f"more than {limit} states")
    return Report(len(came), None, lost, asked, len(came) - len(_reaching(ends, before)))


def _is_end(world: World, setting: Setting) -> bool:
    return world.stage is Stage.ASKED or world.job > setting.jobs


def _trace(came: dict[World, tuple[World | None, str]], world: World) -> tuple[str, ...]:
    labels: list[str] = []
    at: World | None = world
    while at is not None:
        at, label = came[at]
        labels.append(label)
    return tuple(reversed(labels[:-1]))


def _reaching(ends: list[World], before: dict[World, list[World]]) -> set[World]:
    found = set(ends)
    queue = list(ends)
    for world in queue:
        for earlier in before.get(world, ()):
            if earlier not in found:
                found.add(earlier)
                queue.append(earlier)
    return found


Steps = Iterator[tuple[str, World]]


def _steps(world: World, setting: Setting, rules: Rules) -> Steps:
    yield from _gateway(world, setting, rules)
    yield from _plc(world, rules)
    yield from _machine(world)
    yield from _trouble(world, setting, rules)


# The gateway ------------------------------------------------------------------------------------------


def _gateway(world: World, setting: Setting, rules: Rules) -> Steps:
    readable = world.doing is None  # SNAP_A and SNAP_B differ while the PLC writes
    same_run = world.memory.boot == world.boot
    match world.at:
        case "off" if readable:
            left = world.c_cmd != 0 or mailbox.is_pending(world.c_seq, _status(world.memory))
            at = "take back" if left and rules.takes_back else "ready"
            yield "open", world._replace(at=at, boot=world.memory.boot)
        case "take back":
            yield "CMD_SEQ := 0", world._replace(at="wipe", c_seq=0)
        case "wipe":
            emptied = world._replace(c_cmd=0, c_job=0, c_whole=True) if rules.wipes else world
            yield "wipe", emptied._replace(at="two beats", beats=0)
        case "two beats" if world.beats == 2:
            yield "waited", world._replace(at="ready" if same_run else "off")
        case "ready" if readable and not same_run:
            yield "restarted: close", world._replace(at="off")
        case "ready" if readable:
            yield from _decide(world, setting, rules)
        case "lay":
            half = world._replace(
                at="lay 2", seq=world.memory.ack_seq, c_cmd=_cmd(world), c_job=world.job, c_whole=False
            )
            yield "half a payload", half if rules.commits_alone else half._replace(c_seq=_next_seq(world))
        case "lay 2":
            yield "the other half", world._replace(at="check", c_whole=True)
        case "check" if readable:
            yield from _check(world, setting, rules, same_run=same_run)
        case "wait" if readable:
            yield from _wait(world, rules, same_run=same_run)


def _decide(world: World, setting: Setting, rules: Rules) -> Steps:
    finding = _finding(world.memory, world.job, rules.mark)
    if finding.mark is not None and (finding.mark < world.known_mark or 0 < world.memory.slot < world.job):
        yield "asks: the memory went back", world._replace(stage=Stage.ASKED)
        return
    match world.stage:
        case Stage.RELEASED if finding.phase is not None:
            yield "asks: never sent", world._replace(stage=Stage.ASKED)
        case Stage.RELEASED:
            intent = world._replace(stage=Stage.DOUBT, intent_boot=world.boot, at="lay")
            yield "intent LOAD_START", intent
            if setting.reassigns and world.intent_boot:
                yield "made elsewhere", _next_job(world._replace(made=_made(world, world.job)))
        case Stage.DOUBT:
            yield _settle(world, finding, setting, rules)
        case Stage.ACCEPTED if finding.phase is None:
            yield "asks: vanished", world._replace(stage=Stage.ASKED)
        case Stage.ACCEPTED if finding.phase is JobPhase.ENDED:
            if rules.stored_before_clear:
                yield "store the result", world._replace(stage=Stage.STORED)
            else:
                yield "CLEAR before storing", world._replace(at="lay")
        case Stage.STORED | Stage.CLEARING if finding.phase is None:
            yield "cleared", _next_job(world)
        case Stage.STORED | Stage.CLEARING if finding.phase not in (JobPhase.ENDED, JobPhase.ABORTED):
            yield "asks: a finished job is under way again", world._replace(stage=Stage.ASKED)
        case Stage.STORED | Stage.CLEARING:
            yield "intent CLEAR", world._replace(stage=Stage.CLEARING, at="lay")


def _settle(world: World, finding: Finding, setting: Setting, rules: Rules) -> tuple[str, World]:
    """Do what `decide` must do with a doubtful LOAD_START."""
    if finding.phase is not None:
        return "settled: accepted", world._replace(
            stage=Stage.ACCEPTED, known_mark=max(world.known_mark, finding.mark or 0)
        )
    absence = finding.absence(job_no=world.job, known_mark=world.known_mark)
    same_boot = world.boot == world.intent_boot or setting.persistent or not rules.boot_as_at_intent
    if absence in {Absence.NEVER, Absence.UNTOLD} and same_boot:
        return "settled: absent", world._replace(stage=Stage.RELEASED)
    return f"asks: {absence.value}", world._replace(stage=Stage.ASKED)


def _check(world: World, setting: Setting, rules: Rules, *, same_run: bool) -> Steps:
    if not rules.commits_alone:
        yield "sent", world._replace(at="wait", seq=mailbox.next_seq(world.seq))
        return
    status = _status(world.memory)
    if not same_run or mailbox.is_pending(world.c_seq, status) or status.ack_seq != world.seq:
        yield "in doubt: something happened meanwhile", world._replace(at="off", seq=0)
        return
    seq = _next_seq(world)
    if setting.late:
        yield "commit", world._replace(at="wait", seq=seq, flight=seq)
    else:
        yield "commit", world._replace(at="wait", seq=seq, c_seq=seq)


def _wait(world: World, rules: Rules, *, same_run: bool) -> Steps:
    if world.crashes:
        yield "gives up", world._replace(at="off", seq=0, crashes=world.crashes - 1)
    if not same_run:
        yield "restarted: close", world._replace(at="off", seq=0)
        return
    try:
        receipt = mailbox.receipt_of(_command(world.job, world.stage), world.seq, _status(world.memory))
    except MailboxError:
        yield "in doubt: an answer that proves nothing", world._replace(at="off", seq=0)
        return
    if receipt is None:
        return
    accepted = receipt.answer is Answer.ACCEPTED
    told = world._replace(at="ready", seq=0)
    mark = max(world.known_mark, world.memory.hwm) if rules.mark else 0
    match world.stage:
        case Stage.DOUBT if accepted:
            yield "answer: accepted", told._replace(stage=Stage.ACCEPTED, known_mark=mark)
        case Stage.DOUBT:
            yield "answer: refused", told._replace(stage=Stage.RELEASED)
        case Stage.ACCEPTED:  # the result is in volatile memory only
            yield "store the result late", _next_job(told) if accepted else told
        case _:
            yield "answer to CLEAR", _next_job(told) if accepted else told._replace(stage=Stage.STORED)


def _cmd(world: World) -> int:
    return _LOAD if world.stage is Stage.DOUBT else _CLEAR


def _next_seq(world: World) -> int:
    return mailbox.next_seq(world.memory.ack_seq)


def _next_job(world: World) -> World:
    return world._replace(job=world.job + 1, stage=Stage.RELEASED, intent_boot=0)


def _made(world: World, job: int) -> tuple[int, ...]:
    return tuple(count + (number == job) for number, count in enumerate(world.made, 1))


@lru_cache(maxsize=4096)
def _status(memory: Memory) -> Status:
    return Status(
        boot=memory.boot,
        heartbeat=1,
        ack_seq=memory.ack_seq,
        ack_code=memory.ack_code,
        hwm_job=memory.hwm,
        slot_job=memory.slot,
        job_state=memory.state,
        order_id=f"J{memory.slot}",
    )


@lru_cache(maxsize=4096)
def _finding(memory: Memory, job: int, mark: bool) -> Finding:
    found = mailbox.finding_of(_status(memory), f"J{job}")
    return found if mark else Finding(job_id=found.job_id, phase=found.phase, evidence=found.evidence)


@lru_cache(maxsize=64)
def _command(job: int, stage: Stage) -> Command:
    return Command(
        kind=CommandKind.LOAD_START if stage is Stage.DOUBT else CommandKind.CLEAR,
        job_id=f"J{job}",
        job_no=job,
        recipe="",
        recipe_version="",
        parameters={},
        quantity=1,
        cycles=1,
        deadline_s=0,
    )


# The PLC ----------------------------------------------------------------------------------------------


def _plc(world: World, rules: Rules) -> Steps:
    memory = world.memory

    def then(doing: tuple[str, int, int, int] | None, **assigned: int) -> World:
        return world._replace(doing=doing, memory=memory._replace(**assigned))

    if world.doing is None:
        if world.c_seq not in (0, memory.ack_seq):
            yield "PLC takes the command", then(("act", world.c_cmd, world.c_job, world.c_seq))
        elif world.beats < 2:
            yield "PLC scans", world._replace(beats=world.beats + 1)
        return
    step, code, job, seq = world.doing
    match step:
        case "act" if rules.crc and not world.c_whole:
            yield "PLC: CRC", then(("ack", 6, job, seq))
        case "act" if code == _LOAD and rules.mark and job <= memory.hwm:
            yield "PLC: known job", then(("ack", 2, job, seq))
        case "act" if code == _LOAD and memory.slot:
            yield "PLC: slot taken", then(("ack", 5, job, seq))
        case "act" if code == _LOAD:
            yield (
                "PLC: SLOT_JOB",
                then(("mark", code, job, seq), slot=job, state=0)._replace(
                    moved=False, accepted=job, spoiled=world.spoiled or not world.c_whole
                ),
            )
        case "mark":
            yield "PLC: HWM_JOB", then(("state", code, job, seq), hwm=job)
        case "state":
            yield "PLC: JOB_STATE 2", then(("ack", 1, job, seq), state=2)
        case "act" if code == _CLEAR and memory.slot == job and memory.state in _DONE_STATES:
            yield "PLC: SLOT_JOB 0", then(("cleared", code, job, seq), slot=0)
        case "cleared":
            yield "PLC: JOB_STATE 0", then(("ack", 1, job, seq), state=0)
        case "act":
            yield "PLC refuses", then(("ack", 3 if code == _CLEAR else 7, job, seq))
        case "ack":
            yield "PLC: ACK_CODE", then(("seq", code, job, seq), ack_code=code)
        case "seq":
            yield "PLC: ACK_SEQ", then(None, ack_seq=seq)


def _booted(world: World, memory: Memory, setting: Setting, rules: Rules) -> World:
    memory = memory._replace(boot=memory.boot + 1)
    kept = world if setting.command_kept else world._replace(c_seq=0, c_cmd=0, c_job=0, c_whole=True)
    if kept.c_seq not in (0, memory.ack_seq):
        memory = memory._replace(ack_code=8, ack_seq=kept.c_seq)
    if rules.mark and memory.slot > memory.hwm:
        memory = memory._replace(slot=0)
    moved = world.moved
    if memory.slot == 0:
        memory = memory._replace(state=0)
    elif memory.state in (0, 2):
        memory = memory._replace(state=1)
    elif memory.state == 3 and rules.interrupted_after_boot:
        memory = memory._replace(state=4)
    elif memory.state == 3:
        moved = False
    saved = world.saved._replace(boot=memory.boot) if setting.boot_saved else world.saved
    return kept._replace(memory=memory, saved=saved, doing=None, beats=0, moving=False, moved=moved)


# The machine, its operator and all that goes wrong ------------------------------------------------------


def _machine(world: World) -> Steps:
    if world.doing is not None:
        return
    memory = world.memory
    if memory.state == 2:
        yield "JOB_STATE 3", world._replace(memory=memory._replace(state=3))
    elif memory.state == 3 and not world.moving:
        made = world.made if world.moved else _made(world, memory.slot)
        yield "it moves", world._replace(moving=True, moved=True, made=made)
    elif memory.state == 3:
        yield "it ends", world._replace(moving=False, memory=memory._replace(state=5))
    elif memory.slot == world.accepted and memory.state in (1, 4):
        # A person who finds a finished job back at the panel, after a memory went back, does not start it.
        yield "Start at the panel", world._replace(memory=memory._replace(state=3))


def _trouble(world: World, setting: Setting, rules: Rules) -> Steps:
    if world.flight:
        yield "the commit arrives", world._replace(c_seq=world.flight, flight=0)
    if world.crashes and world.at != "off":
        yield "gateway crashes", world._replace(at="off", boot=0, seq=0, crashes=world.crashes - 1)
    if setting.lagging and world.saved != world.memory and world.doing is None and world.cuts:
        yield "PLC saves", world._replace(saved=world.memory)
    if world.cuts:
        memory = world.saved if setting.lagging else world.memory
        yield "power cut", _booted(world._replace(cuts=world.cuts - 1), memory, setting, rules)
    if world.clears and world.doing is None and world.memory.slot and world.memory.state in (1, 4, 5):
        emptied = world.memory._replace(slot=0, state=0)
        yield "cleared by hand", world._replace(memory=emptied, clears=world.clears - 1)
