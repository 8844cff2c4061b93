"""The live table of the demo: what comes in, what is made, what the shop and the broker hear."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.cli.demo.play import Moment
from gateway.cli.output import cell

_ORDER_STATES = ("not_due", "received", "planned", "in_production", "made", "not_made", "quarantined")


def picture(moment: Moment) -> Group:
    """Draw one moment."""
    placed, target = moment.placed, moment.target
    head = f"Kvot demo  {moment.elapsed_s:5.0f} s   orders placed {placed}/{target}   {moment.note}"
    bar = ProgressBar(total=max(target, 1), completed=placed, width=60)
    return Group(Text(head, style="bold"), bar, _body(moment.status, starts=moment.starts, facts=moment.facts))


def _body(status: Mapping[str, Any] | None, *, starts: int, facts: int) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    if status is None:
        table.add_row("gateway", Text("does not answer (killed, starting)", style="yellow"))
    else:
        orders, jobs = status["orders"], status["jobs"]
        table.add_row("orders", "  ".join(f"{state} {orders.get(state, 0)}" for state in _ORDER_STATES))
        table.add_row("jobs", "  ".join(f"{state} {count}" for state, count in jobs.items()) or "none yet")
        for machine in status["machines"]:
            now = machine["now"]
            said = f"{machine['link'].get('state', '?')}  level {machine.get('level')}  {cell(now.get('why'))}"
            table.add_row(machine["machine"], Text(said))
        links = "  ".join(f"{name} {link['state']}" for name, link in status["links"].items())
        table.add_row("links", Text(links))
        waiting = "  ".join(f"{one['destination']} {one['pending']}" for one in status["outbox"])
        table.add_row("still to tell", Text(waiting or "nothing"))
        table.add_row("exceptions", str(status["exceptions_open"]))
    table.add_row("machines' own journals", f"{starts} physical starts")
    table.add_row("heard over MQTT", f"{facts} facts")
    return table
