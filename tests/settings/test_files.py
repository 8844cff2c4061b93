"""Files of lines in YAML: what an article may ask, where files may come from and go, and each mistake at its place."""

from pathlib import Path

import pytest

from gateway.carriers import fetch_access
from gateway.domain.files import FileType
from tests.settings.site import FACTORY, FULL, changed, faults, good

FILES = """\
    files:
      artwork:
        url: line.options.artwork_url
        types: [pdf, png]
        max_mb: 20
        pages: 1
        width_mm: num(line.options.width_mm)
        height_mm: 60
        min_dpi: 150
"""
STEP = "      text: text(line.options.engraving, 20)\n"
PRESS = "    security: none\n"
ASKED = changed(STEP, STEP + FILES, changed(PRESS, PRESS + "    hot_folder: hot\n"))
CURRENCY = "    currency: SEK\nproducts:"


def test_an_article_says_what_it_asks_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "hot").mkdir()
    settings = good(tmp_path, ASKED)
    product = settings.range().find(("TRAY-12",), {})
    assert product is not None
    (rules,) = product.route[0].files
    line = {"line": {"options": {"artwork_url": "https://shop.example/a.png", "width_mm": "60.5"}}}
    assert (rules.name, rules.types, rules.max_bytes) == (
        "artwork",
        frozenset({FileType.PDF, FileType.PNG}),
        20_000_000,
    )
    assert (rules.pages, rules.min_dpi) == (1, 150)
    assert rules.width_mm is not None
    assert rules.height_mm is not None
    assert (rules.url(line), rules.width_mm(line), rules.height_mm(line)) == ("https://shop.example/a.png", 60.5, 60)
    assert settings.machines["press-1"].hot_folder == tmp_path / "hot"
    assert not any("hot_folder" in str(warning) for warning in settings.warnings)


def test_a_step_of_a_route_may_ask_for_files_of_its_own(tmp_path: Path) -> None:
    step = "      - {operation: pack, station: packing, files: {slip: {url: line.options.slip, types: [pdf]}}}\n"
    text = changed("      - {operation: pack, station: packing}\n", step, FULL)
    assert any("machines.packing.hot_folder: missing" in fault for fault in faults(tmp_path, text))
    station = "packing: {profile: station, area: dispatch, line: line-1"
    settings = good(tmp_path, changed(station, f"{station}, hot_folder: slips", text))
    product = settings.range().find(("SET-12",), {})
    assert product is not None
    assert [[rules.name for rules in one.files] for one in product.route] == [[], [], ["slip"]]
    assert any("no folder that can be written" in str(warning) for warning in settings.warnings)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "    hot_folder: hot\n",
            "",
            "kvot.yaml:37:3: machines.press-1.hot_folder: missing; the folder where it finds",
        ),
        (
            "types: [pdf, png]",
            "types: [pdf, gif]",
            "artwork.types[1]: 'gif' is not known; known: dxf, jpeg, pdf, png, step",
        ),
        ("types: [pdf, png]", "types: []", "artwork.types: "),
        ("types: [pdf, png]", "types: [png, png]", "artwork.types: given twice: png"),
        ("        types: [pdf, png]\n", "", "artwork.types: missing; What it may be"),
        ("        url: line.options.artwork_url\n", "", "artwork.url: missing; Where it is"),
        ("url: line.options.artwork_url", "url: line.option.artwork_url", "artwork.url: line has no 'option'"),
        ("url: line.options.artwork_url", "url: num(line.options.artwork_url)", "artwork.url: gives"),
        ("height_mm: 60", "height_mm: text(line.options.x, 5)", "artwork.height_mm: gives"),
        ("        height_mm: 60\n", "", "artwork: width_mm and height_mm belong together"),
        ("types: [pdf, png]", "types: [png]", "artwork: pages are those of a PDF, and types has no pdf"),
        ("types: [pdf, png]", "types: [pdf, svg]", "artwork: min_dpi is for png and jpeg"),
        ("max_mb: 20", "max_mb: 2000", "artwork.max_mb: be less than or equal to 500"),
        ("max_mb: 20", "max_md: 20", "artwork.max_md: unknown key; did you mean 'max_mb'?"),
        (CURRENCY, "    file_hosts: [cdn.example/x]\n" + CURRENCY, "file_hosts[0]: 'cdn.example/x' must be a host"),
        (
            CURRENCY,
            "    file_hosts: ['cdn.example:99999']\n" + CURRENCY,
            "file_hosts[0]: 'cdn.example:99999' must be a",
        ),
        (CURRENCY, "    file_hosts: ['*.example']\n" + CURRENCY, "file_hosts[0]: '*.example' must be a host"),
    ],
)
def test_each_mistake_is_named_at_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = faults(tmp_path, changed(old, new, ASKED))
    assert any(fault in line for line in found), found
    assert all(line.startswith("kvot.yaml:") for line in found)


def test_dxf_and_step_tell_no_size(tmp_path: Path) -> None:
    text = ASKED
    for old, new in (("[pdf, png]", "[dxf, step]"), ("        pages: 1\n", ""), ("        min_dpi: 150\n", "")):
        text = changed(old, new, text)
    assert any("dxf and step do not tell their size" in line for line in faults(tmp_path, text))


def test_what_is_never_made_asks_for_no_file(tmp_path: Path) -> None:
    gift = '  "GIFT-*":\n    make: false\n'
    text = changed(gift, gift + "    files: {a: {url: \"'x'\", types: [pdf]}}\n")
    assert any("make: false stands alone; remove files" in line for line in faults(tmp_path, text))


@pytest.mark.parametrize(
    ("shop", "hosts", "plain"),
    [
        ("url: https://shop.example", {"shop.example:443"}, False),
        ("url: https://shop.example:8443/se", {"shop.example:8443"}, False),
        ("url: http://127.0.0.1:8080", {"127.0.0.1:8080"}, True),
        ("url: 'http://[::1]:80'", {"[::1]:80"}, True),
        ("url: https://shop.example\n    file_hosts: [CDN.example, '10.0.0.7']", {"cdn.example", "10.0.0.7"}, False),
        ("url: https://shop.example\n    file_hosts: []", set(), False),
    ],
)
def test_files_come_from_the_shops_own_host_unless_others_are_listed(
    tmp_path: Path, shop: str, hosts: set[str], plain: bool
) -> None:
    access = fetch_access("webshop", good(tmp_path, changed("url: https://shop.example", shop)).shops["webshop"])
    assert (set(access.hosts), access.plain, access.timeout_s) == (hosts, plain, 60.0)


def test_a_simulation_fetches_from_this_computer_only(tmp_path: Path) -> None:
    epochs = "{wall_epoch: 2026-05-04T06:00:00Z, business_epoch: 2026-05-04T06:00:00Z}"
    text = changed(
        "url: https://shop.example",
        "url: http://127.0.0.1:1\n    file_hosts: ['127.0.0.1:2', cdn.example]",
        FACTORY + f"simulation: {epochs}\n",
    )
    (fault,) = faults(tmp_path, text)
    assert "shops.webshop.file_hosts[1]: with a simulation section" in fault


def test_two_machines_with_one_folder_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "hot").mkdir()
    other = "  press-2: {profile: press, url: 'opc.tcp://127.0.0.1:4841', area: a, line: b, security: none, hot_folder: hot}\n"
    settings = good(tmp_path, changed("machines: [press-1]", "machines: [press-1, press-2]", ASKED) + other)
    assert any("the same folder as machines.press-1" in str(warning) for warning in settings.warnings)
