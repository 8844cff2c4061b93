"""Small configurations to write into a folder, and what is wrong with them."""

from collections.abc import Sequence
from pathlib import Path

from gateway.settings import Settings, load
from gateway.settings.faults import LocatedSettingsError

PROFILE = """\
protocol: opcua
dialect: isa95-jobs
effect: remembered
memory: volatile
clears_by_itself: false
permits: {remote: s=Remote, ready: s=Ready}
recipes:
  tray:
    version: "1"
    parameters:
      width_mm: {min: 20, max: 400, unit: mm}
      text: {max_length: 20}
"""
SITE = """\
site: {id: LUND, enterprise: nordform, timezone: Europe/Stockholm}
"""
FACTORY = """\
site:
  id: LUND
  enterprise: nordform
  timezone: Europe/Stockholm
mqtt:
  url: mqtt://127.0.0.1:1883
shops:
  webshop:
    type: woocommerce
    url: https://shop.example
    key: !secret shop-key
    secret: !secret shop-secret
    currency: SEK
products:
  TRAY-12:
    family: pla-white
    recipe: tray
    parameters:
      width_mm: num(line.options.width_mm)
      text: text(line.options.engraving, 20)
  "GIFT-*":
    make: false
families:
  pla-white:
    machines: [press-1]
    promise: {static_days: 5}
machines:
  press-1:
    profile: press
    url: opc.tcp://127.0.0.1:4840
    area: moulding
    line: line-1
    security: none
"""


FULL = """\
site: {id: LUND, enterprise: nordform, timezone: Europe/Stockholm, calendar: mon-fri 06-22, holidays: [2026-12-24]}
pricing: {mode: advise, currency: SEK}
shops:
  webshop:
    type: woocommerce
    url: https://shop.example
    key: !secret shop-key
    secret: !secret shop-secret
    currency: SEK
    tax_rate: 0.25
    prices: true
products:
  SET-12:
    route:
      - {operation: press, family: pla-white, recipe: tray, parameters: {width_mm: 60, text: "'a'"}}
      - operation: cure
        family: cure-white
        parameters: {temperature_c: 180, minutes: 20}
        places: 1.5
        transfer: {batches: 10}
        expected_yield: 0.95
      - {operation: pack, station: packing}
  PLATE-B:
    family: cure-black
    recipe: cure
    places: 2
    parameters: {temperature_c: 200, minutes: 20}
families:
  pla-white:
    machines: [press-1]
    promise: {static_days: 5}
  cure-white:
    machines: [oven-1]
    policy: {distance: {far: 1.15, near: 0.95, campaign_below_h: 24}}
    run: {places: 120, threshold: 44, release: threshold, window_h: 96}
    setup: {cost: 1200, hours: 3, tool_code: "7"}
    changeover: {default: 30m, "cure-black->cure-white": 1h30m}
    cycle_s: 480
    pieces_per_cycle: 4
    unit: {material: 31}
    promise: {static_days: 8}
  cure-black:
    machines: [oven-1]
    policy: countdown
    list_price: 149
    run: {places: 120, threshold: 44, release: latest_start, calendar: mon-sat 06-14}
    setup: {fallback: {cost: 1200, hours: 3}, first_piece: true}
    needs: {material: {BLANK-12: 1}, tools: [RACK-1]}
    cycle_s: 480
    pieces_per_cycle: 4
    unit: {material: 31, packing: 2, machine_rate_h: 45, operator_rate_h: 15, kwh: 0.5, kwh_price: 1.2, scrap: 0.2, fees: 3}
    ship: {hours: 24, cutoff: "14:00"}
    demand: {visitors: 270, conversion: 0.10, price_slope: 0.025, lead_slope_day: 0.12}
    price: {auto: [0.95, 1.10], hard: [0.85, 1.20], max_per_day: 0.08, moves_per_day: 2, deadband: 0.04}
    promise: {quantile: 0.9, min_days: 2, static_days: 8}
    campaign: {kind: visibility, cost_per_click: 7, reserve: 1.5, max_hours_week: 24, channels: [newsletter]}
    express: {enabled: true, approval: true}
machines:
  press-1: {profile: press, url: "opc.tcp://127.0.0.1:4840", area: moulding, line: line-1, security: none}
  oven-1: {profile: modbus-mailbox, url: "modbus://127.0.0.1", area: curing, line: line-1, calendar: mon-fri 08-16}
  packing: {profile: station, area: dispatch, line: line-1}
"""


def write(folder: Path, text: str = FACTORY, *, profile: str = PROFILE, name: str = "kvot.yaml") -> Path:
    """Write a configuration with its machine type."""
    (folder / "machines").mkdir(exist_ok=True)
    (folder / "machines" / "press.yaml").write_text(profile, encoding="utf-8")
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def changed(old: str, new: str, text: str = FACTORY) -> str:
    """Change one place of a configuration; the place must exist exactly once."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return text.replace(old, new)


def good(folder: Path, text: str = FACTORY, *, overrides: Sequence[str] = (), profile: str = PROFILE) -> Settings:
    """Load a configuration that must be right."""
    return load(write(folder, text, profile=profile), overrides=overrides, secrets=False)


def faults(
    folder: Path, text: str = FACTORY, *, overrides: Sequence[str] = (), profile: str = PROFILE, secrets: bool = False
) -> list[str]:
    """Load a configuration that must be wrong; give its faults without the folder's name."""
    file = write(folder, text, profile=profile)
    try:
        load(file, overrides=overrides, secrets=secrets)
    except LocatedSettingsError as error:
        return [fault.replace(f"{folder}/", "") for fault in error.faults]
    raise AssertionError("nothing was found wrong")
