"""Look into one file in a process of its own, within limits, and say in one JSON line what is in it."""

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from gateway.domain.files import FileType, UnfitError
from gateway.files.content import read_content

MEMORY_BYTES_MAX: Final = 384 * 2**20
ADDRESSES_BYTES_MAX: Final = 1280 * 2**20  # the file itself is mapped, not read
CPU_S_MAX: Final = 20


def main(path: str, wanted: str) -> None:
    """Read the file; whatever goes wrong in an unforeseen way ends this process alone."""
    for limit, most in (
        (resource.RLIMIT_CPU, CPU_S_MAX),
        (resource.RLIMIT_DATA, MEMORY_BYTES_MAX),
        (resource.RLIMIT_AS, ADDRESSES_BYTES_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    try:
        content = read_content(Path(path), frozenset(FileType(name) for name in wanted.split(",")))
    except UnfitError as fault:
        found: dict[str, object] = {"unfit": str(fault)}
    else:
        found = asdict(content)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
