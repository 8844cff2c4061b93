"""The repository's own files, as the house tests read them."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]

# Made by tools, not written: hidden directories (but .ci), caches, build results.
_MADE = frozenset({"__pycache__", "dist", "build", "node_modules"})
_WRITTEN_HIDDEN = frozenset({".ci"})


def python_files(*directories: str) -> Iterator[tuple[PurePosixPath, str]]:
    """Give each Python file below these directories: its path in the repository, its text."""
    for directory in directories:
        for path in sorted((ROOT / directory).rglob("*.py")):
            yield PurePosixPath(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def text_files() -> Iterator[tuple[PurePosixPath, str]]:
    """Give each written text file of the repository: its path in it, its text."""
    for path in sorted(_written(ROOT)):
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # a picture, or a file that another process removed
            continue
        yield PurePosixPath(path.relative_to(ROOT)), text


def _written(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            hidden = path.name.startswith(".") and path.name not in _WRITTEN_HIDDEN
            if not hidden and path.name not in _MADE and not path.name.endswith(".egg-info"):
                yield from _written(path)
        elif path.is_file() and path.name != ".git":  # in a linked working tree it is a file, with a path in it
            yield path
