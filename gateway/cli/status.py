"""`kvot status`: the whole picture on one page."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli import exits
from gateway.cli.client import get
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, pick, show

_TO_DO = {
    "setup": "set it up for {setup_key}, then `kvot runs setup-done {run_id}`",
    "approval": "look at its first piece, then `kvot runs approve {run_id}` or `reject {run_id}`",
}


def _hand(machine: Mapping[str, Any]) -> str:
    """Say who has a machine in commissioning."""
    return ", in commissioning by {by} until {until}".format_map(given) if (given := machine["commissioning"]) else ""


def status(
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
    check: Annotated[bool, typer.Option("--check", help="Exit with 5 while exceptions are open.")] = False,  # noqa: FBT002
) -> None:
    """Show orders, jobs, machines, links and what waits for a decision."""
    answer = get("/api/v1/status", socket=socket, state=state_dir)
    if output is Output.TABLE:
        if answer["recovering"]:
            waiting = ", ".join(answer["recovering"]["waits_for"]) or "nothing more"
            answer["recovering"] = f"from the backup of {answer['recovering']['since']}; waits for {waiting}"
        machines = answer.pop("machines")
        answer["machines"] = [
            f"{one['machine']}: {pick(one, 'link.state')}, level {one.get('level')}{_hand(one)}, {pick(one, 'now.why')}"
            for one in machines
        ]
        answer["to_do"] = [
            f"run {one['run_id']} on {one['machine']}: {_TO_DO[one['waits_for']].format_map(one)}"
            for one in answer["to_do"]
        ]
        answer["links"] = [f"{name} {link['state']} {link['reason']}".strip() for name, link in answer["links"].items()]
        answer["outbox"] = [
            f"{one['destination']}: {one['pending']} pending, {one['dead']} dead" for one in answer["outbox"]
        ]
    show(answer, output)
    if check and answer["exceptions_open"]:
        raise typer.Exit(exits.EXCEPTIONS_OPEN)
