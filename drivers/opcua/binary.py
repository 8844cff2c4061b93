"""The built-in types of OPC UA's binary encoding (OPC 10000-6, 5.2), bounded and without a type registry.

The library decodes structures through classes that are global to the process, so what one server's
types are called changes how another server's bytes are read. Here a structure stays an `Opaque` body
until the caller, who knows the server's namespaces, decodes it.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")
Identifier = int | str | bytes | UUID

MAX_DEPTH = 16
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_TICKS_PER_MICROSECOND = 10


class WireError(Exception):
    """The bytes are not what the standard says, or a value does not fit its type."""


class Builtin(IntEnum):
    """The built-in types a Variant can hold."""

    NULL = 0
    BOOLEAN = 1
    SBYTE = 2
    BYTE = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    INT64 = 8
    UINT64 = 9
    FLOAT = 10
    DOUBLE = 11
    STRING = 12
    DATE_TIME = 13
    GUID = 14
    BYTE_STRING = 15
    XML_ELEMENT = 16
    NODE_ID = 17
    EXPANDED_NODE_ID = 18
    STATUS_CODE = 19
    QUALIFIED_NAME = 20
    LOCALIZED_TEXT = 21
    EXTENSION_OBJECT = 22
    DATA_VALUE = 23
    VARIANT = 24
    DIAGNOSTIC_INFO = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class WireNode:
    """A node's id as it travels: the namespace is this server's index."""

    namespace: int
    identifier: Identifier


@dataclass(frozen=True, kw_only=True, slots=True)
class Opaque:
    """A structure not yet decoded; `body` is None when it is absent or not in the binary encoding."""

    type_id: WireNode
    body: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A typed value; the value of an array is a tuple, of a null array the empty one."""

    type: Builtin
    value: object
    array: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One value read from a server, with its status code (0 is good)."""

    status: int
    variant: Variant
    source_time: datetime | None = None

    @property
    def good(self) -> bool:
        """Say whether the value can be trusted: severity good, neither uncertain nor bad."""
        return self.status >> 30 == 0


_NULL = Variant(type=Builtin.NULL, value=None)


class Reader:
    """Takes values off the front of a byte string; raises `WireError` and never reads beyond its end."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self._body = body
        self._at = at
        self._depth = 0

    @property
    def at(self) -> int:
        """Give the offset of the next byte."""
        return self._at

    @property
    def left(self) -> int:
        """Give the number of bytes not yet read."""
        return len(self._body) - self._at

    def take(self, size: int) -> bytes:
        """Take that many raw bytes."""
        if size < 0 or size > self.left:
            raise WireError(f"{size} bytes expected where {self.left} are left")
        start, self._at = self._at, self._at + size
        return self._body[start : self._at]

    def boolean(self) -> bool:
        """Take a Boolean: any byte but 0 is true."""
        return self.take(1) != b"\0"

    def byte(self) -> int:
        """Take a Byte."""
        return self.take(1)[0]

    def number(self, layout: struct.Struct) -> int | float:
        """Take one number of that layout."""
        value: int | float = layout.unpack(self.take(layout.size))[0]
        return value

    def u16(self) -> int:
        """Take a UInt16."""
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        """Take a UInt32."""
        return int.from_bytes(self.take(4), "little")

    def i32(self) -> int:
        """Take an Int32."""
        return int.from_bytes(self.take(4), "little", signed=True)

    def i64(self) -> int:
        """Take an Int64."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def byte_string(self) -> bytes | None:
        """Take a ByteString; None is its null."""
        size = self.i32()
        return None if size < 0 else self.take(size)

    def string(self) -> str | None:
        """Take a String; None is its null."""
        raw = self.byte_string()
        try:
            return None if raw is None else raw.decode()
        except UnicodeDecodeError as error:
            raise WireError(f"a text is not UTF-8: {error.reason}") from error

    def date_time(self) -> datetime | None:
        """Take a DateTime; None for the null date and for what lies outside years 1601-9999."""
        ticks = self.i64()
        if ticks <= 0:
            return None
        try:
            return _EPOCH + timedelta(microseconds=ticks // _TICKS_PER_MICROSECOND)
        except OverflowError:
            return None

    def guid(self) -> UUID:
        """Take a Guid."""
        return UUID(bytes_le=self.take(16))

    def node_id(self) -> WireNode:
        """Take a NodeId, or an ExpandedNodeId without its URI and server index."""
        kind = self.byte()
        node = self._node_body(kind & 0x3F)
        if kind & 0x80:
            self.string()
        if kind & 0x40:
            self.u32()
        return node

    def qualified_name(self) -> str | None:
        """Take a QualifiedName and give its name."""
        self.u16()
        return self.string()

    def localized_text(self) -> str | None:
        """Take a LocalizedText and give its text."""
        mask = self.byte()
        if mask & 0x01:
            self.string()
        return self.string() if mask & 0x02 else None

    def extension_object(self) -> Opaque:
        """Take a structure without decoding its body."""
        type_id = self.node_id()
        encoding = self.byte()
        body = self.byte_string() if encoding in (1, 2) else None
        return Opaque(type_id=type_id, body=body if encoding == 1 else None)

    def variant(self) -> Variant:
        """Take a Variant; a matrix comes as its flat tuple."""
        encoding = self.byte()
        try:
            builtin = Builtin(encoding & 0x3F)
        except ValueError as error:
            raise WireError(f"{encoding & 0x3F} is not a built-in type") from error
        if builtin is Builtin.NULL:
            return _NULL
        read = _READERS[builtin]
        if not encoding & 0x80:
            return Variant(type=builtin, value=self.deeper(read))
        values = self.array(lambda reader: reader.deeper(read))
        if encoding & 0x40:
            self.array(Reader.i32)
        return Variant(type=builtin, value=values, array=True)

    def data_value(self) -> Reading:
        """Take a DataValue."""
        mask = self.byte()
        variant = self.deeper(Reader.variant) if mask & 0x01 else _NULL
        status = self.u32() if mask & 0x02 else 0
        source_time = self.date_time() if mask & 0x04 else None
        if mask & 0x10:
            self.u16()
        if mask & 0x08:
            self.date_time()
        if mask & 0x20:
            self.u16()
        return Reading(status=status, variant=variant, source_time=source_time)

    def diagnostic_info(self) -> None:
        """Take a DiagnosticInfo and drop it."""
        mask = self.byte()
        for bit in (0x01, 0x02, 0x04, 0x08):
            if mask & bit:
                self.i32()
        if mask & 0x10:
            self.string()
        if mask & 0x20:
            self.u32()
        if mask & 0x40:
            self.deeper(Reader.diagnostic_info)

    def array(self, element: Callable[["Reader"], T]) -> tuple[T, ...]:
        """Take an array; its null is given as the empty one."""
        count = self.i32()
        if count > self.left:  # every element takes at least one byte
            raise WireError(f"{count} elements announced where {self.left} bytes are left")
        return tuple(element(self) for _ in range(count))

    def deeper(self, read: Callable[["Reader"], T]) -> T:
        """Take something that may hold others of its kind; refuse more than `MAX_DEPTH` levels."""
        if self._depth >= MAX_DEPTH:
            raise WireError(f"values nested deeper than {MAX_DEPTH}")
        self._depth += 1
        value = read(self)
        self._depth -= 1
        return value

    def _node_body(self, kind: int) -> WireNode:
        match kind:
            case 0:
                return WireNode(namespace=0, identifier=self.byte())
            case 1:
                return WireNode(namespace=self.byte(), identifier=self.u16())
            case 2:
                return WireNode(namespace=self.u16(), identifier=self.u32())
            case 3:
                return WireNode(namespace=self.u16(), identifier=self.string() or "")
            case 4:
                return WireNode(namespace=self.u16(), identifier=self.guid())
            case 5:
                return WireNode(namespace=self.u16(), identifier=self.byte_string() or b"")
        raise WireError(f"{kind} is not an encoding of a node id")


class Writer:
    """Collects values; raises `WireError` where one does not fit its type."""

    def __init__(self) -> None:
        self._body = bytearray()

    def finish(self) -> bytes:
        """Give all that was written."""
        return bytes(self._body)

    def byte(self, value: int) -> None:
        """Write a Byte."""
        self._integer(value, 1, signed=False)

    def u32(self, value: int) -> None:
        """Write a UInt32."""
        self._integer(value, 4, signed=False)

    def i32(self, value: int) -> None:
        """Write an Int32."""
        self._integer(value, 4, signed=True)

    def i64(self, value: int) -> None:
        """Write an Int64."""
        self._integer(value, 8, signed=True)

    def double(self, value: float) -> None:
        """Write a Double."""
        self._body += struct.pack("<d", value)

    def string(self, text: str) -> None:
        """Write a String."""
        raw = text.encode()
        self.i32(len(raw))
        self._body += raw

    def localized_text(self, text: str) -> None:
        """Write a LocalizedText without a locale."""
        self.byte(0x02)
        self.string(text)

    def scalar(self, value: bool | float | str) -> None:  # noqa: FBT001 - a value, not a switch
        """Write a Variant: Boolean, Int64, Double or String."""
        match value:
            case bool():
                self.byte(Builtin.BOOLEAN)
                self.byte(int(value))
            case int():
                self.byte(Builtin.INT64)
                self.i64(value)
            case float():
                self.byte(Builtin.DOUBLE)
                self.double(value)
            case str():
                self.byte(Builtin.STRING)
                self.string(value)

    def raw(self, body: bytes) -> None:
        """Write bytes that are encoded already."""
        self._body += body

    def _integer(self, value: int, size: int, *, signed: bool) -> None:
        try:
            self._body += value.to_bytes(size, "little", signed=signed)
        except OverflowError as error:
            raise WireError(f"{value} does not fit into {size} bytes") from error


def _number(layout: str) -> Callable[[Reader], int | float]:
    compiled = struct.Struct(layout)
    return lambda reader: reader.number(compiled)


_READERS: dict[Builtin, Callable[[Reader], object]] = {
    Builtin.BOOLEAN: Reader.boolean,
    Builtin.SBYTE: _number("<b"),
    Builtin.BYTE: Reader.byte,
    Builtin.INT16: _number("<h"),
    Builtin.UINT16: Reader.u16,
    Builtin.INT32: Reader.i32,
    Builtin.UINT32: Reader.u32,
    Builtin.INT64: Reader.i64,
    Builtin.UINT64: _number("<Q"),
    Builtin.FLOAT: _number("<f"),
    Builtin.DOUBLE: _number("<d"),
    Builtin.STRING: Reader.string,
    Builtin.DATE_TIME: Reader.date_time,
    Builtin.GUID: Reader.guid,
    Builtin.BYTE_STRING: Reader.byte_string,
    Builtin.XML_ELEMENT: Reader.string,
    Builtin.NODE_ID: Reader.node_id,
    Builtin.EXPANDED_NODE_ID: Reader.node_id,
    Builtin.STATUS_CODE: Reader.u32,
    Builtin.QUALIFIED_NAME: Reader.qualified_name,
    Builtin.LOCALIZED_TEXT: Reader.localized_text,
    Builtin.EXTENSION_OBJECT: Reader.extension_object,
    Builtin.DATA_VALUE: Reader.data_value,
    Builtin.VARIANT: Reader.variant,
    Builtin.DIAGNOSTIC_INFO: Reader.diagnostic_info,
}
