"""One tag of a Modbus unit written by hand, one write at a time."""

from drivers.base import Answer, Receipt, Scalar
from drivers.link import Line
from drivers.modbus.places import Area, Span, Spot
from drivers.modbus.tags import placed
from drivers.modbus.wire import NOT_TAKEN, ExceptionReplyError, ModbusWire
from drivers.profile import Profile


class TagWriter:
    """The port's `Writable` over one line. All that it writes is in the profile's write list (R8)."""

    def __init__(self, line: Line[ModbusWire], *, unit: int, profile: Profile, timeout_s: float) -> None:
        self._line, self._unit, self._timeout_s = line, unit, timeout_s
        self._tags = {name: placed(name, profile.tags[name]) for name in profile.writable}

    async def read_tag(self, name: str) -> Scalar | None:
        """Read it from the machine now."""
        tag = self._tags[name]
        span = Span(area=tag.spot.area, first=tag.spot.number, count=tag.count)
        words = await self._line.exchange(lambda wire: wire.read_span(self._unit, span), timeout_s=self._timeout_s)
        return bool(words[0]) if tag.spot.area.of_bits else tag.layout.decode([int(word) for word in words])

    async def write_tag(self, name: str, value: Scalar, *, deadline_s: float) -> Receipt:
        """Send it once."""
        tag = self._tags.get(name)
        if tag is None:
            return Receipt(answer=Answer.REFUSED, evidence=f"not sent: {name} is not in the profile's write list")
        try:
            words = tag.layout.encode(value)
        except ValueError as error:
            return Receipt(answer=Answer.REFUSED, evidence=f"not sent: {error}")
        try:
            await self._line.exchange(
                lambda wire: self._put(wire, tag.spot, words), timeout_s=self._timeout_s, deadline_s=deadline_s
            )
        except ExceptionReplyError as error:
            if error.code not in NOT_TAKEN:
                raise
            return Receipt(answer=Answer.REFUSED, evidence=f"the machine did not take it ({error})")
        return Receipt(answer=Answer.ACCEPTED, evidence="the machine confirmed the write")

    async def _put(self, wire: ModbusWire, spot: Spot, words: tuple[int, ...]) -> None:
        if spot.area is Area.COIL:
            await wire.write_coil(self._unit, spot.number, on=bool(words[0]))
        elif len(words) == 1:
            await wire.write(self._unit, spot.number, words[0])
        else:
            await wire.write_many(self._unit, spot.number, words)
