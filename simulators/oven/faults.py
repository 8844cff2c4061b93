"""The ways in which the oven can misbehave, on the wire and behind it."""

from dataclasses import dataclass

from simulators.modbus_faults import WireFaults


@dataclass(frozen=True, kw_only=True, slots=True)
class OvenFaults(WireFaults):
    """What is wrong at present; the default is nothing."""

    torn: bool = False  # every other scan leaves the status block half updated, as SNAP_A and SNAP_B show
    torn_write: bool = False  # the second half of a long write arrives one scan later
    stopped: bool = False  # the controller is stopped, its wire answers; it boots when this is over
