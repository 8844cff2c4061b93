"""A machine proves what it remembers before it is sent work: one job goes down twice and is never started."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from drivers.base import Answer, Command, CommandKind, Finding, JobPhase, Look, Receipt, Session
from drivers.profile import Effect, Memory
from gateway.domain.machines import Level
from gateway.domain.probing import PERSON_S, least
from gateway.errors import RefusedError
from gateway.ledger import machines, probes
from gateway.ledger.probes import Origin, Subject
from tests.drivers.fake_machine import ALLOWED, FakeMachine, Fault
from tests.eventually import eventually
from tests.shops.fake_shop import an_order
from tests.stages.factory import PRESS, RECIPE, Factory, a_factory

NEVER = {CommandKind.START, CommandKind.LOAD_START}


class MailboxMachine(FakeMachine):
    """Keeps the highest job number it accepted, and answers a repeated load by it; a job leaves by abort and clear."""

    def __init__(self, *, knows: bool = True, **more: Any) -> None:
        super().__init__(**more)
        self.mark = 0
        self._knows = knows

    def finding(self, job_id: str) -> Finding:
        return replace(super().finding(job_id), mark=self.mark)

    def _execute(self, command: Command) -> Receipt:
        if command.kind is CommandKind.CANCEL:
            return Receipt(answer=Answer.REFUSED, evidence="accepted already")
        if command.kind is CommandKind.LOAD and command.job_no <= (self.mark or 0):
            if self._knows:
                return Receipt(answer=Answer.ACCEPTED, evidence="already accepted earlier", known=True)
            return Receipt(answer=Answer.REFUSED, evidence="slot busy")
        receipt = super()._execute(command)
        if command.kind is CommandKind.LOAD and receipt.answer is Answer.ACCEPTED:
            self.mark = command.job_no
        return receipt


class TwiceMachine(FakeMachine):
    """Lists a job that came twice as two jobs."""

    def findings(self) -> tuple[Finding, ...]:
        listed = super().findings()
        return (*listed, *listed)


class HastyMachine(FakeMachine):
    """Starts what was only loaded."""

    def _execute(self, command: Command) -> Receipt:
        receipt = super()._execute(command)
        if command.kind is CommandKind.LOAD and receipt.answer is Answer.ACCEPTED:
            self._start(self.jobs[command.job_id])
        return receipt


@asynccontextmanager
async def a_place(state_dir: Path, press: FakeMachine | None = None, **profile: Any) -> AsyncIterator[Factory]:
    """A factory whose press nobody has signed for."""
    async with a_factory(state_dir, press=press) as plain:
        factory = replace(plain, accepted=False).with_profile(**profile)
        if press is not None:
            press._monotonic, press._now = plain.clock.monotonic, plain.clock.now
        yield factory


@pytest_asyncio.fixture
async def factory(state_dir: Path) -> AsyncIterator[Factory]:
    async with a_place(state_dir) as made:
        yield made


async def begin(factory: Factory, *, power_cycle: bool = False) -> None:
    """Begin a probe in somebody's name, as the control API does."""
    remembers = factory.profile.effect is Effect.REMEMBERED
    subject = Subject(
        machine=PRESS,
        effect=factory.profile.effect,
        memory=factory.profile.memory,
        identity=factory.press.identity.text,
        profile="p1",
        recipe="tray" if remembers else "",
        recipe_version="1",
        parameters=least(RECIPE),
        power_cycle=power_cycle,
    )
    ledger = factory.ledger
    origin = Origin(site="LUND", epoch=ledger.epoch, boot=ledger.boot, who="person:tester", now=factory.clock.now())
    await ledger.write(lambda tx: probes.begin(tx, subject, origin))


async def view(factory: Factory) -> dict[str, Any]:
    found = await factory.ledger.read(lambda tx: probes.view(tx, PRESS))
    assert found is not None
    return found


async def reaches(factory: Factory, stage: str) -> dict[str, Any]:
    async def there() -> bool:
        return bool((await view(factory))["stage"] == stage)

    await eventually(there)
    return await view(factory)


async def probed(factory: Factory) -> dict[str, Any]:
    """Probe the press to the end."""
    await begin(factory)
    async with factory.running("tend"):
        return await reaches(factory, "ended")


async def why(factory: Factory, says: str) -> None:
    """Wait until the machine is shown with these words."""
    await eventually(lambda: says in str(factory.board.get(("state", PRESS)).get("why")))


async def test_a_machine_that_knows_the_job_again_is_proven_and_left_clean(factory: Factory) -> None:
    ended = await probed(factory)
    assert ended["verdict"] == "proven"
    assert [(one["kind"], one["settlement"]) for one in ended["commands"]] == [
        ("load", "accepted"),
        ("load", "refused"),
        ("cancel", "accepted"),
    ]
    assert factory.press.jobs == {}
    assert factory.press.starts == []
    assert not NEVER & {command.kind for command in factory.press.received}
    proof = await factory.ledger.read(lambda tx: probes.proof(tx, PRESS))
    assert (proof.effect, proof.memory, proof.profile) == (Effect.REMEMBERED, None, "p1")
    assert await factory.exceptions() == []


class OverseenMachine(FakeMachine):
    """Lets a test look before each command reaches it."""

    before: Callable[[Command], Awaitable[None]]

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        async with self._session(on_change) as session:
            yield _Overseen(session, self)


class _Overseen:
    def __init__(self, session: Any, machine: OverseenMachine) -> None:
        self.identity, self.look, self.ask = session.identity, session.look, session.ask
        self._session, self._machine = session, machine

    async def send(self, command: Command) -> Receipt:
        await self._machine.before(command)
        receipt: Receipt = await self._session.send(command)
        return receipt


async def test_each_command_of_a_probe_has_its_intent_in_the_ledger_before(state_dir: Path) -> None:
    press = OverseenMachine()
    async with a_place(state_dir, press) as factory:
        seen: list[tuple[str, int]] = []

        async def look(command: Command) -> None:
            newest = (await view(factory))["commands"][-1]
            assert newest["settlement"] is None
            assert newest["kind"] == command.kind
            seen.append((newest["kind"], newest["attempt"]))

        press.before = look
        assert (await probed(factory))["verdict"] == "proven"
    assert seen == [("load", 1), ("load", 2), ("cancel", 1)]


async def test_a_probe_that_was_stopped_sends_nothing_it_has_not_committed(state_dir: Path) -> None:
    press = OverseenMachine()
    async with a_place(state_dir, press) as factory:

        async def stop(command: Command) -> None:
            if command.kind is CommandKind.LOAD:
                await factory.ledger.write(lambda tx: probes.stop(tx, PRESS, who="person:a", now=factory.clock.now()))

        press.before = stop
        assert (await probed(factory))["verdict"] == "stopped"
    assert [command.kind for command in press.received] == [CommandKind.LOAD, CommandKind.CANCEL]
    assert press.jobs == {}


async def test_where_another_machine_answers_nothing_is_written_to_it(state_dir: Path) -> None:
    async with a_place(state_dir) as factory:
        await begin(factory, power_cycle=True)
        async with factory.running("tend"):
            await reaches(factory, "power")
            sent = len(factory.press.received)
            factory.press.unplug()
            factory.press.identity = replace(factory.press.identity, text="fake machine, serial 2")
            factory.press.plug_in()
            ended = await reaches(factory, "ended")
        assert ended["verdict"] == "unclear"
        assert len(factory.press.received) == sent
        (asked,) = await factory.exceptions()
        assert "may still lie in the first" in asked["evidence"]["text"]


async def test_a_machine_with_a_mark_is_proven_by_its_answer_and_emptied_by_abort_and_clear(state_dir: Path) -> None:
    async with a_place(state_dir, MailboxMachine()) as factory:
        ended = await probed(factory)
        assert ended["verdict"] == "proven"
        kinds = [one["kind"] for one in ended["commands"]]
        assert kinds == ["load", "load", "cancel", "abort", "clear"]
        assert factory.press.jobs == {}
        assert factory.press.starts == []


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: FakeMachine(duplicates="run"), "as if it were new"),
        (lambda: TwiceMachine(duplicates="run"), "would make it twice"),
        (lambda: MailboxMachine(knows=False), "another reason"),
        (HastyMachine, "only loaded"),
    ],
    ids=["accepts again", "lists twice", "refuses for want of room", "starts by itself"],
)
async def test_a_machine_that_would_make_a_job_twice_is_found_out_and_sent_nothing(
    state_dir: Path, made: Callable[[], FakeMachine], says: str
) -> None:
    press = made()
    async with a_place(state_dir, press) as factory:
        await begin(factory)
        factory.shop.place(an_order("1001"))
        await factory.pull()
        async with factory.running("plan", "tend"):
            if isinstance(press, HastyMachine):
                await eventually(factory.exceptions)  # the job moves: people are called, nothing is stopped for them
                press.finish(next(iter(press.jobs)), good=1)
            ended = await reaches(factory, "ended")
            sent = len(press.received)
            await factory.arm()  # as if somebody had got round the refusal at arming
            await why(factory, "effect level remembered not proven: run `kvot probe machine press-1`, or accept it")
        assert ended["verdict"] == "refuted"
        assert says in ended["verdict_text"]
        assert len(press.received) == sent
        assert press.jobs == {}


async def test_what_is_not_proven_is_shown_and_sent_once_it_is(factory: Factory) -> None:
    factory.shop.place(an_order("1001"))
    await factory.pull()
    await factory.arm()
    async with factory.running("plan", "tend"):
        await why(factory, "not proven")
        assert factory.press.received == []
    await factory.ledger.write(lambda tx: _disarm(tx, factory))
    assert (await probed(factory))["verdict"] == "proven"
    await factory.arm()
    async with factory.running("plan", "tend"):
        await eventually(lambda: factory.press.received[-1].kind is CommandKind.LOAD_START)


async def test_a_proof_lapses_with_the_machine_and_with_its_profile(factory: Factory) -> None:
    assert (await probed(factory))["verdict"] == "proven"
    proof = await factory.ledger.read(lambda tx: probes.proof(tx, PRESS))
    same = factory.press.identity.text
    assert proof.holds(Effect.REMEMBERED, identity=same, profile="p1")
    assert not proof.holds(Effect.REMEMBERED, identity="another", profile="p1")
    assert not proof.holds(Effect.REMEMBERED, identity=same, profile="p2")
    assert not proof.holds(Effect.OBSERVABLE, identity=same, profile="p1")


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.LOSE_COMMAND])
async def test_a_lost_answer_proves_nothing_and_leaves_nothing_behind(factory: Factory, fault: Fault) -> None:
    factory.press.fail_next(fault)
    await begin(factory)
    async with factory.running("tend"):
        if fault is Fault.LOSE_COMMAND:
            await why(factory, "until a late command would show")
            factory.clock.advance(factory.profile.settle_s)
        ended = await reaches(factory, "ended")
    assert ended["verdict"] == "unclear"
    assert "answer to the load was lost" in ended["verdict_text"]
    assert sum(command.kind is CommandKind.LOAD for command in factory.press.received) <= 1
    assert factory.press.jobs == {}


async def test_a_restarted_gateway_takes_the_job_of_a_probe_back(state_dir: Path) -> None:
    press = FakeMachine()
    async with a_place(state_dir, press) as factory:
        await begin(factory, power_cycle=True)
        async with factory.running("tend"):
            await reaches(factory, "power")
    assert len(press.jobs) == 1
    async with a_place(state_dir, press) as factory:
        async with factory.running("tend"):
            ended = await reaches(factory, "ended")
        assert ended["verdict"] == "stopped"
        assert press.jobs == {}


@pytest.mark.parametrize(
    ("declared", "forgets", "verdict", "memory"),
    [
        (Memory.PERSISTENT, False, "proven", "persistent"),
        (Memory.PERSISTENT, True, "refuted", "volatile"),
        (Memory.VOLATILE, True, "proven", "volatile"),
    ],
)
async def test_a_power_cut_by_hand_shows_whether_the_memory_is_kept(
    state_dir: Path, declared: Memory, forgets: bool, verdict: str, memory: str
) -> None:
    async with a_place(state_dir, memory=declared) as factory:
        await begin(factory, power_cycle=True)
        async with factory.running("tend"):
            await reaches(factory, "power")
            await why(factory, "cut the machine's power NOW")
            factory.press.unplug()
            factory.press.restart(forget=forgets)
            factory.press.plug_in()
            ended = await reaches(factory, "ended")
        assert (ended["verdict"], ended["memory"]) == (verdict, memory)
        assert factory.press.jobs == {}


async def test_a_cable_that_was_pulled_is_no_power_cut(state_dir: Path) -> None:
    async with a_place(state_dir, memory=Memory.PERSISTENT) as factory:
        await begin(factory, power_cycle=True)
        async with factory.running("tend"):
            await reaches(factory, "power")
            opened = factory.press.sessions_opened
            factory.press.unplug()
            factory.press.plug_in()
            await eventually(lambda: factory.press.sessions_opened > opened)
            await why(factory, "cut the machine's power NOW")
            assert (await view(factory))["stage"] == "power"


async def test_a_persistent_memory_that_was_not_proven_counts_as_volatile(state_dir: Path) -> None:
    async with a_place(state_dir, memory=Memory.PERSISTENT) as factory:
        assert (await probed(factory))["verdict"] == "proven"
        factory.shop.place(an_order("1001"))
        await factory.pull()
        await factory.arm()
        factory.press.fail_next(Fault.RESTART)
        async with factory.running("plan", "tend"):
            await why(factory, "until a late command would show")
            factory.clock.advance(factory.profile.settle_s)
            await eventually(factory.exceptions)
        (asked,) = await factory.exceptions()
        assert "may have forgotten" in asked["cause"]


async def test_where_nobody_comes_the_probe_ends_and_takes_its_job_back(factory: Factory) -> None:
    await begin(factory, power_cycle=True)
    async with factory.running("tend"):
        await why(factory, "cut the machine's power NOW")
        factory.clock.advance(PERSON_S)
        ended = await reaches(factory, "ended")
    assert ended["verdict"] == "unclear"
    assert factory.press.jobs == {}


async def test_a_person_stops_a_probe_and_the_job_is_taken_back(factory: Factory) -> None:
    await begin(factory, power_cycle=True)
    async with factory.running("tend"):
        await reaches(factory, "power")
        await factory.ledger.write(lambda tx: probes.stop(tx, PRESS, who="person:a", now=factory.clock.now()))
        ended = await reaches(factory, "ended")
    assert (ended["verdict"], ended["verdict_text"]) == ("stopped", "stopped by person:a")
    assert factory.press.jobs == {}


async def test_what_cannot_be_taken_back_is_shown_until_somebody_has_removed_it(state_dir: Path) -> None:
    press = FakeMachine(kinds={CommandKind.LOAD})
    async with a_place(state_dir, press) as factory:
        await begin(factory)
        async with factory.running("tend"):
            await eventually(factory.exceptions)
            (asked,) = await factory.exceptions()
            assert "delete it at the panel" in asked["evidence"]["text"]
            press.forget(next(iter(press.jobs)))
            ended = await reaches(factory, "ended")
        assert ended["verdict"] == "proven"
        assert await factory.exceptions() == []


async def test_an_armed_machine_is_not_probed(factory: Factory) -> None:
    await factory.arm(Level.LOAD)
    with pytest.raises(RefusedError, match="disarm"):
        await begin(factory)


async def test_a_machine_with_a_job_of_ours_is_not_probed(factory: Factory) -> None:
    factory = replace(factory, accepted=True)
    factory.shop.place(an_order("1001"))
    await factory.pull()
    await factory.arm()
    async with factory.running("plan", "tend"):
        await eventually(lambda: factory.press.received)
    await factory.ledger.write(lambda tx: _disarm(tx, factory))
    with pytest.raises(RefusedError, match="job LUND"):
        await begin(factory)


async def test_a_machine_at_work_of_its_own_is_not_touched(factory: Factory) -> None:
    factory.press.start_own_work()
    ended = await probed(factory)
    assert ended["verdict"] == "unclear"
    assert factory.press.received == []


async def test_without_the_selector_on_remote_a_probe_waits(factory: Factory) -> None:
    factory.press.turn_selector(remote=False)
    await begin(factory)
    async with factory.running("tend"):
        await why(factory, "turn the selector to remote")
        assert factory.press.received == []
        factory.press.turn_selector(remote=True)
        assert (await reaches(factory, "ended"))["verdict"] == "proven"


async def test_where_the_configuration_only_watches_nothing_is_taken_back(state_dir: Path) -> None:
    press = FakeMachine()
    async with a_place(state_dir, press) as factory:
        await begin(factory, power_cycle=True)
        async with factory.running("tend"):
            await reaches(factory, "power")
    async with a_place(state_dir, press) as again:
        factory, sent = replace(again, configured=Level.READ), len(press.received)
        async with factory.running("tend"):
            await eventually(factory.exceptions)
        assert len(press.received) == sent


def _disarm(tx: Any, factory: Factory) -> None:
    machines.disarm(tx, PRESS, who="person:tester", now=factory.clock.now())


# A machine that shows its work and remembers nothing ----------------------------------------------------


class ShowingMachine(FakeMachine):
    """Shows busy and one counter, names no job, and is run by a person alone."""

    def __init__(self, *, counts: bool = True) -> None:
        super().__init__(kinds={CommandKind.LOAD_START})
        self.counted = 7
        self.busy = False
        self._counts = counts

    @asynccontextmanager
    async def session(self, on_change: Callable[[], None]) -> AsyncIterator[Session]:
        async with self._session(on_change) as session:
            yield _Showing(session, self)

    def cycle(self) -> None:
        """Let the cycle end."""
        self.busy = False
        self.counted += 1 if self._counts else 0


class _Showing:
    """A session with a machine that shows its work."""

    def __init__(self, session: Any, machine: ShowingMachine) -> None:
        self._session, self._machine = session, machine
        self.identity = session.identity

    async def look(self) -> Look:
        machine = self._machine
        look: Look = await self._session.look()
        work = (Finding(job_id="(own work)", phase=JobPhase.RUNNING, evidence="busy"),) if machine.busy else ()
        baseline = None if machine.busy else f"idle, good {machine.counted}"
        return replace(look, jobs=work, baseline=baseline, counted=machine.counted, permits=ALLOWED)

    async def ask(self, job_id: str) -> Finding:
        raise AssertionError(f"a machine that names no jobs was asked for {job_id!r}")

    async def send(self, command: Command) -> Receipt:
        raise AssertionError(f"a probe has written {command.kind}")


@asynccontextmanager
async def a_watched_machine(state_dir: Path, machine: ShowingMachine) -> AsyncIterator[Factory]:
    """A factory whose machine is watched while a person runs it; the probe waits for that person."""
    async with a_place(state_dir, machine, effect=Effect.OBSERVABLE) as factory:
        await begin(factory)
        async with factory.running("tend"):
            await why(factory, "run one cycle of one piece at the panel now")
            yield factory


async def test_a_machine_that_shows_busy_and_counts_is_proven_by_one_cycle_at_the_panel(state_dir: Path) -> None:
    machine = ShowingMachine()
    async with a_watched_machine(state_dir, machine) as factory:
        machine.busy = True
        await why(factory, "waiting until the cycle ends")
        machine.cycle()
        ended = await reaches(factory, "ended")
    assert ended["verdict"] == "proven"
    assert ended["commands"] == []


async def test_counters_that_stand_still_prove_that_nothing_can_be_told(state_dir: Path) -> None:
    machine = ShowingMachine(counts=False)
    async with a_watched_machine(state_dir, machine) as factory:
        machine.busy = True
        await why(factory, "waiting until the cycle ends")
        machine.cycle()
        ended = await reaches(factory, "ended")
    assert ended["verdict"] == "refuted"
    assert "did not move" in ended["verdict_text"]


async def test_a_cycle_too_short_to_be_seen_proves_nothing(state_dir: Path) -> None:
    machine = ShowingMachine()
    async with a_watched_machine(state_dir, machine) as factory:
        machine.cycle()
        ended = await reaches(factory, "ended")
    assert ended["verdict"] == "unclear"


async def test_a_counter_that_begins_anew_with_each_batch_is_seen_to_move(state_dir: Path) -> None:
    machine = ShowingMachine()
    async with a_watched_machine(state_dir, machine) as factory:
        machine.busy, machine.counted = True, 0
        await why(factory, "waiting until the cycle ends")
        await reaches(factory, "counted")
        machine.busy, machine.counted = False, 7
        ended = await reaches(factory, "ended")
    assert ended["verdict"] == "proven"
