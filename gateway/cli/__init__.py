"""The `kvot` command: one file per verb group; a verb parses, asks the gateway once, and prints."""

import sys
from collections.abc import Sequence

from gateway.cli import exits


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; give its exit code."""
    from gateway.cli.verbs import app  # noqa: PLC0415 - so that importing this package costs nothing

    try:
        app(args=list(sys.argv[1:] if argv is None else argv), prog_name="kvot", standalone_mode=True)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else exits.FAILURE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return exits.OK
