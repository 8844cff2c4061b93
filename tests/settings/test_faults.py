"""Every mistake is named with its place and a cure, all at once, before anything is opened."""

from pathlib import Path

import pytest

from gateway.settings.faults import path_text, shown
from tests.settings.site import FACTORY, PROFILE, changed, faults, good


def test_a_right_configuration_has_no_fault(tmp_path: Path) -> None:
    settings = good(tmp_path)
    assert settings.shops["webshop"].poll_s == 10
    assert settings.profile("press-1").recipes["tray"].parameters["width_mm"].max == 400


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = changed("currency: SEK", "curency: SEK")
    text = changed("static_days: 5", "static_days: five", text)
    text = changed("machines: [press-1]", "machines: [pres-1]", text)
    text = changed("make: false", "make: no", text)
    assert faults(tmp_path, text) == [
        "kvot.yaml:8:3: shops.webshop.currency: missing; The one currency this shop sells in (ISO 4217)",
        "kvot.yaml:13:5: shops.webshop.curency: unknown key; did you mean 'currency'?",
        (
            "kvot.yaml:22:11: products.\"GIFT-*\".make: must be true or false, not the text 'no'"
            " (YAML 1.2 knows no yes, no, on, off)"
        ),
        "kvot.yaml:25:16: families.pla-white.machines[0]: no 'pres-1' under machines; did you mean 'press-1'?",
        "kvot.yaml:26:28: families.pla-white.promise.static_days: must be a whole number, not the text 'five'",
    ]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("id: LUND", "id: lund", "kvot.yaml:2:7: site.id: 'lund' must be 1 to 8 characters A-Z and 0-9"),
        ("id: LUND", "id: 12", "site.id: must be a text in quotes, not the number 12"),
        ("Europe/Stockholm", "Europe/Stokholm", "did you mean 'Europe/Stockholm'?"),
        ("Europe/Stockholm", "../../etc/passwd", "is not a time zone"),
        ("enterprise: nordform", "enterprise: a/b", "site.enterprise: 'a/b' must be one MQTT topic level"),
        ("mqtt://127.0.0.1:1883", "http://127.0.0.1", "mqtt.url: must begin with mqtts:// or mqtt://"),
        ("mqtt://127.0.0.1:1883", "mqtt://u:p@host", "user and password do not belong in an address"),
        ("mqtt://127.0.0.1:1883", "mqtt://host:99999", "mqtt.url: not an address"),
        ("mqtt://127.0.0.1:1883", "mqtt://", "is not a host name or address"),
        ("https://shop.example", "http://shop.example", "use https:// or set plain_http: true"),
        ("https://shop.example", "https://shop.example/?a=1", "must end before '?' and '#'"),
        ("https://shop.example", '"https://shop.example/\\n"', "no blanks or control characters"),
        ("type: woocommerce", "type: woocomerce", "did you mean 'woocommerce'?"),
        ("currency: SEK", "currency: kr", "three capital letters of ISO 4217"),
        ("key: !secret shop-key", "key: ck_123", "shops.webshop.key: must not stand here in clear text; write `key: !"),
        ("currency: SEK", "currency: !secret x", "a secret is not possible here; write the value itself"),
        ("currency: SEK", "currency: SEK\n    poll_s: 0", "shops.webshop.poll_s: be greater than 0"),
        ("currency: SEK", "currency: SEK\n    poll_s: [1]", "must be a number, not a list"),
        ("currency: SEK", "currency: SEK\n    overlap_s: 0\n    lag_s: 0", "must together be at least 2"),
        ("currency: SEK", "currency: SEK\n    personal: billing.email", "must be a list such as [a, b]"),
        ("currency: SEK", "currency: SEK\n    personal: [E-Mail]", "a field's dotted name, such as billing.email"),
        ("machines: [press-1]", "machines: [press-1, press-1]", "given twice: press-1"),
        ("machines: [press-1]", "machines: []", "families.pla-white.machines: "),
        ("family: pla-white", "family: pla-whit", "no 'pla-whit' under families; did you mean 'pla-white'?"),
        ("recipe: tray", "recipe: try", "(profile press) has no recipe 'try'; did you mean 'tray'?"),
        (
            "text: text(",
            "txt: text(",
            "products.TRAY-12.parameters.txt: not a parameter of recipe 'tray'; did you mean",
        ),
        ("text: text(", "txt: text(", "products.TRAY-12.parameters: recipe 'tray' also needs text"),
        ("num(line.options.width_mm)", "num(lin.options.width_mm)", "unknown name 'lin'; did you mean 'line'?"),
        ("num(line.options.width_mm)", "text(line.name)", "gives the text 'A' where a number is needed"),
        ("make: false", "make: false\n    family: pla-white", "make: false stands alone; remove family"),
        ("    recipe: tray\n", "", "products.TRAY-12: recipe missing; give family and recipe, or a route"),
        ("    security: none\n", "", "machines.press-1.security: missing; give {server_fingerprint: sha256:...}"),
        ("security: none", "security:", "write {server_fingerprint: sha256:...}, or none"),
        ("security: none", "security: off", "write {server_fingerprint: sha256:...}, or none"),
        ("security: none", "security: {server_fingerprint: abc}", "the 64 hexadecimal digits"),
        ("security: none", "security: none\n    control: start", "control: start needs risk_assessment"),
        (
            "security: none",
            "security: none\n    effect_accepted: {by: plant safety, date: 2026-05-04}",
            "machines.press-1.effect_accepted.ref: missing",
        ),
        (
            "security: none",
            "security: none\n    effect_accepted: {by: '', date: soon, ref: FAT-7}",
            "machines.press-1.effect_accepted.date: ",
        ),
        ("security: none", "security: none\n    effect_accepted: true", "machines.press-1.effect_accepted: must be"),
        ("security: none", "security: none\n    control: strt", "'strt' is not known; did you mean 'start'?"),
        (
            "opc.tcp://127.0.0.1:4840",
            "http://127.0.0.1",
            "must begin with opc.tcp:// or modbus:// or modbus+rtu:// or ",
        ),
        ("    url: opc.tcp://127.0.0.1:4840\n", "", "machines.press-1.url: missing; opc.tcp://host:4840 for OPC UA"),
        ("profile: press", "profile: pres", "no such machine type; looked in profiles.pres, "),
        ("profile: press", "profile: pres", "did you mean 'press'?"),
        ("profile: press", "profile: ../press", "machines.press-1.profile: "),
        ("opc.tcp://127.0.0.1:4840", "modbus://127.0.0.1", "write opc.tcp://host:port (profile 'press' speaks opcua)"),
        ("mqtt:\n", "mqtt: 5\nmqt:\n", "mqtt: must be a mapping (key: value), not the number 5"),
        ("mqtt:\n", "mqt:\n", "kvot.yaml:5:1: mqt: unknown key; did you mean 'mqtt'?"),
    ],
)
def test_a_mistake_is_named_with_its_cure(tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = faults(tmp_path, changed(old, new))
    assert any(fault in line for line in found), found


def test_a_mistake_in_a_machine_type_is_named_in_its_own_file(tmp_path: Path) -> None:
    profile = changed("max: 400", "max: 4", changed("clears_by_itself: false\n", "", PROFILE))
    assert faults(tmp_path, profile=profile) == [
        (
            "machines/press.yaml:1:1: clears_by_itself: missing; Whether the machine forgets finished jobs without being"
            " told to"
        ),
        "machines/press.yaml:10:7: recipes.tray.parameters.width_mm: min 20 is above max 4",
    ]


def test_a_machine_type_that_no_driver_speaks_to_is_refused(tmp_path: Path) -> None:
    found = faults(tmp_path, profile=changed("isa95-jobs", "isa95-job", PROFILE))
    assert found == [
        "machines/press.yaml:2:10: dialect: no driver for opcua/isa95-job; did you mean 'opcua/isa95-jobs'?"
    ]


def test_a_limit_is_of_one_kind_and_complete(tmp_path: Path) -> None:
    for limit in ("{min: 1}", "{}", "{min: 1, max: 2, max_length: 3}", "{one_of: [a, a]}", "{one_of: [[a]]}"):
        found = faults(tmp_path, profile=changed("{max_length: 20}", limit, PROFILE))
        assert found[0].startswith("machines/press.yaml:12:"), found


def test_one_and_true_are_different_allowed_values(tmp_path: Path) -> None:
    settings = good(
        tmp_path,
        changed("text(line.options.engraving, 20)", "true"),
        profile=changed("{max_length: 20}", "{one_of: [1, true]}", PROFILE),
    )
    assert settings.profile("press-1").recipes["tray"].parameters["text"].one_of == (1, True)


def test_a_blind_machine_is_never_started(tmp_path: Path) -> None:
    text = changed(
        "security: none",
        "security: none\n    control: start\n    risk_assessment: {ref: R, by: safety, date: 2026-05-04}",
    )
    assert good(tmp_path, text).machines["press-1"].control == "start"
    found = faults(tmp_path, text, profile=changed("effect: remembered", "effect: blind", PROFILE))
    assert "machines.press-1.control: a machine of profile 'press' (effect: blind) cannot be asked" in found[0]


def test_two_machines_at_one_address_are_refused(tmp_path: Path) -> None:
    second = (
        "  press-2:\n    profile: press\n    url: opc.tcp://127.0.0.1\n    area: a\n    line: l\n    security: none\n"
    )
    assert "machines.press-2.url: the same address as machines.press-1" in faults(tmp_path, FACTORY + second)[0]


def test_one_shop_under_two_names_is_refused(tmp_path: Path) -> None:
    second = (
        "  other: {type: woocommerce, url: https://SHOP.example/, key: !secret a, secret: !secret b, currency: SEK}\n"
    )
    found = faults(tmp_path, changed("products:\n", f"{second}products:\n"))
    assert "shops.other.url: the same shop as shops.webshop" in found[0]


def test_a_simulation_is_refused_unless_every_address_is_our_own(tmp_path: Path) -> None:
    simulation = (
        "simulation: {speed: 60, wall_epoch: 2026-01-01T00:00:00Z, business_epoch: 2026-05-04T06:00:00+02:00}\n"
    )
    found = faults(tmp_path, FACTORY + simulation)
    assert [line.split(":")[0:4][3].strip() for line in found] == ["shops.webshop.url"]
    settings = good(tmp_path, changed("https://shop.example", "http://[::1]:8080", FACTORY) + simulation)
    clock = settings.clock()
    assert (clock.speed, clock.business_epoch.isoformat()) == (60, "2026-05-04T04:00:00+00:00")


def test_a_simulation_needs_times_with_a_zone(tmp_path: Path) -> None:
    found = faults(tmp_path, FACTORY + "simulation: {speed: 2, wall_epoch: 2026-01-01T00:00:00, business_epoch: 5}\n")
    assert sum("must be a time with its zone" in line for line in found) == 2


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    text = changed("url: mqtt://127.0.0.1:1883", "url: mqtts://127.0.0.1\n  ca: ca.pem")
    assert faults(tmp_path, text) == ["kvot.yaml:7:7: mqtt.ca: no file that can be read: ca.pem"]
    (tmp_path / "ca.pem").write_text("x", encoding="ascii")
    assert good(tmp_path, text).mqtt.ca == tmp_path / "ca.pem"  # type: ignore[union-attr]


def test_what_works_but_should_be_known_is_a_warning(tmp_path: Path) -> None:
    text = changed("opc.tcp://127.0.0.1:4840", "opc.tcp://192.0.2.10")
    text = changed("mqtt://127.0.0.1:1883", "mqtt://broker.example", text)
    warnings = "\n".join(str(warning) for warning in good(tmp_path, text).warnings)
    assert "machines.press-1.security: without protection anybody" in warnings
    assert "mqtt.url: mqtt:// is not encrypted" in warnings
    assert "shops.webshop.key: secret 'shop-key' not found" in warnings


def test_a_foreign_text_cannot_forge_a_line_of_the_report(tmp_path: Path) -> None:
    found = faults(tmp_path, 'site: {"x\\n/etc/kvot.yaml:1:1: forged": 1, id: "A\\nB"}')
    assert not any("\n" in line for line in found)
    assert shown("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"
    assert path_text(("products", "GIFT-*", "a b", 2)) == 'products."GIFT-*"."a b"[2]'
