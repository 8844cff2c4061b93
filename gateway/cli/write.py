"""`kvot write`: one value written by hand into a machine in commissioning, and what the machine shows then."""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from gateway.cli import exits
from gateway.cli.client import fail, get, post
from gateway.cli.options import SocketOption, StateOption
from gateway.cli.output import Output, OutputOption, cell, show

_LOOK_S = 0.1
_WAITS_S = 60.0
_CODES = {"refused": exits.REFUSED, "unknown": exits.FAILURE, "not_sent": exits.TEMPORARY}


def write(  # noqa: PLR0917 - options, which are given by name
    machine: Annotated[str, typer.Argument(help="Its name under machines: in kvot.yaml.")],
    tag: Annotated[str, typer.Argument(help="A tag that its profile lists under writable:.")],
    value: Annotated[str, typer.Argument(help="In the tag's unit; a negative one after --.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002
    socket: SocketOption = None,
    state_dir: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Write one value by hand into a machine that you have in commissioning (`kvot machines commission`).

    It is sent once. Then the machine is read, and what it shows is told.
    """
    path = f"/api/v1/machines/{machine}/write"
    _agree(get(f"{path}/plan", query={"tag": tag, "value": value}, socket=socket, state=state_dir), yes=yes)
    asked = post(path, {"tag": tag, "value": value}, socket=socket, state=state_dir)
    ended = asyncio.run(_await(lambda: get(path, socket=socket, state=state_dir), asked))
    if output is not Output.TABLE:
        show(ended, output)
    _say(f"{machine}: {ended['text']}")
    if ended["sent_at"] is not None:
        _say(f"before: {cell(ended['before'])}")
    code = _CODES.get(ended["outcome"], exits.OK if ended["agrees"] else exits.FAILURE)
    if code != exits.OK:
        raise typer.Exit(code)


def _agree(plan: Any, *, yes: bool) -> None:
    """Show what will be written where, and ask once."""
    unit = f" {plan['unit']}" if plan["unit"] else ""
    _say(f"{plan['machine']} at {plan['endpoint']}: {plan['identity']}")
    _say(f"  {plan['tag']} at {plan['address']} := {cell(plan['value'])}{unit}, sent once")
    if yes:
        return
    if not sys.stdin.isatty():
        fail(exits.USAGE, "nobody can be asked here: give --yes once you stand at the machine")
    if not typer.confirm("write it?", err=True):
        fail(exits.INTERRUPTED, "nothing was written")


async def _await(ask: Callable[[], Any], write: Any) -> Any:
    """Wait for the end of a write. One whose answer is lost ends when the machine can be read again."""
    told, until_s = False, time.monotonic() + _WAITS_S
    while write["outcome"] is None:
        if time.monotonic() >= until_s:
            text = "no answer yet. It is not sent again; `kvot exceptions list` will say what the machine shows"
            fail(exits.FAILURE, text)
        await asyncio.sleep(_LOOK_S)
        again = ask()
        if again["write_id"] != write["write_id"]:
            fail(exits.FAILURE, "another value was written since: `kvot exceptions list` shows what is unclear")
        write = again
        if write["sent_at"] is not None and not told:
            _say("  sent; reading back")
            told = True
    return write


def _say(text: str) -> None:
    typer.echo(cell(text), err=True)
