"""Machines over Modbus and stations: what their types and entries must say, and what they must not."""

from pathlib import Path

import pytest

from drivers.profile import MailboxMap, MailboxNodes, MailboxRecipe, WordOrder
from tests.settings.site import FACTORY, FULL, PROFILE, changed, faults, good

OVEN = (Path(__file__).parents[2] / "config" / "machines" / "modbus-mailbox.yaml").read_text(encoding="utf-8")
NODES = (Path(__file__).parents[2] / "config" / "machines" / "opcua-mailbox.yaml").read_text(encoding="utf-8")
STATION = (Path(__file__).parents[2] / "config" / "machines" / "station.yaml").read_text(encoding="utf-8")
PRESS_LINES = FACTORY[FACTORY.index("    url: opc.tcp") : FACTORY.index("    area:")]
PLAIN_OPCUA = FACTORY.replace(FACTORY[FACTORY.index("  TRAY-12:") : FACTORY.index('  "GIFT')], "")
PLAIN = PLAIN_OPCUA.replace("    security: none\n", "")


def oven(url: str) -> str:
    return changed("opc.tcp://127.0.0.1:4840", url, PLAIN)


def test_a_mailbox_becomes_the_drivers_value(tmp_path: Path) -> None:
    profile = good(tmp_path, oven("modbus://127.0.0.1/3"), profile=OVEN.replace("order: ABCD", "order: CDAB")).profile(
        "press-1"
    )
    assert profile.mailbox == MailboxMap(
        status_base=0,
        command_base=100,
        word_order=WordOrder.CDAB,
        recipes={"cure": MailboxRecipe(number=1, parameters=("temperature_c", "minutes"))},
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("status_base: 0 ", "status_base: 70000 ", "mailbox.status_base: "),
        ("status_base: 0 ", "status_base: 90 ", ": mailbox: the status block and the command block overlap"),
        ("status_base: 0 ", "status_base: 65530 ", "mailbox.status_base: 65530 leaves no room for"),
        ("word_order: ABCD", "word_order: BADC", "mailbox.word_order: 'BADC' is not known; "),
        ("cure: {number: 1,", "cure: {number: 0,", "mailbox.recipes.cure.number: "),
        ("    cure: {number: 1,", "    cur: {number: 1,", "recipes.cure: has no number in mailbox.recipes"),
        ("    cure: {number: 1,", "    cur: {number: 1,", "mailbox.recipes.cur: is not among the recipes"),
        (
            "[temperature_c, minutes]",
            "[temperature_c]",
            "parameters are not those of the recipe (temperature_c, minute",
        ),
        ("remote: PERMIT.0", "remote: PERMIT.99", "permits: "),
        ("poll_s: 0.5 ", "poll_s: 3.5 ", "poll_s: at most 3: the PLC starts nothing when it has not heard of us"),
        (
            "minutes: {min: 1, max: 600, unit: min}",
            "minutes: {max_length: 9}",
            "parameters.minutes: the mailbox carries numbers",
        ),
        ("dialect: mailbox", "dialect: mailbx", "no driver for modbus/mailbx; did you mean 'modbus/mailbox'?"),
    ],
)
def test_a_mailbox_that_no_driver_can_use_is_refused_where_it_is_written(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    found = faults(tmp_path, oven("modbus://127.0.0.1"), profile=changed(old, new, OVEN))
    assert any(line.startswith("machines/press.yaml:") and fault in line for line in found), found


def test_a_mailbox_machine_type_needs_its_mailbox_and_its_permits(tmp_path: Path) -> None:
    without = OVEN.replace(OVEN[OVEN.index("mailbox:\n") : OVEN.index("recipes:\n  cure")], "")
    assert "mailbox: missing; it says where the blocks lie" in faults(tmp_path, oven("modbus://h"), profile=without)[0]
    without = OVEN.replace(OVEN[OVEN.index("permits:") : OVEN.index("mailbox:\n")], "")
    assert "permits: missing; " in faults(tmp_path, oven("modbus://h"), profile=without)[0]


def test_a_mailbox_over_opcua_becomes_the_drivers_value(tmp_path: Path) -> None:
    profile = good(tmp_path, PLAIN_OPCUA, profile=NODES).profile("press-1")
    plc = "nsu=urn:example:plc;s=Kvot"
    assert profile.mailbox == MailboxMap(
        nodes=MailboxNodes(
            status=f"{plc}.Status", payload=f"{plc}.Payload", commit=f"{plc}.CmdSeq", heartbeat=f"{plc}.GwHeartbeat"
        ),
        recipes={"cure": MailboxRecipe(number=1, parameters=("temperature_c", "minutes"))},
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("    status: ", "    state: ", "17:5: mailbox.nodes.state: unknown key; "),
        ("    status: ", "    #", "16:3: mailbox.nodes.status: missing; The status block: UInt16[64]"),
        (
            "    commit: nsu=urn:example:plc;",
            "    commit: ns=2;",
            "19:5: mailbox.nodes.commit: 'ns=2;s=Kvot.CmdSeq' is not",
        ),
        ("s=Kvot.CmdSeq", "s=Kvot.Payload", "19:5: mailbox.nodes.commit: lies where mailbox.nodes.payload is"),
        ("  word_order:", "  status_base: 0\n  word_order:", "21:3: mailbox.status_base: registers belong to protocol"),
        ("  word_order:", "  command_base: 9\n  word_order:", "21:3: mailbox.command_base: registers belong to"),
        ("remote: PERMIT.0", "remote: nsu=urn:example:plc;s=Remote", "permits: "),
        ("poll_s: 0.5 ", "poll_s: 3.5 ", "poll_s: at most 3: the PLC starts nothing when it has not heard of us"),
        ("protocol: opcua", "protocol: modbus", "16:3: mailbox.nodes: belongs to protocol opcua; remove it"),
    ],
)
def test_a_mailbox_over_opcua_that_cannot_be_reached_is_refused_where_it_is_written(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    found = faults(tmp_path, PLAIN_OPCUA, profile=changed(old, new, NODES))
    assert any(line.startswith("machines/press.yaml:") and fault in line for line in found), found


def test_a_mailbox_over_opcua_needs_its_nodes(tmp_path: Path) -> None:
    without = NODES.replace(NODES[NODES.index("  nodes:") : NODES.index("  word_order:")], "")
    (found,) = faults(tmp_path, PLAIN_OPCUA, profile=without)
    assert found.startswith(
        "machines/press.yaml:15:1: mailbox.nodes: missing; the variables of its two blocks: status,"
    )


def test_a_mailbox_belongs_to_no_other_dialect(tmp_path: Path) -> None:
    mixed = OVEN.replace("protocol: modbus", "protocol: opcua").replace("dialect: mailbox", "dialect: isa95-jobs")
    found = faults(tmp_path, changed("    security: none\n", "", FACTORY), profile=mixed)
    assert any("mailbox: belongs to dialect mailbox, not opcua/isa95-jobs" in line for line in found), found


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("modbus://192.0.2.1", "modbus://192.0.2.1:502/1"),
        ("modbus://192.0.2.1:1502/0", "modbus://192.0.2.1:1502/0"),
        ("modbus+rtu://gate:4001/17", "modbus+rtu://gate:4001/17"),
        ("modbus+serial://19200-8E1/dev/ttyUSB0/2", "modbus+serial://19200-8E1/dev/ttyUSB0/2"),
    ],
)
def test_an_address_of_a_modbus_machine_is_kept_with_port_and_unit(tmp_path: Path, url: str, kept: str) -> None:
    settings = good(tmp_path, oven(url), profile=OVEN)
    assert settings.machines["press-1"].url == kept
    assert not any(warning.path.endswith("security") for warning in settings.warnings)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("modbus://127.0.0.1/300", "must end in the unit, 0 to 255"),
        ("modbus+rtu://127.0.0.1/1", "names no port"),
        ("modbus+serial://19200-9X3/dev/ttyUSB0/1", "19200-8E1"),
        ("modbus+serial://19200-8E1/1", "names no device and unit"),
        ("opc.tcp://127.0.0.1", "is not an address of a Modbus machine: write modbus://host:502/1 (profile 'press'"),
    ],
)
def test_an_address_that_leads_to_no_modbus_machine_is_refused(tmp_path: Path, url: str, fault: str) -> None:
    (found,) = faults(tmp_path, oven(url), profile=OVEN)
    assert found.startswith("kvot.yaml:24:10: machines.press-1.url: ")
    assert fault in found


def test_a_modbus_machine_has_no_certificate(tmp_path: Path) -> None:
    text = oven("modbus://127.0.0.1") + "    security: none\n"
    assert faults(tmp_path, text, profile=OVEN) == [
        (
            "kvot.yaml:27:5: machines.press-1.security: modbus knows no certificates; remove it, and keep the machine"
            " on a network of its own"
        )
    ]


def test_machines_on_one_bus_differ_by_their_unit(tmp_path: Path) -> None:
    second = "  oven-2: {profile: press, url: 'modbus://127.0.0.1:502/%s', area: a, line: l}\n"
    text = oven("modbus://127.0.0.1")
    assert len(good(tmp_path, text + second % 2, profile=OVEN).machines) == 2
    assert "the same address as machines.press-1" in faults(tmp_path, text + second % 1, profile=OVEN)[0]


def test_a_serial_line_is_no_simulation(tmp_path: Path) -> None:
    simulation = "simulation: {speed: 2, wall_epoch: 2026-01-01T00:00:00Z, business_epoch: 2026-01-01T00:00:00Z}\n"
    text = changed("https://shop.example", "http://127.0.0.1:8080", oven("modbus+serial://19200-8E1/dev/ttyS0/1"))
    (found,) = faults(tmp_path, text + simulation, profile=OVEN)
    assert "machines.press-1.url: with a simulation section every address must be this computer's own" in found
    good(tmp_path, changed("https://shop.example", "http://127.0.0.1:8080", oven("modbus://127.0.0.1")), profile=OVEN)


def test_a_station_needs_neither_address_nor_protection_nor_permits(tmp_path: Path) -> None:
    settings = good(tmp_path, FULL)
    assert settings.machines["packing"].url == ""
    assert [name for name in settings.machines if settings.is_station(name)] == ["packing"]
    assert settings.profile("packing").recipes["instructed"].faults({"instruction": "blue ribbon", "amount": 3}) == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "opc.tcp://127.0.0.1:4841"),
        ("security", "none"),
        ("control", "load"),
        ("risk_assessment", "{ref: R, by: safety, date: 2026-05-04}"),
        ("effect_accepted", "{ref: R, by: safety, date: 2026-05-04}"),
    ],
)
def test_a_station_is_no_machine_to_reach_or_to_start(tmp_path: Path, key: str, value: str) -> None:
    text = changed(
        "{profile: station,", f"{{profile: station, {key}: {value!r},".replace("'{", "{").replace("}'", "}"), FULL
    )
    (found,) = faults(tmp_path, text)
    assert f"machines.packing.{key}: a station is a person" in found


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "memory: persistent",
            "memory: volatile",
            "memory: a station keeps its tickets on our own disk; write memory: pers",
        ),
        ("effect: remembered ", "effect: blind ", "effect: a station keeps its tickets"),
        ("clears_by_itself: false", "clears_by_itself: true", "write clears_by_itself: false"),
        ("recipes:", "permits: {remote: a, ready: b}\nrecipes:", "permits: a person works at a station; remove it"),
        ("dialect: tickets", "dialect: ticket", "did you mean 'station/tickets'?"),
    ],
)
def test_a_station_type_that_says_otherwise_is_refused(tmp_path: Path, old: str, new: str, fault: str) -> None:
    text = changed("profile: station", "profile: press", FULL)
    text = changed("{profile: press, url", "{profile: isa95-press, url", text)
    found = faults(tmp_path, text, profile=changed(old, new, STATION))
    assert any(line.startswith("machines/press.yaml:") and fault in line for line in found), found


def test_a_machine_over_opcua_must_still_say_how_it_is_protected(tmp_path: Path) -> None:
    assert PRESS_LINES.strip() == "url: opc.tcp://127.0.0.1:4840"
    (found,) = faults(tmp_path, changed("    security: none\n", "", FACTORY))
    assert found.startswith("kvot.yaml:28:3: machines.press-1.security: missing; give {server_fingerprint")


def test_a_type_inside_the_configuration_is_checked_like_a_file(tmp_path: Path) -> None:
    lines = changed("poll_s: 0.5 ", "poll_s: 4 ", OVEN).splitlines()
    inline = "profiles:\n  press:\n" + "".join(f"    {line}\n" for line in lines)
    (found,) = faults(tmp_path, oven("modbus://127.0.0.1") + inline)
    assert "profiles.press.poll_s: at most 3: the PLC starts nothing" in found


def test_the_machines_of_a_family_make_the_same_version_of_a_recipe(tmp_path: Path) -> None:
    text = changed("machines: [press-1]", "machines: [press-1, press-2]", FACTORY)
    second = "  press-2: {profile: isa95-press, url: 'opc.tcp://127.0.0.1:4841', area: a, line: l, security: none}\n"
    good(tmp_path, text + second)
    (found,) = faults(tmp_path, text + second, profile=changed('version: "1"', 'version: "2"', PROFILE))
    assert "TRAY-12.recipe: recipe 'tray' has different versions: 2 on press-1, 1 on press-2" in found
