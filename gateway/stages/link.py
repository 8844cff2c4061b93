"""The state of a connection: on the board with its present reason, in the log once per change with its duration."""

from typing import Any

from gateway.clock import Clock
from gateway.ledger.facts import milliseconds
from gateway.stages.board import Board


class LinkState:
    """Up or down, since when and why; repeated news is no news, but the reason shown is always the latest."""

    def __init__(self, name: str, *, board: Board, clock: Clock, log: Any) -> None:
        self._name, self._board, self._clock, self._log = name, board, clock, log
        self._up: bool | None = None
        self._since_s = clock.monotonic()
        self._changed_ms = 0
        self._failures = 0

    def up(self) -> None:
        """Say that the other side answers."""
        self._change(up=True, reason="")

    def down(self, reason: object) -> None:
        """Say that the other side does not answer, and why."""
        self._failures += 1
        self._change(up=False, reason=str(reason))

    def _change(self, *, up: bool, reason: str) -> None:
        if self._up is up:
            self._show(reason)
            return
        lasted_s = round(self._clock.monotonic() - self._since_s, 1)
        state = "up" if up else "down"
        self._log.log(
            20 if up else 30,
            f"link {state}",
            link=self._name,
            before_s=lasted_s,
            failures=self._failures,
            reason=reason,
        )
        self._up, self._since_s = up, self._clock.monotonic()
        if up:
            self._failures = 0
        self._changed_ms = milliseconds(self._clock.now())
        self._show(reason)

    def _show(self, reason: str) -> None:
        state = "up" if self._up else "down"
        self._board.put(("link", self._name), {"state": state, "since": self._changed_ms, "reason": reason})
