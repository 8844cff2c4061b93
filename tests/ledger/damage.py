"""What a bad disk does to a ledger's file."""

from pathlib import Path


def damage(path: Path, *, page: int = 2) -> None:
    """Put zeros where a page of the file begins."""
    raw = bytearray(path.read_bytes())
    raw[(page - 1) * 4096 : (page - 1) * 4096 + 100] = bytes(100)
    path.write_bytes(raw)
