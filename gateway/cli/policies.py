"""`kvot runs simulate`: what each pricing policy would earn on a family's own figures, before it is switched on."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exits
from gateway.cli.client import fail
from gateway.cli.options import ConfigOption, DirectoryOption, SetOption
from gateway.cli.output import Output, OutputOption, show

if TYPE_CHECKING:  # the models cost a third of a second: only who simulates pays for them
    from gateway.domain.pricing import FamilyRules
    from gateway.market import Summary, World
    from gateway.settings import Settings

COLUMNS = ("policy", "margin", "gain", "spread", "kept", "lead", "fill", "moves")
PATIENCE_S = 2.0

FamilyArgument = Annotated[str, typer.Argument(help="Its name, as under families.")]


def simulate(
    family: FamilyArgument,
    *,
    weeks: Annotated[float, typer.Option(min=1, max=260, help="How long each market lasts.")] = 6,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many markets, each the same for all.")] = 10,
    mtbf_h: Annotated[
        float | None, typer.Option("--mtbf", min=0.1, help="Working hours between failures; default: never.")
    ] = None,
    mttr_h: Annotated[float, typer.Option("--mttr", min=0.0, help="Working hours to repair one.")] = 2,
    svg: Annotated[Path | None, typer.Option(help="Draw the margins with their spread into this file.")] = None,
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    overrides: SetOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare the policies on a family's own figures, in a market that does not exist; no gateway is needed."""
    from gateway.market import as_believed, contestants, play, summarise, tasks  # noqa: PLC0415 - see above

    settings = _settings(config, directory, overrides or ())
    rules = _rules(settings, family, mtbf_h=mtbf_h, mttr_h=mttr_h)
    days, world = settings.families[family].promise.static_days, as_believed(rules)
    competing = contestants(rules, static_days=days)
    outcomes: dict[str, list[Any]] = {name: [] for name in competing}
    todo = tasks(competing, world, seeds=range(1, seeds + 1), weeks=weeks)
    with _progress(len(todo)) as advance:
        for task in todo:
            outcomes[task.policy].append(play(task))
            advance()
    found = summarise(outcomes, places=rules.run.places)
    assumed = assumptions(rules, world, days=days)
    _answer(found, assumed, rules, output=output, family=family, seeds=seeds, weeks=weeks)
    if svg is not None:
        _draw(svg, found, rules, title=f"{family}: margin a week, {rules.price.currency}, {seeds} markets")


def assumptions(rules: "FamilyRules", world: "World", *, days: int) -> list[str]:
    """Say in words which figures the simulation took for true."""
    from gateway.shops.fields import minor_exponent  # noqa: PLC0415 - see above

    unit, currency = 10 ** minor_exponent(rules.price.currency), rules.price.currency
    never = world.mttr_h <= 0 or world.mtbf_h == float("inf")
    fails = "it never fails" if never else f"it fails each {world.mtbf_h:g} working hours, {world.mttr_h:g} h each time"
    clicks = "a campaign is free of cost" if not world.click_minor else f"a click costs {world.click_minor / unit:.2f}"
    buyers = (
        f"{world.visitors_h * 24:g} visitors a day, day and night; {world.conversion:.1%} order {world.units:g} units"
    )
    slopes = (
        f"{world.lead_slope_day:g} with each day of lead and by {world.price_slope:g} with each {currency} of price"
    )
    prices = f"list price {rules.price.list_minor / unit:.2f} {currency} with {world.tax_rate:.0%} tax"
    costs = (
        f"a unit costs {world.unit_minor / unit:.2f}, a set-up {world.setup_minor / unit:.2f} and {world.setup_h:g} h"
    )
    baseline = f"the baseline promises {days} working days and starts at {rules.run.threshold} units, or when it must"
    return [
        f"{buyers} at the list price and a lead of {world.lead_days:.1f} days",
        f"the log-odds of ordering fall by {slopes}",
        f"{prices}; {costs}",
        f"the machine makes {world.rate_h:.4g} units an hour of its calendar and has nothing else to do; {fails}",
        f"while a campaign is open as many visitors come again, and fewer of them order each hour; {clicks}",
        f"{baseline}; the others start at the latest start",
        "ordinary weeks without holidays, and every belief is true",
        "a person agrees to every campaign, and to no price beyond the automatic band",
    ]


def _settings(config: Path | None, directory: Path | None, overrides: Sequence[str]) -> "Settings":
    from gateway.settings import load  # noqa: PLC0415 - see above
    from gateway.settings.faults import LocatedSettingsError  # noqa: PLC0415

    try:
        return load(config, directory=directory, overrides=overrides, secrets=False)
    except LocatedSettingsError as error:
        for fault in error.located:
            typer.echo(str(fault), err=True)
        raise typer.Exit(exits.CONFIGURATION) from error


def _rules(settings: "Settings", family: str, *, mtbf_h: float | None, mttr_h: float) -> "FamilyRules":
    """Give the family's rules, or say which figure is missing and where it belongs."""
    if family not in settings.families:
        fail(exits.USAGE, f"no family is called {family!r}; there is {', '.join(settings.families) or 'none'}")
    written = settings.families[family]
    missing = [
        f"families.{family}.{key}: {why}"
        for key, why, there in (
            ("run", "places and threshold of a run", written.run is not None),
            ("setup", "cost and hours of a set-up", written.setup is not None),
            ("unit", "what a piece costs", written.unit is not None),
            ("demand", "visitors, conversion and slopes", written.demand is not None),
            (
                "demand.visitors",
                "a number, such as 270 a day",
                written.demand is None or written.demand.visitors != "shop",
            ),
            ("list_price", "a number, since no shop is asked", written.list_price != "shop"),
        )
        if not there
    ]
    if missing:
        fail(
            exits.CONFIGURATION,
            "\n  ".join(["nothing can be compared without (or give them by --set KEY=VALUE)", *missing]),
        )
    rules = settings.rules(family)
    if rules.demand.visitors_h <= 0:
        fail(exits.CONFIGURATION, f"families.{family}.demand.visitors: nobody comes, so there is nothing to compare")
    if mtbf_h is None:
        return rules
    return replace(rules, capacity=replace(rules.capacity, mtbf_h=mtbf_h, mttr_h=mttr_h))


def _answer(
    found: "Sequence[Summary]",
    assumed: Sequence[str],
    rules: "FamilyRules",
    *,
    output: Output,
    family: str,
    seeds: int,
    weeks: float,
) -> None:
    if output is not Output.TABLE:
        policies = [
            {key: None if value != value else value for key, value in asdict(one).items()}  # noqa: PLR0124 - no NaN
            for one in found
        ]
        currency = rules.price.currency
        show(
            {"family": family, "seeds": seeds, "weeks": weeks, "currency": currency, "assumed": assumed}
            | {"policies": policies},
            output,
        )
        return
    typer.echo(f"{family}: {seeds} markets of {weeks:g} weeks; money in {rules.price.currency}, net, a week. Assumed:")
    for line in assumed:
        typer.echo(f"  - {line}")
    show([_row(one, rules) for one in found], output, COLUMNS)
    for line in _verdict(found):
        typer.echo(line)


def _row(one: "Summary", rules: "FamilyRules") -> dict[str, str]:
    from gateway.shops.fields import minor_exponent  # noqa: PLC0415 - see above

    unit = 10 ** minor_exponent(rules.price.currency)
    return {
        "policy": one.policy,
        "margin": f"{one.margin / unit:,.0f}",
        "gain": "-" if one.policy == "baseline" or math.isnan(one.gain) else f"{one.gain:+.0%}",
        "spread": f"{one.margin_p10 / unit:,.0f} to {one.margin_p90 / unit:,.0f}",
        "kept": f"{one.kept:.1%}",
        "lead": f"{one.lead_days:.1f} d",
        "fill": f"{one.fill:.0%}",
        "moves": f"{one.moves_week:.1f}",
    }


def _verdict(found: "Sequence[Summary]") -> Iterator[str]:
    best = max(found, key=lambda one: one.margin)
    yield f"Most is earned by {best.policy}. It says what these figures mean together, not what buyers will do."
    campaign = next(one for one in found if one.policy == "countdown+campaign")
    if not campaign.campaign_h_week:
        yield "The campaign of countdown never opened: a visitor is not worth enough of his click."


def _draw(path: Path, found: "Sequence[Summary]", rules: "FamilyRules", *, title: str) -> None:
    from gateway.cli.plot import Bar, bars_svg  # noqa: PLC0415 - see above
    from gateway.shops.fields import minor_exponent  # noqa: PLC0415

    unit = 10 ** minor_exponent(rules.price.currency)
    bars = [
        Bar(name=one.policy, middle=one.margin / unit, low=one.margin_p10 / unit, high=one.margin_p90 / unit)
        for one in found
    ]
    note = "Bars: mean of all markets; lines: eight of ten markets lie between their ends."
    try:
        path.write_text(bars_svg(title, bars, note=note), encoding="utf-8")
    except OSError as fault:
        fail(exits.FAILURE, f"--svg {path}: {fault.strerror or fault}")


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Give what is called after each simulation; a bar on stderr appears when it takes longer than `PATIENCE_S`."""
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.progress import Progress  # noqa: PLC0415

    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        bar = Progress(console=Console(stderr=True), transient=True)
        task = bar.add_task("markets", total=total)

        def advance() -> None:
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - began > PATIENCE_S:
                stack.enter_context(bar)

        yield advance
