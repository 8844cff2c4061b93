"""A machine that had no room is asked again when it looks different, or after a while that grows."""

from dataclasses import dataclass

from drivers.base import Look

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 60.0  # a machine may be busy without showing it


@dataclass(kw_only=True, slots=True)
class Pace:
    """How long one machine, which said that it had no room, is left in peace."""

    _wait_s: float = 0.0
    _look: tuple[object, ...] | None = None
    _until_s: float = 0.0
    _said: str = ""

    def refused(self, look: Look, evidence: str, *, now_s: float) -> None:
        """Take the machine's word that it had no room, right after this look."""
        self._look, self._said = _shown(look), evidence
        self._wait_s = min(LONGEST_WAIT_S, max(FIRST_WAIT_S, 2 * self._wait_s))
        self._until_s = now_s + self._wait_s

    def taken(self) -> None:
        """Forget it: the machine has taken something."""
        self._look, self._wait_s = None, 0.0

    def rests(self, look: Look, *, now_s: float) -> str | None:
        """Say why nothing is loaded now, or None where it may be tried."""
        if self._look != _shown(look) or now_s >= self._until_s:
            return None
        return f"busy with its own work: {self._said}"


def _shown(look: Look) -> tuple[object, ...]:
    return (look.boot, look.permits, look.baseline, tuple((job.job_id, job.phase) for job in look.jobs))
