"""One point from its first to its last life: a world, gateways that are struck, and the judge at the end."""

import asyncio
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults import bounds, checker, filesystem, guest, samples, strangers
from tests.faults.checker import UNEXPLAINED
from tests.faults.life import End, be
from tests.faults.scenes import Outcome, Point
from tests.faults.traced import Call, kill_at, wait_for_tracer
from tests.faults.watchdog import Watchdog
from tests.faults.weakened import ON_WIRES
from tests.faults.wire import Wire
from tests.faults.wireworld import WireWorld
from tests.faults.world import World, serve

LIVES_MAX = 9
CONTROL_S = 20.0  # the same, where a protection on a wire is out: it need not come to rest
LIFE_S = 90.0  # real seconds after which a life is stuck
FULL_S = 6.0  # real seconds that a full disk stays full
LONG_LIFE_S = 600.0
RECOVERY_S = 30.0  # I8
KEPT_SHARE = 0.95  # I13
_SHM = Path("/dev/shm")


def run(point: Point) -> Outcome:
    """Run a point in this process and children of its own; where a neighbour counts, beside a twin without a fault."""
    outcome = _run(point)
    if point.scene.neighbour and outcome.finished is not None:
        twin = _run(replace(point, scene=replace(point.scene, wire=""), weakness=""))
        if twin.finished is None or outcome.finished < KEPT_SHARE * twin.finished:
            text = f"a machine beside one that is dead ended {outcome.finished} jobs, its twin {twin.finished}"
            outcome.findings.append((UNEXPLAINED, "I13", text))
    return outcome


def _run(point: Point) -> Outcome:
    outcome = Outcome(point=point)
    began = time.monotonic()
    root = _SHM if os.access(_SHM, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="kvot-faults-", dir=root))
    try:
        _Trial(point=point, directory=directory, outcome=outcome).run()
    finally:
        if os.environ.get("KVOT_FAULTS_KEEP"):
            (directory / "point.txt").write_text(repr(point))
            sys.stderr.write(f"faults: point {point.index} is kept in {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    outcome.took_s = time.monotonic() - began
    return outcome


@dataclass(kw_only=True)
class _Trial:
    point: Point
    directory: Path
    outcome: Outcome
    state: Path = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.directory / "state"

    def run(self) -> None:
        deeds = {act.deed for act in self.point.acts}
        if not deeds & {"small", "shutdown"}:
            self._run()
            return
        filesystem.go_apart()
        self.state.mkdir(mode=0o700)
        if "small" in deeds:
            filesystem.mount_small(self.state, filesystem.SMALL)
        else:
            filesystem.mount_device(self._image, self.state)
        try:
            self._run()
        finally:
            filesystem.unmount(self.state)

    @property
    def _image(self) -> Path:
        return self.directory / "image"

    def _run(self) -> None:
        scene = self.point.scene
        kind: type[World] = guest.GuestWorld if self._is_guest else WireWorld if scene.is_wired else World
        world = _forked(lambda: asyncio.run(serve(self.directory, lambda: kind(self.directory, scene))))
        try:
            wire = self._reached()
            beside = _forked(self._be_guest) if scene.guest else None
            self._live(wire)
            if beside is not None:
                os.waitpid(beside, 0)
                self.outcome.findings += guest.findings(self.directory)
            happened = wire.call("struck")
            wire.call("over")
            wire.close()
        finally:
            _end(world)
        finished = self.directory / "finished.txt"
        self.outcome.finished = int(finished.read_text()) if finished.exists() else None
        self.outcome.struck = happened or scene.name == "edited" or (self.directory / "struck").exists()
        if (
            not any(invariant == "I8" for _, invariant, _ in self.outcome.findings)
            and (self.state / "ledger.db").exists()
        ):
            press = guest.host_of(self.directory) / "press.journal" if self._is_guest else None
            self.outcome.findings += checker.check(
                self.directory, self.state / "ledger.db", press=press, site=scene.site
            )
        self.outcome.findings += bounds.check(self.directory)
        self.outcome.findings += [*samples.check(self.directory), *strangers.check(self.directory)]

    @property
    def _is_guest(self) -> bool:
        return self.point.scene.site == guest.SITE

    def _be_guest(self) -> None:
        """Be the other gateway at the same machine, from its first to its last life."""
        point = guest.beside(self.point)
        directory = guest.place_in(self.directory)
        trial = _Trial(point=point, directory=directory, outcome=Outcome(point=point))
        trial.run()
        guest.note(directory, trial.outcome.findings)

    def _reached(self) -> Wire:
        deadline = time.monotonic() + LIFE_S
        while True:
            try:
                return Wire(self.directory / "world.sock")
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.002)

    def _live(self, wire: Wire) -> None:
        """Let one life follow the other until one comes to rest."""
        for number in range(1, LIVES_MAX + 1):
            self.outcome.lives = number
            code = self._one_life(number)
            self._note(number)
            if code == End.QUIET:
                return
            if code in (End.BROKEN, End.RESTLESS) or (code == End.REFUSED and not self._may_refuse(number)):
                self._found(UNEXPLAINED, "I8", f"life {number}: {self._why(number)}")
                return
            self._after(number, code)
            wire.call("between", (self.directory / f"{number}-cut").exists())
        self._found(UNEXPLAINED, "I8", f"it did not come to rest in {LIVES_MAX} lives")

    def _one_life(self, number: int) -> int:
        """Give its exit code, or -9 where it was killed."""
        call = next(
            (Call(name=act.point, nth=act.nth) for act in self.point.at_life(number) if act.deed == "trace"), None
        )
        watchdog = self._watchdog(number)
        child = _forked(lambda: self._be_born(number, call, watchdog))
        tracer = kill_at(child, call, said=self.directory / f"{number}-strace.txt") if call else None
        pidfd = os.pidfd_open(child)
        try:
            if watchdog is not None:
                self.outcome.findings += watchdog.watch(pidfd, child, number)
            elif not self._is_over(pidfd, number):
                os.kill(child, signal.SIGKILL)
                if not self._patience(number)[1]:
                    os.waitpid(child, 0)
                    (self.directory / f"{number}-broken.txt").write_text(f"it hung for {self._patience(number)[0]:g} s")
                    return int(End.BROKEN)
                (self.directory / "struck").touch()
        finally:
            os.close(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if tracer is not None:
            tracer.wait()
            if code == -signal.SIGKILL:
                (self.directory / "struck").touch()
        return code

    def _be_born(self, number: int, call: Call | None, watchdog: Watchdog | None) -> None:
        if watchdog is not None:
            watchdog.announce()
        if call is not None:
            wait_for_tracer()
        be(self.point, number, self.directory)

    def _watchdog(self, number: int) -> Watchdog | None:
        """Watch a life whose loop is to be stuck as systemd does, only sooner."""
        deeds = {act.deed for act in self.point.at_life(number)} & {"stuck", "log"}
        return Watchdog(directory=self.directory, exact="stuck" in deeds, patience_s=LIFE_S) if deeds else None

    def _is_over(self, pidfd: int, number: int) -> bool:
        """Wait for the end of a life; say whether it came in time."""
        deadline = time.monotonic() + self._patience(number)[0]
        if self._is_small(number) and not select.select([pidfd], [], [], FULL_S)[0]:
            self._free_space()  # it waits for room, as it should
        return bool(select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0])

    def _patience(self, number: int) -> tuple[float, bool]:
        """Give after how long a life is killed from outside, and whether that is part of the point."""
        if self.point.scene.crowd:
            return LONG_LIFE_S, False
        for act in self.point.at_life(number):
            if act.deed == "reconnect":
                return LONG_LIFE_S, False
            if act.deed == "outside":
                return act.amount, True
        return (CONTROL_S if self.point.weakness in ON_WIRES else LIFE_S), False

    def _after(self, number: int, code: int) -> None:
        """Do to the files what follows from how this life ended."""
        cut = self.directory / "cut"
        if cut.exists():
            for name in ("ledger.db", "ledger.db-wal", "ledger.db-journal"):
                (self.state / name).unlink(missing_ok=True)
                if (cut / name).exists():
                    shutil.copy(cut / name, self.state / name)
            cut.rename(self.directory / f"{number}-cut")
        if code == End.REFUSED and self._is_small(number):
            self._free_space()
        if any(act.deed == "shutdown" for act in self.point.at_life(number)):
            filesystem.unmount(self.state)
            filesystem.mount_device(self._image, self.state)
        if number == 1 and self.point.damage:
            damage(self.state, self.point.damage, random.Random(self.point.seed))
        elif number == 2 and self.point.damage and code == End.REFUSED:
            restore(self.state)

    def _is_small(self, number: int) -> bool:
        return any(act.deed == "small" for act in self.point.at_life(number))

    def _free_space(self) -> None:
        (self.directory / "struck").touch()
        filesystem.mount_small(self.state, filesystem.LARGE, "remount,")

    def _may_refuse(self, number: int) -> bool:
        """Say whether the ledger may refuse: after damage of its file, or in the life whose disk failed."""
        if self.point.damage:
            return number <= 2
        return any(act.deed in ("full", "io", "readonly", "small", "shutdown") for act in self.point.at_life(number))

    def _note(self, number: int) -> None:
        recovered = self.directory / f"{number}-recovered.txt"
        if number > 1 and recovered.exists():
            self.outcome.recovery_s.append(float(recovered.read_text()))
            if self.outcome.recovery_s[-1] > RECOVERY_S:
                self._found(UNEXPLAINED, "I8", f"recovered after {self.outcome.recovery_s[-1]:.1f} s")
        touched = self.directory / f"{number}-touched.json"
        if touched.exists():
            self.outcome.touched = {f"{number}/{name}": n for name, n in json.loads(touched.read_text()).items()} | (
                self.outcome.touched
            )
        for name, invariant in (("second", "lock"), ("leak", "I7")):
            if (told := self.directory / f"{number}-{name}.txt").exists():
                self._found(UNEXPLAINED, invariant, told.read_text())

    def _why(self, number: int) -> str:
        found = [path.read_text()[-1500:] for path in sorted(self.directory.glob(f"{number}-*.txt"))]
        return "\n".join(found) or "no reason was given"

    def _found(self, kind: str, invariant: str, text: str) -> None:
        self.outcome.findings.append((kind, invariant, text))


def damage(state: Path, how: str, chance: random.Random) -> None:
    """Damage the ledger's file as a bad disk or a careless person does; keep a copy, as a backup would be."""
    ledger = state / "ledger.db"
    for path in state.glob("ledger.db*"):
        shutil.copy(path, state / f"kept-{path.name}")
    match how:
        case "flip":
            octets = bytearray(ledger.read_bytes())
            page = chance.randrange(1, max(2, len(octets) // 4096)) * 4096 % len(octets)
            octets[page] ^= 1 << chance.randrange(8)  # the kind of a page of the tree
            ledger.write_bytes(octets)
        case "delete":
            for path in state.glob("ledger.db*"):
                path.unlink()
        case "truncate":
            os.truncate(ledger, chance.choice((0, ledger.stat().st_size // 2)))
        case _:
            raise AssertionError(how)


def restore(state: Path) -> None:
    """Bring the copy back, as a person does who has been told."""
    for path in state.glob("ledger.db*"):
        path.unlink()
    for path in state.glob("kept-ledger.db*"):
        path.rename(state / path.name.removeprefix("kept-"))


def _forked(body: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return child


def _end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
