"""Which tags of a Modbus machine type can be written by hand: none that a job is given by (pure)."""

from collections.abc import Iterator, Sequence

from drivers import mailbox, plain
from drivers.base import Scalar
from drivers.modbus.places import Area, Spot
from drivers.modbus.tags import Placed, placed
from drivers.profile import Profile


def write_faults(profile: Profile) -> Iterator[str]:
    """List why tags of a profile that is sound otherwise cannot be written, as `writable.NAME: what is wrong`."""
    used = dict(_used(profile))
    for name, limit in profile.writable.items():
        tag = placed(name, profile.tags[name])
        cells = [(tag.spot.area, tag.spot.number + at) for at in range(tag.count)]
        if not tag.spot.area.writable:
            yield f"writable.{name}: {profile.tags[name].address!r} can only be read"
        elif tag.layout.bit is not None:
            yield f"writable.{name}: a bit of a register cannot be written alone; give it a register or a coil"
        elif other := next((used[cell] for cell in cells if cell in used), None):
            yield f"writable.{name}: lies where {other} is, which jobs are given by"
        else:
            ends = (limit.min, limit.max, *limit.one_of)
            yield from _carried(name, tag, [end for end in ends if end is not None])


def _carried(name: str, tag: Placed, values: Sequence[Scalar]) -> Iterator[str]:
    for value in values:
        try:
            tag.layout.encode(value)
        except ValueError as error:
            yield f"writable.{name}: a {tag.layout.kind} cannot carry what the limits allow: {error}"
            return


def _used(profile: Profile) -> Iterator[tuple[tuple[Area, int], str]]:
    """Give each address by which jobs are given, and the key that says so."""
    if profile.mailbox is not None:
        status = (profile.mailbox.status_base, mailbox.STATUS_WORDS, "the status block")
        command = (profile.mailbox.command_base, mailbox.COMMAND_WORDS, "the command block")
        for base, words, name in (status, command):
            yield from (((Area.HOLDING, base + at), name) for at in range(words))
    if profile.plain is not None:
        spec = profile.plain
        bits = plain.bits_of(profile, spec) | ({} if spec.reset_done is None else {"reset_done": spec.reset_done})
        for name, address in bits.items():
            spot = Spot.parse(address)
            yield (spot.area, spot.number), name
        for key, place in (plain.places_of(spec) | plain.numbers_of(profile, spec)).items():
            spot = Spot.parse(place.address)
            yield from (((spot.area, spot.number + at), key) for at in range(plain.layout_of(place).words))
