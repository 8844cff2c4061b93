"""The options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration file.")]
DirectoryOption = Annotated[
    Path | None, typer.Option("--config-directory", help="More configuration: its *.yaml, merged in name order.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One key as section.key=value; wins over the files.")
]
SocketOption = Annotated[
    Path | None, typer.Option("--socket", envvar="KVOT_SOCKET", help="The gateway's control socket.")
]
StateOption = Annotated[
    Path | None, typer.Option("--state-dir", envvar="KVOT_STATE_DIR", help="The gateway's state directory.")
]
