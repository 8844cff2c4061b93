"""Secrets are named in the configuration and kept elsewhere: credential, private file or environment."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from gateway.errors import SettingsError

MAX_BYTES: Final = 64 * 1024


class Secret:
    """A value that is never shown: only `reveal` gives it, and nothing that prints or stores does."""

    __slots__ = ("_problem", "_value", "name")

    def __init__(self, name: str, value: str | None, *, problem: str = "") -> None:
        self.name = name
        self._value = value
        self._problem = problem

    @property
    def problem(self) -> str:
        """Say why the value was not found; empty when it was."""
        return self._problem

    def reveal(self) -> str:
        """Give the value; raise `SettingsError` when it was not found."""
        if self._value is None:
            raise SettingsError((f"secret '{self.name}': {self._problem}",))
        return self._value

    def __repr__(self) -> str:
        return f"!secret {self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self._value) == (other.name, other._value)

    def __hash__(self) -> int:
        return hash(self.name)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be stored")


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretStore:
    """The three places where a secret may be kept, in the order in which they are asked."""

    directory: Path | None  # the configuration's own directory
    environment: Mapping[str, str]

    def find(self, name: str) -> Secret:
        """Find a secret by name; what could not be found or used carries the reason."""
        for place in self._files(name):
            kind, text = _read(place.path, private=place.private)
            if kind == "value":
                return Secret(name, text)
            if kind == "refused":
                return Secret(name, None, problem=text)
        variable = _variable(name)
        if value := self.environment.get(variable):
            return Secret(name, value)
        return Secret(name, None, problem=f"not found; looked in {', '.join(self.places(name))}")

    def places(self, name: str) -> tuple[str, ...]:
        """Name the places of a secret, in words."""
        credential = "$CREDENTIALS_DIRECTORY/" + name
        if not self.environment.get("CREDENTIALS_DIRECTORY"):
            credential += " (not set)"
        file = f"{self.directory}/secrets/{name}" if self.directory else f"<configuration directory>/secrets/{name}"
        return (credential, f"{file} (mode 0600)", f"the environment variable {_variable(name)}")

    def _files(self, name: str) -> "tuple[_Place, ...]":
        credentials = self.environment.get("CREDENTIALS_DIRECTORY")
        given = (_Place(path=Path(credentials) / name, private=False),) if credentials else ()
        own = (_Place(path=self.directory / "secrets" / name, private=True),) if self.directory else ()
        return (*given, *own)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    path: Path
    private: bool  # nobody but the owner may be able to read or write it


def system_store(directory: Path | None) -> SecretStore:
    """Give the store of this process: its own environment and a configuration directory."""
    return SecretStore(directory=directory, environment=os.environ)


def _variable(name: str) -> str:
    return "KVOT_SECRET_" + name.upper().replace("-", "_")


def _read(path: Path, *, private: bool) -> tuple[Literal["value", "refused", "absent"], str]:
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            if private and mode & 0o077:
                return "refused", f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}"
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return "absent", ""
    except OSError as error:
        return "refused", f"{path} cannot be read: {error.strerror}"
    if len(content) > MAX_BYTES:
        return "refused", f"{path} is larger than {MAX_BYTES // 1024} KiB"
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return "refused", f"{path} is not UTF-8"
    if not text:
        return "refused", f"{path} is empty"
    if not text.isprintable():
        return "refused", f"{path} has a line break or control character inside"
    return "value", text
