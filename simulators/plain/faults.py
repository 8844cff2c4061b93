"""The ways in which the plain machine can misbehave, on the wire and behind it."""

from dataclasses import dataclass

from simulators.modbus_faults import WireFaults


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainFaults(WireFaults):
    """What is wrong at present; the default is nothing."""

    torn: bool = False  # every other scan leaves a 32-bit counter half updated
    deaf: bool = False  # the start bit is taken back and nothing starts
    stopped: bool = False  # the controller is stopped, its wire answers; it boots when this is over
