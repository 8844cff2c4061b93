"""Reading a stranger's row field by field: each trouble is noted in plain words, none is raised."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

TEXT_LENGTH_MAX = 500
FAULT_LENGTH_MAX = 400
AMOUNT_MAX = Decimal(10) ** 12

# ISO 4217: currencies whose minor unit is not a hundredth.
_EXPONENTS = {
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def minor_exponent(currency: str) -> int:
    """Give the number of decimals of a currency's minor unit (ISO 4217)."""
    return _EXPONENTS.get(currency, 2)


def to_minor(amount: Decimal, *, currency: str) -> int:
    """Give an amount in minor units, rounded once, half away from zero."""
    return int(amount.scaleb(minor_exponent(currency)).to_integral_value(ROUND_HALF_UP))


def is_readable(text: str) -> bool:
    """Tell whether a text can be stored and shown: no NUL and no half of a surrogate pair."""
    return not re.search(r"[\x00\ud800-\udfff]", text)


class Fields:
    """One row being read. Each method gives the value, or a neutral one and a note in `faults`."""

    def __init__(self, row: object, *, prefix: str = "") -> None:
        self.faults: list[str] = []
        self._prefix = prefix
        self._row: Mapping[str, object] = row if isinstance(row, dict) else {}
        if not isinstance(row, dict):
            self.faults.append(f"{prefix or 'the row'}: is {kind_of(row)}, not an object")

    @property
    def fault(self) -> str | None:
        """Give all notes as one text, None when there are none."""
        return "; ".join(dict.fromkeys(self.faults))[:FAULT_LENGTH_MAX] or None

    def note(self, name: str, text: str) -> None:
        """Note a trouble with a field."""
        self.faults.append(f"{self._prefix}{name}: {text}")

    def raw(self, name: str) -> object:
        """Give the field as it is, None when it is missing."""
        return self._row.get(name)

    def text(self, name: str, *, needed: bool = True) -> str:
        """Give a text without blanks around it; a needed one must be there, though it may be empty."""
        value = self.raw(name)
        if value is None and not needed:
            return ""
        if not isinstance(value, str):
            self.note(name, f"is {self._kind(name)}, not a text")
        elif not is_readable(value):
            self.note(name, "holds characters that are no text")
        elif len(value) > TEXT_LENGTH_MAX:
            self.note(name, f"is longer than {TEXT_LENGTH_MAX} characters")
        else:
            return value.strip()
        return ""

    def identity(self, name: str) -> str | None:
        """Give an id, which is a whole number above zero; one that came as text is used and noted."""
        value = self.raw(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
            return str(value)
        if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,17}", value):
            self.note(name, "is a text, not a number")
            return value
        self.note(name, f"is {self._kind(name)}, not a number above zero")
        return None

    def whole(self, name: str, *, least: int, most: int) -> int:
        """Give a whole number within limits, else `least` and a note."""
        value = self.raw(name)
        if not isinstance(value, int) or isinstance(value, bool):
            self.note(name, f"is {self._kind(name)}, not a whole number")
        elif not least <= value <= most:
            self.note(name, f"is not between {least} and {most}")
        else:
            return value
        return least

    def amount(self, name: str) -> Decimal:
        """Give an amount of money in major units, exact; WooCommerce writes them as `"149.00"`."""
        value = self.raw(name)
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,12})?", value):
            return Decimal(value)
        if isinstance(value, int | Decimal) and not isinstance(value, bool) and abs(Decimal(value)) < AMOUNT_MAX:
            return Decimal(value)
        self.note(name, f"is {self._kind(name)}, not an amount of money")
        return Decimal(0)

    def utc(self, name: str) -> datetime | None:
        """Give a time; one without a zone is UTC, because only `*_gmt` fields are read by this."""
        when = parse_utc(self.raw(name))
        if when is None:
            self.note(name, f"is {self._kind(name)}, not a time")
        return when

    def rows(self, name: str, *, needed: bool = True, most: int = 1000) -> list[object]:
        """Give a list, bounded."""
        value = self.raw(name)
        if value is None and not needed:
            return []
        if not isinstance(value, list):
            self.note(name, f"is {self._kind(name)}, not a list")
            return []
        if len(value) > most:
            self.note(name, f"has more than {most} entries")
        return value[:most]

    def _kind(self, name: str) -> str:
        return kind_of(self._row[name]) if name in self._row else "missing"


def parse_utc(value: object) -> datetime | None:
    """Read `2026-05-04T10:00:00` as aware UTC, None when it is anything else."""
    if not isinstance(value, str) or not re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", value, re.ASCII
    ):
        return None
    try:
        when = datetime.fromisoformat(value)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def kind_of(value: object) -> str:
    """Name the kind of a JSON value for a person; the value itself may be private."""
    match value:
        case None:
            return "empty"
        case bool():
            return "a yes/no"
        case int():
            return f"{value}" if abs(value) < AMOUNT_MAX else "a huge number"
        case Decimal():
            return f"{value}"
        case str():
            return "an unreadable text" if value else "an empty text"
        case list():
            return "a list"
        case _:
            return "an object"
