"""A PLC in memory that follows mailbox map v1 as the reference tells it, with a panel and a journal of starts.

It scans once before each read, so that nothing here needs a task or a clock of its own. It shares no code
with the driver: the map is written down a second time, from the reference.
"""

import copy
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

EMPTY, LOADED, ALLOWED, RUNNING, INTERRUPTED, ENDED, ABORTED = range(7)
LOAD_START, LOAD, START, PAUSE, RESUME, STOP, ABORT, CLEAR = range(1, 9)


@dataclass
class Retentive:
    """What survives a power cut, as far as it was saved."""

    boot: int = 1
    ack_seq: int = 0
    ack_code: int = 0
    hwm: int = 0
    slot: int = 0
    state: int = EMPTY
    reason: int = 0
    target: int = 0
    produced: int = 0
    good: int = 0
    scrap: int = 0
    recipe: int = 0
    crc: int = 0
    order_id: bytes = b""
    parameters: tuple[float, ...] = ()


@dataclass
class Plc:
    """One PLC with both blocks; `starts` lists the job number of each physical start."""

    status_base: int = 0
    command_base: int = 100
    little: bool = False  # low word first
    monotonic: Callable[[], float] = time.monotonic
    memory: Retentive = field(default_factory=Retentive)
    running: bool = True  # RUN or STOP
    deaf: bool = False  # it never looks at the command block
    heartbeat: int = 1
    snap: int = 1
    torn_reads: int = 0  # so many next reads see a half-written block
    remote: bool = True
    ready: bool = True
    handed_over: bool = False
    may_start_itself: bool = True
    setup: int = 7
    starts: list[int] = field(default_factory=list)
    writes: list[tuple[int, int]] = field(default_factory=list)  # address, count
    commands: list[tuple[int, int]] = field(default_factory=list)  # CMD, JOB_NO of each that was processed
    damage: Callable[[list[int]], None] | None = None  # falsifies the status block

    def __post_init__(self) -> None:
        self.c = [0] * 59
        self._beat_seen = (0, -1e9)
        self._saved = copy.copy(self.memory)

    # The wire ---------------------------------------------------------------------------------------

    def read(self, address: int, count: int) -> list[int] | None:
        """Give registers, None where some of them do not exist."""
        if self.running:
            self.scan()
        blocks = {self.status_base: self.status(), self.command_base: self.c}
        for base, words in blocks.items():
            if base <= address and address + count <= base + len(words):
                return list(words[address - base : address - base + count])
        return None

    def write(self, address: int, values: Sequence[int]) -> bool:
        """Take registers of the command block; say whether they exist."""
        self.writes.append((address, len(values)))
        at = address - self.command_base
        if at < 0 or at + len(values) > len(self.c):
            return False
        self.c[at : at + len(values)] = values
        return True

    # The program ------------------------------------------------------------------------------------

    def scan(self) -> None:
        """Run the program once; a deaf one beats and does nothing else."""
        self.heartbeat = self.heartbeat % 0xFFFF + 1
        if self.deaf:
            return
        if self.c[0] != self._beat_seen[0]:
            self._beat_seen = (self.c[0], self.monotonic())
        if self.c[58] not in (0, self.memory.ack_seq):
            self._process(list(self.c))

    def _process(self, shadow: list[int]) -> None:
        m, command, number = self.memory, shadow[1], self._u32(shadow, 2)
        self.commands.append((command, number))
        if shadow[56] and shadow[56] != crc(struct.pack(">55H", *shadow[1:56])):
            m.ack_code = 6
        elif command in (LOAD, LOAD_START):
            m.ack_code = self._load(shadow, number, start=command == LOAD_START)
        elif not START <= command <= CLEAR:
            m.ack_code = 7
        elif m.slot == 0 or m.slot != number:
            m.ack_code = 3
        else:
            m.ack_code = self._command(command)
        m.ack_seq = shadow[58]

    def _load(self, shadow: list[int], number: int, *, start: bool) -> int:
        m = self.memory
        if number <= m.hwm:
            return 2
        if m.slot or not self.remote:
            return 5
        m.order_id = struct.pack(">16H", *shadow[8:24]).rstrip(b"\0")
        m.target, m.recipe, m.crc = self._u32(shadow, 4), shadow[6], shadow[56]
        words = [shadow[24 + 2 * n : 26 + 2 * n] for n in range(shadow[7])]
        m.parameters = tuple(
            struct.unpack(">f", struct.pack(">2H", *(reversed(pair) if self.little else pair)))[0] for pair in words
        )
        m.produced = m.good = m.scrap = m.reason = 0
        m.slot, m.state = number, EMPTY
        m.hwm = number
        m.state = ALLOWED if start and self._may_start() else LOADED
        return 1

    def _command(self, command: int) -> int:
        m = self.memory
        if command in (START, RESUME) and not self._may_start():
            return 5
        moves = {
            (START, LOADED): ALLOWED,
            (PAUSE, RUNNING): INTERRUPTED,
            (RESUME, INTERRUPTED): RUNNING,
            (STOP, RUNNING): ENDED,
            (STOP, INTERRUPTED): ENDED,
            (CLEAR, ENDED): EMPTY,
            (CLEAR, ABORTED): EMPTY,
        } | {(ABORT, state): ABORTED for state in (LOADED, ALLOWED, RUNNING, INTERRUPTED)}
        if (command, m.state) not in moves:
            return 4
        if command == CLEAR:
            m.slot = 0
        m.state = moves[command, m.state]
        return 1

    def _may_start(self) -> bool:
        return self.remote and self.ready and self.handed_over and self.may_start_itself

    # The machine ------------------------------------------------------------------------------------

    def work(self) -> None:
        """Let the machine do what it may do, until nothing moves."""
        m = self.memory
        fresh = self.monotonic() - self._beat_seen[1] <= 10
        if m.state == ALLOWED and fresh and self._may_start():
            self._start()
        if m.state == RUNNING:
            m.good = m.produced = m.target
            m.state = ENDED

    def press_start(self) -> None:
        """Press Start at the panel: hand over, and set what is loaded or interrupted going."""
        if not (self.remote and self.ready):
            return
        self.handed_over = True
        if self.memory.state in (LOADED, ALLOWED):
            self._start()
        elif self.memory.state == INTERRUPTED:
            self.memory.state = RUNNING

    def open_guard(self) -> None:
        """Let READY fall."""
        self.ready = self.handed_over = False
        m = self.memory
        m.state = {ALLOWED: LOADED, RUNNING: INTERRUPTED}.get(m.state, m.state)

    def shut_guard_and_reset(self) -> None:
        """Let READY come back; nothing starts by that."""
        self.ready = True

    def clear_at_panel(self) -> None:
        """Let a person remove the job in the slot."""
        self.memory.slot, self.memory.state = 0, EMPTY

    def _start(self) -> None:
        self.memory.state = RUNNING
        self.starts.append(self.memory.slot)

    # Power ------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the retentive memory to its store, as a soft PLC does every few seconds."""
        self._saved = copy.copy(self.memory)

    def power_cut(self, *, lagging: bool = False, lost: bool = False, command_kept: bool = True) -> None:
        """Switch off and on again; retentive memory comes back whole, as last saved, or not at all."""
        if lost:
            self.memory = Retentive(boot=0)
        elif lagging:
            self.memory = copy.copy(self._saved)
        m = self.memory
        m.boot += 1
        self.handed_over, self.heartbeat = False, 1
        if not command_kept:
            self.c = [0] * 59
        if self.c[58] not in (0, m.ack_seq):
            m.ack_code, m.ack_seq = 8, self.c[58]
        if m.slot > m.hwm:
            m.slot = 0
        if m.slot == 0:
            m.state = EMPTY
        elif m.state in (EMPTY, ALLOWED):
            m.state = LOADED
        elif m.state == RUNNING:
            m.state = INTERRUPTED

    # The map ----------------------------------------------------------------------------------------

    def status(self) -> list[int]:
        """Give the 64 words of the status block."""
        m, s = self.memory, [0] * 64
        s[0:2] = [0x4A43, 1]
        s[2:4], s[4:6], s[6] = self._two(0x01020304), self._two(0x42F6E979), 0x4142
        s[7], s[8], s[9] = m.boot, self.heartbeat, self.snap
        s[10], s[11] = m.ack_seq, m.ack_code
        s[12:14], s[14:16], s[16], s[17] = self._two(m.hwm), self._two(m.slot), m.state, m.reason
        s[18:26] = [*self._two(m.target), *self._two(m.produced), *self._two(m.good), *self._two(m.scrap)]
        s[26], s[27] = m.recipe, m.crc
        s[35] = self.remote | self.ready << 1 | 1 << 2 | self.may_start_itself << 3 | self.handed_over << 4
        s[39] = self.setup
        s[40:56] = struct.unpack(">16H", m.order_id.ljust(32, b"\0"))
        s[63] = self.snap
        if self.torn_reads:
            self.torn_reads -= 1
            s[9], s[15] = self.snap + 1, s[15] ^ 0xFF
        if self.damage is not None:
            self.damage(s)
        return s

    def _two(self, value: int) -> list[int]:
        words = [value >> 16, value & 0xFFFF]
        return words[::-1] if self.little else words

    def _u32(self, words: Sequence[int], at: int) -> int:
        high, low = words[at : at + 2][:: -1 if self.little else 1]
        return high << 16 | low


def crc(octets: bytes) -> int:
    """Give the CRC-16/MODBUS of some bytes, bit by bit."""
    rest = 0xFFFF
    for octet in octets:
        rest ^= octet
        for _ in range(8):
            rest = (rest >> 1) ^ 0xA001 if rest & 1 else rest >> 1
    return rest
