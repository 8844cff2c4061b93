"""The fault harness: `python -m tests.faults --points N --seed S --output json` (`./run faults`)."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence

from tests.faults import harness


def main(argv: Sequence[str] | None = None) -> int:
    """Run the harness; 0: nothing lost, doubled or unexplained, and every control run was seen; 1: not so."""
    parser = argparse.ArgumentParser(prog="./run faults", description=__doc__)
    parser.add_argument("--points", type=int, default=100, help="how many points to strike")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same points")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 1) + 1, help="points side by side")
    parser.add_argument("--row", default="", help="only rows whose name contains this")
    parser.add_argument("--only", type=int, default=None, help="only the point with this number, kept on disk")
    given = parser.parse_args(argv)
    if given.points < 1 or given.workers < 1:
        parser.error("points and workers are 1 or more")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every child is ended on the way out
    began = time.monotonic()
    report = harness.run(
        points=given.points, seed=given.seed, workers=given.workers, row=given.row, only=given.only, say=_say
    )
    report["took_s"] = round(time.monotonic() - began, 1)
    if given.output == "json":
        sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join(harness.told(report)) + "\n")
    return 0 if harness.is_good(report) else 1


def _say(text: str) -> None:
    sys.stderr.write(f"faults: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
