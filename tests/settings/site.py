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
