"""A machine as the board shows it."""

from drivers.base import Look, Permits

NOT_AVAILABLE = "not_available"


def permits_shown(permits: Permits) -> dict[str, bool | None]:
    """Give the permits by name."""
    return {"remote": permits.remote, "ready": permits.ready, "handed_over": permits.handed_over}


def machine_state(look: Look) -> str:
    """Give the machine's state in the words of OPC 40001-1 from the phases of its jobs."""
    phases = {job.phase.name for job in look.jobs if job.phase is not None}
    return "executing" if "RUNNING" in phases else "not_executing"


def away(reason: str, *, since_ms: int) -> dict[str, object]:
    """Give the state of a machine that does not answer."""
    return {"state": NOT_AVAILABLE, "since": since_ms, "why": reason}
