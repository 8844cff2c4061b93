"""A profile, commands and drivers as the tests of drivers use them."""

import time
from pathlib import Path
from typing import Any

from drivers.base import Command, CommandKind, Driver, MonotonicClock, Security
from drivers.catalog import open_driver
from drivers.opcua.security import ensure_certificate
from drivers.profile import Effect, Memory, PermitTags, Profile
from simulators.press.simulation import RunningPress

_PRESS = "nsu=urn:kvot:simulator:press;s=Press"


def press_profile(**changes: Any) -> Profile:
    """The shipped press profile, as far as a driver reads it."""
    fields: dict[str, Any] = {
        "name": "isa95-press",
        "protocol": "opcua",
        "dialect": "isa95-jobs",
        "effect": Effect.REMEMBERED,
        "memory": Memory.VOLATILE,
        "clears_by_itself": False,
        "permits": PermitTags(
            remote=f"{_PRESS}.Permits.Remote",
            ready=f"{_PRESS}.Permits.Ready",
            handed_over=f"{_PRESS}.Permits.HandedOver",
        ),
        "recipes": {},
        "setup_code": f"{_PRESS}.ToolCode",
        "timeout_s": 3.0,
    }
    return Profile(**fields | changes)


def command(kind: CommandKind, job_id: str = "LUND-1-1", **changes: Any) -> Command:
    """A command with everything a machine may want to show."""
    fields: dict[str, Any] = {
        "kind": kind,
        "job_id": job_id,
        "job_no": 1,
        "recipe": "tray",
        "recipe_version": "1",
        "parameters": {"width_mm": 120.5, "text": 'Åsa "& Co"', "layers": 3, "lacquer": True},
        "quantity": 2,
        "cycles": 2,
        "deadline_s": time.monotonic() + 10,
        "labels": {"sku": "TRAY-12", "order_numbers": ("1001", "1002"), "job_name": "Tray 12"},
    }
    return Command(**fields | changes)


def driver_for(
    press: RunningPress,
    *,
    own: Path | None = None,
    pinned: str | None = None,
    monotonic: MonotonicClock = time.monotonic,
    **profile: Any,
) -> Driver:
    """The driver for a simulated press, protected when `own` says where our certificate lies."""
    security = Security()
    if own is not None:
        certificate, key = ensure_certificate(own, "urn:kvot:gateway:LUND")
        security = Security(server_fingerprint=pinned or press.fingerprint, own_certificate=certificate, own_key=key)
    return open_driver(
        name="press-1", url=press.endpoint, profile=press_profile(**profile), security=security, monotonic=monotonic
    )


def ignore() -> None:
    """Take a hint of a change and do nothing."""
