"""How answers are printed: a table for people, JSON or YAML for programs, on stdout alone."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer


class Output(StrEnum):
    """The forms an answer can take."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the answer.")]


def show(answer: Any, output: Output, columns: Sequence[str] = ()) -> None:
    """Print one answer; a table shows these columns of each row, or name and value of a mapping."""
    match output:
        case Output.JSON:
            typer.echo(json.dumps(answer, ensure_ascii=False, indent=2))
        case Output.YAML:
            import yaml  # noqa: PLC0415 - only who asks for it pays

            typer.echo(yaml.safe_dump(answer, allow_unicode=True, sort_keys=False), nl=False)
        case Output.TABLE:
            _table(answer, columns)


def _table(answer: Any, columns: Sequence[str]) -> None:
    from rich import box  # noqa: PLC0415 - `--help` must not pay for it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=isinstance(answer, list))
    if isinstance(answer, list):
        if not answer:
            typer.echo("nothing", err=True)
            return
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in answer:
            table.add_row(*(Text(cell(pick(row, column))) for column in columns))
    else:
        for name, value in answer.items():
            table.add_row(name.replace("_", " "), Text(cell(value)))
    Console(highlight=False, soft_wrap=False).print(table)


def pick(row: Mapping[str, Any], column: str) -> Any:
    """Follow a dotted name into a row."""
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def cell(value: Any) -> str:
    """Give a value in one short text; control characters are shown, never sent to the terminal."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in value)
        case Mapping():
            return ", ".join(f"{name} {cell(inner)}" for name, inner in value.items()) or "-"
        case list() | tuple():
            return "\n".join(cell(inner) for inner in value) or "-"
        case _:
            return str(value)
