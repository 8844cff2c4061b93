"""`kvot config`: check the configuration, show what is in force, give editors its schema."""

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exits
from gateway.cli import output as printed
from gateway.cli.options import ConfigOption, DirectoryOption, SetOption
from gateway.cli.output import Output, OutputOption

if TYPE_CHECKING:  # the models cost a third of a second: only a verb that runs pays for them
    from gateway.settings import Settings
    from gateway.settings.faults import Fault

app = typer.Typer(
    name="config", help="Check, show and describe the configuration.", no_args_is_help=True, rich_markup_mode=None
)


class Kind(StrEnum):
    """What a schema describes."""

    SETTINGS = "settings"
    MACHINE = "machine"


@app.command()
def check(
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    overrides: SetOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check everything without opening a connection; exit 3 when something is wrong."""
    settings, faults = _load(config, directory, overrides or ())
    warnings = settings.warnings if settings else ()
    if output is Output.TABLE:
        _complain(faults, warnings)
    else:
        printed.show([*_findings(faults, "error"), *_findings(warnings, "warning")], output)
    if settings is None:
        raise typer.Exit(exits.CONFIGURATION)
    if output is Output.TABLE:
        from gateway.settings.describe import facts  # noqa: PLC0415 - see above

        typer.echo("ok")
        for fact in facts(settings):
            typer.echo(f"  {fact}")


@app.command()
def show(
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    overrides: SetOption = None,
    output: OutputOption = Output.TABLE,
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Name file and line of each value.")] = False,
) -> None:
    """Show the configuration in force with its defaults; secrets show their names only."""
    settings, faults = _load(config, directory, overrides or ())
    if settings is None:
        _complain(faults, ())
        raise typer.Exit(exits.CONFIGURATION)
    from gateway.settings.describe import leaves, tree  # noqa: PLC0415 - see above

    if output is not Output.TABLE and not origin:
        printed.show(tree(settings), output)
        return
    rows = [{"path": path, "value": value, "origin": place or "default"} for path, value, place in leaves(settings)]
    if output is not Output.TABLE:
        printed.show(rows, output)
        return
    for row in rows:
        typer.echo(_row(row, origin=origin))


@app.command()
def schema(
    kind: Annotated[Kind, typer.Argument(help="kvot.yaml, or a machine type's own file.")] = Kind.SETTINGS,
) -> None:
    """Write the JSON Schema: every key with its type, unit, default and meaning."""
    from gateway.settings.schema import schema_text  # noqa: PLC0415 - see above

    typer.echo(schema_text(kind.value), nl=False)


def _load(
    config: Path | None, directory: Path | None, overrides: Sequence[str]
) -> "tuple[Settings | None, tuple[Fault, ...]]":
    from gateway.settings import load  # noqa: PLC0415 - see above
    from gateway.settings.faults import LocatedSettingsError  # noqa: PLC0415 - see above

    try:
        return load(config, directory=directory, overrides=overrides, secrets=False), ()
    except LocatedSettingsError as error:
        return None, error.located


def _complain(faults: "Iterable[Fault]", warnings: "Iterable[Fault]") -> None:
    for fault in faults:
        typer.echo(str(fault), err=True)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def _findings(faults: "Iterable[Fault]", severity: str) -> list[dict[str, Any]]:
    return [
        {
            "severity": severity,
            "file": fault.place.file,
            "line": fault.place.line,
            "column": fault.place.column,
            "path": fault.path,
            "text": fault.text,
        }
        for fault in faults
    ]


def _row(row: dict[str, Any], *, origin: bool) -> str:
    text = f"{row['path']} = {json.dumps(row['value'], ensure_ascii=False)}"
    return f"{text}  # {row['origin']}" if origin else text
