"""The mailbox map: blocks, commands, answers and what they prove."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import mailbox
from drivers.base import Absence, Answer, CommandKind, JobPhase
from drivers.catalog import profile_faults
from drivers.mailbox import MailboxError, PermitBits, Status, TornError
from drivers.mailbox_command import UnsendableError, crc16, empty_payload, encode_payload
from drivers.profile import MailboxMap, MailboxRecipe, PermitTags, Recipe, WordOrder
from tests.drivers.modbus_samples import cure, mailbox_profile
from tests.drivers.plc import Plc, Retentive

_SPEC = mailbox_profile().mailbox or MailboxMap()
_LITTLE = mailbox_profile(little=True).mailbox or MailboxMap()
_U32 = st.integers(0, 0xFFFF_FFFF)


def status(**changes: Any) -> Status:
    fields: dict[str, Any] = {
        "boot": 4,
        "heartbeat": 9,
        "ack_seq": 5,
        "ack_code": 1,
        "hwm_job": 7,
        "slot_job": 7,
        "job_state": 2,
        "order_id": "LUND-1-7",
    }
    return Status(**fields | changes)


@given(st.booleans(), _U32, _U32, _U32, st.integers(1, 6))
def test_a_block_is_read_as_an_independent_plc_wrote_it(
    little: bool, hwm: int, slot: int, good: int, state: int
) -> None:
    memory = Retentive(boot=3, hwm=hwm, slot=slot, state=state, good=good, order_id=b"LUND-1-7")
    words = Plc(little=little, memory=memory).status()
    read = mailbox.decode_status(words, WordOrder.CDAB if little else WordOrder.ABCD)
    assert (read.boot, read.hwm_job, read.slot_job, read.qty_good, read.order_id) == (3, hwm, slot, good, "LUND-1-7")
    assert read.phase == (JobPhase(state) if slot else None)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (0, 0, "MAGIC is 0x0000"),
        (0, 0x434A, "bytes of each register are swapped"),
        (1, 2, "MAP_VER is 2"),
        (2, 0, "TEST_U32 is 0x00000304"),
        (4, 0, "TEST_F32"),
        (6, 0x4241, "TEST_STR"),
        (16, 7, "JOB_STATE is 7"),
    ],
)
def test_a_block_that_is_no_mailbox_is_refused_in_words(at: int, value: int, says: str) -> None:
    words = Plc().status()
    words[at] = value
    with pytest.raises(MailboxError, match=says):
        mailbox.decode_status(words, WordOrder.ABCD)


def test_the_other_word_order_is_noticed_and_named() -> None:
    with pytest.raises(MailboxError, match="set word_order to CDAB"):
        mailbox.decode_status(Plc(little=True).status(), WordOrder.ABCD)
    with pytest.raises(MailboxError, match="set word_order to ABCD"):
        mailbox.decode_status(Plc().status(), WordOrder.CDAB)


@pytest.mark.parametrize("count", [0, 63, 65])
def test_a_block_of_another_length_is_refused(count: int) -> None:
    with pytest.raises(MailboxError, match=f"{count} words"):
        mailbox.decode_status([0] * count, WordOrder.ABCD)


def test_a_block_that_is_being_written_is_to_be_read_again() -> None:
    with pytest.raises(TornError):
        mailbox.decode_status(Plc(torn_reads=1).status(), WordOrder.ABCD)
    with pytest.raises(TornError):  # a job is just being taken over
        mailbox.decode_status(Plc(memory=Retentive(slot=3, hwm=2, state=0)).status(), WordOrder.ABCD)


@pytest.mark.parametrize(("spec", "little"), [(_SPEC, False), (_LITTLE, True)])
def test_a_payload_is_understood_by_an_independent_plc(spec: MailboxMap, little: bool) -> None:
    plc = Plc(little=little)
    plc.write(plc.command_base + 1, encode_payload(cure(CommandKind.LOAD, job_no=70_000, quantity=65_537), spec))
    plc.write(plc.command_base + 58, [1])
    plc.scan()
    m = plc.memory
    assert (m.ack_seq, m.ack_code, m.slot, m.hwm, m.state) == (1, 1, 70_000, 70_000, 1)
    assert (m.target, m.recipe, m.order_id, m.parameters) == (65_537, 3, b"LUND-1-1", (180.5, 45.0))


def test_every_damaged_word_of_a_payload_is_noticed_by_its_crc() -> None:
    payload = encode_payload(cure(CommandKind.LOAD), _SPEC)
    for at in range(len(payload) - 1):
        plc = Plc()
        damaged = list(payload)
        damaged[at] ^= 0x0100
        plc.write(plc.command_base + 1, damaged)
        plc.write(plc.command_base + 58, [1])
        plc.scan()
        assert (plc.memory.ack_code, plc.memory.slot) == (6, 0), at


def test_only_a_loading_command_carries_a_recipe() -> None:
    payload = encode_payload(cure(CommandKind.CLEAR, job_no=9), _SPEC)
    assert payload[:7] == (8, 0, 9, 0, 0, 0, 0)
    assert set(payload[23:55]) == {0}


def test_an_empty_payload_asks_for_nothing() -> None:
    plc = Plc(memory=Retentive(slot=3, hwm=3, state=5))
    plc.write(plc.command_base + 1, empty_payload())
    plc.write(plc.command_base + 58, [1])
    plc.scan()
    assert (plc.memory.ack_code, plc.memory.slot, plc.memory.state) == (7, 3, 5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parameters": {"temperature_c": "hot", "minutes": 1}}, "is a text"),
        ({"parameters": {"temperature_c": 1e39, "minutes": 1}}, "does not fit"),
        ({"parameters": {"temperature_c": float("nan"), "minutes": 1}}, "no finite number"),
        ({"parameters": {"temperature_c": 16_777_217, "minutes": 1}}, "would arrive rounded"),
        ({"parameters": {"temperature_c": 180}}, "goes down with temperature_c, minutes"),
        ({"recipe": "bake"}, "has no number"),
        ({"job_no": 0}, "job number 0"),
        ({"job_no": 1 << 32}, "job number"),
        ({"quantity": 1 << 32}, "quantity"),
        ({"job_id": "Å-1"}, "plain characters"),
        ({"job_id": "x" * 33}, "plain characters"),
        ({"job_id": ""}, "plain characters"),
        ({"kind": CommandKind.WITHDRAW}, "no command withdraw"),
    ],
)
def test_what_the_map_cannot_carry_is_not_sent(changes: dict[str, Any], says: str) -> None:
    kind = changes.get("kind", CommandKind.LOAD)
    others = {name: value for name, value in changes.items() if name != "kind"}
    command = cure(kind, **others)
    with pytest.raises(UnsendableError, match=says):
        encode_payload(command, _SPEC)


@given(st.binary(max_size=100))
def test_the_crc_is_that_of_modbus(octets: bytes) -> None:
    from pymodbus.framer.rtu import FramerRTU

    assert crc16(octets) == struct.unpack(">H", struct.pack("<H", FramerRTU.compute_CRC(octets)))[0]
    assert crc16(b"123456789") == 0x4B37


def test_commit_words_go_round_and_leave_zero_out() -> None:
    assert [mailbox.next_seq(seq) for seq in (0, 1, 65_534, 65_535)] == [1, 2, 65_535, 1]


def test_heartbeats_are_counted_over_the_turn() -> None:
    assert [mailbox.beats(*pair) for pair in ((1, 1), (1, 3), (65_535, 1), (65_534, 2))] == [0, 2, 1, 3]


@pytest.mark.parametrize(("cmd_seq", "pending"), [(0, False), (5, False), (6, True), (4, True)])
def test_a_command_is_pending_until_its_own_number_is_acknowledged(cmd_seq: int, pending: bool) -> None:
    assert mailbox.is_pending(cmd_seq, status(ack_seq=5)) is pending


@pytest.mark.parametrize("word", range(32))
def test_permits_are_their_bits_and_start_by_itself_belongs_to_the_hand_over(word: int) -> None:
    permits = mailbox.permits_of(status(permit=word), PermitBits())
    assert permits.remote is bool(word & 1)
    assert permits.ready is bool(word & 2)
    assert permits.handed_over is (word & 0b11000 == 0b11000)
    assert mailbox.permits_of(status(permit=word), PermitBits(handed_over=None)).handed_over is None


def test_nothing_is_known_of_a_plc_that_stands_still() -> None:
    permits = mailbox.permits_of(status(permit=0x1F), PermitBits(), alive=False)
    assert (permits.remote, permits.ready, permits.handed_over) == (None, None, None)


def test_a_look_names_the_job_in_the_slot_and_the_mark() -> None:
    look = mailbox.look_of(status(setup_echo=12, qty_produced=4, qty_good=3, job_reason=9), PermitBits())
    assert (look.boot, look.setup_code, look.mark) == ("4", "12", 7)
    (job,) = look.jobs
    assert (job.job_id, job.phase, job.produced, job.good) == ("LUND-1-7", JobPhase.ALLOWED_TO_START, 4, 3)
    assert job.reason == "reason code 9"
    assert mailbox.look_of(status(order_id=""), PermitBits()).jobs[0].job_id == "job 7"
    empty = mailbox.look_of(status(slot_job=0, job_state=0, setup_echo=0), PermitBits())
    assert (empty.jobs, empty.setup_code) == ((), None)


@pytest.mark.parametrize(
    ("hwm", "job_no", "known", "proves"),
    [
        (6, 7, 6, Absence.NEVER),
        (7, 7, 6, Absence.GONE),
        (9, 7, 6, Absence.GONE),
        (5, 7, 6, Absence.LOST),
        (0, 7, 6, Absence.LOST),
        (0, 1, 0, Absence.NEVER),
    ],
)
def test_what_the_mark_proves_of_a_job_that_is_not_in_the_slot(
    hwm: int, job_no: int, known: int, proves: Absence
) -> None:
    finding = mailbox.finding_of(status(slot_job=0, job_state=0, hwm_job=hwm), "LUND-1-9")
    assert finding.phase is None
    assert f"HWM_JOB {hwm}" in finding.evidence
    assert finding.absence(job_no=job_no, known_mark=known) is proves


def test_another_job_in_the_slot_is_not_taken_for_the_one_asked_for() -> None:
    finding = mailbox.finding_of(status(), "LUND-1-8")
    assert finding.phase is None
    assert "LUND-1-7" in finding.evidence


_ANSWERS = {
    1: Answer.ACCEPTED,
    2: Answer.ACCEPTED,
    3: Answer.REFUSED,
    4: Answer.REFUSED,
    5: Answer.REFUSED,
    6: Answer.REFUSED,
    7: Answer.REFUSED,
}


@pytest.mark.parametrize("code", range(10))
def test_each_answer_of_the_plc_is_what_the_reference_says(code: int) -> None:
    command = cure(CommandKind.LOAD, "LUND-1-7", job_no=7)
    if code not in _ANSWERS:
        with pytest.raises(MailboxError):
            mailbox.receipt_of(command, 5, status(ack_code=code))
        return
    receipt = mailbox.receipt_of(command, 5, status(ack_code=code))
    assert receipt is not None
    assert receipt.answer is _ANSWERS[code]
    assert f"ACK_CODE {code}" in receipt.evidence


def test_an_answer_to_another_command_is_none() -> None:
    assert mailbox.receipt_of(cure(CommandKind.LOAD), 6, status(ack_seq=5)) is None


def test_an_answer_against_the_mark_proves_nothing() -> None:
    with pytest.raises(MailboxError, match="and yet HWM_JOB is 7"):
        mailbox.receipt_of(cure(CommandKind.LOAD, job_no=8), 5, status(ack_code=2))
    repeated = mailbox.receipt_of(cure(CommandKind.CLEAR, job_no=7), 5, status(ack_code=2))
    assert repeated is not None
    assert repeated.answer is Answer.REFUSED


@pytest.mark.parametrize(
    ("job_no", "answer", "says"),
    [
        (8, Answer.ACCEPTED, "never accepted"),
        (7, Answer.REFUSED, "accepted already"),
        (6, Answer.REFUSED, "no longer there"),
    ],
)
def test_a_withdrawn_job_is_free_only_where_it_was_never_accepted(job_no: int, answer: Answer, says: str) -> None:
    receipt = mailbox.withdrawal_of(cure(CommandKind.CANCEL, job_no=job_no), status())
    assert receipt.answer is answer
    assert says in receipt.evidence


def test_the_shipped_kind_of_profile_has_no_faults() -> None:
    assert profile_faults(mailbox_profile()) == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mailbox": None}, "mailbox: missing"),
        ({"mailbox": MailboxMap(command_base=63, recipes=_SPEC.recipes)}, "overlap"),
        ({"mailbox": MailboxMap(status_base=158, recipes=_SPEC.recipes)}, "overlap"),
        ({"mailbox": MailboxMap(status_base=65_500, recipes=_SPEC.recipes)}, "no room"),
        ({"mailbox": MailboxMap(command_base=-1, recipes=_SPEC.recipes)}, "no room"),
        ({"mailbox": MailboxMap(word_order=WordOrder.BADC, recipes=_SPEC.recipes)}, "swaps the bytes"),
        ({"mailbox": MailboxMap()}, "recipes.cure: has no number"),
        ({"mailbox": MailboxMap(recipes={"cure": MailboxRecipe(number=0)})}, "number 0"),
        ({"mailbox": MailboxMap(recipes={"cure": MailboxRecipe(number=1)})}, "are not those of the recipe"),
        ({"mailbox": MailboxMap(recipes=dict(_SPEC.recipes) | {"x": MailboxRecipe(number=2)})}, "not among"),
        ({"permits": PermitTags(remote="PERMIT.0", ready="PERMIT.16")}, "PERMIT.16"),
        ({"permits": PermitTags(remote="ns=1;s=Remote", ready="PERMIT.1")}, "ns=1;s=Remote"),
    ],
)
def test_a_profile_that_the_mailbox_cannot_serve_is_refused_in_words(changes: dict[str, Any], says: str) -> None:
    assert says in "; ".join(profile_faults(mailbox_profile(**changes)))


def test_more_parameters_than_there_is_room_for_are_refused() -> None:
    names = tuple(f"p{n}" for n in range(17))
    profile = mailbox_profile(
        recipes={"cure": Recipe(version="1", parameters={})},
        mailbox=MailboxMap(recipes={"cure": MailboxRecipe(number=1, parameters=(*names, "p0"))}),
    )
    faults = "; ".join(profile_faults(profile))
    assert "18 parameters, and 16 fit" in faults
    assert "stands twice" in faults


@pytest.mark.parametrize(
    ("kind", "code", "busy"), [(CommandKind.LOAD, 5, True), (CommandKind.START, 5, False), (CommandKind.LOAD, 7, False)]
)
def test_only_a_load_that_finds_no_room_is_refused_for_being_busy(kind: CommandKind, code: int, busy: bool) -> None:
    receipt = mailbox.receipt_of(cure(kind), 5, status(ack_code=code))
    assert receipt is not None
    assert receipt.busy is busy
