"""The press's panel: all that can be seen of it."""

from typing import Any

from simulators.press.jobs import STATE_TEXTS, Job
from simulators.press.live import LivePress


def state_of(press: LivePress) -> dict[str, Any]:
    """Give all that can be seen of the press as plain JSON values."""
    machine = press.machine
    return {
        "name": press.settings.name,
        "business_time": press.now().isoformat(),
        "state": machine.state,
        "mode": machine.controls.mode,
        "fault": machine.controls.fault,
        "tool": machine.controls.tool,
        "guard": "shut" if machine.controls.guard_shut else "open",
        "remote": machine.remote,
        "ready": machine.ready,
        "handed_over": machine.handed_over,
        "cycles_total": machine.cycles_total,
        "jobs": [_job(job) for job in machine.jobs],
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "state": int(job.state),
        "state_text": STATE_TEXTS[job.state],
        "cycles": job.order.cycles,
        "cycles_done": job.cycles_done,
        "produced": job.produced,
        "good": job.good,
        "scrap": job.scrap,
        "reason": job.reason,
        "started_at": job.started_at and job.started_at.isoformat(),
        "ended_at": job.ended_at and job.ended_at.isoformat(),
    }
