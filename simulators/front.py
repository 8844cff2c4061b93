"""What can be seen standing in front of a machine, whatever its controller does."""

from typing import Any

from simulators.controls import InputBoard


def seen_at(board: InputBoard, *, on: bool) -> dict[str, Any]:
    """Give what panel, guard and lamp show as plain JSON values; `on`: the controller has power."""
    return {
        "on": on,
        "mode": board.mode,
        "fault": board.fault,
        "tool": board.tool,
        "guard": "shut" if board.guard_shut else "open",
        "remote": board.remote,
    }
