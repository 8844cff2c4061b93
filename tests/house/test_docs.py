"""The documents: links lead somewhere, the promise has one wording, examples are those that work."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from gateway.cli import exits, verbs
from tests.house.settings_page import PAGE, page
from tests.house.tree import ROOT, text_files

MARKDOWN = [ROOT / path for path, _ in text_files() if path.suffix == ".md"]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
APACHE_2_0 = (
    "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"  # the text without its first, empty line
)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_document_can_be_reached_from_the_readme(path: Path) -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text())]
    assert path in reached


def test_readme_and_explanation_promise_in_the_same_words() -> None:
    readme, explanation = (_table(ROOT / name) for name in ("README.md", "docs/explanation/delivery.md"))
    assert readme
    assert readme == explanation


@pytest.mark.parametrize("path", ["README.md", "docs/howto/first-machine.md", "docs/howto/connect-woocommerce.md"])
def test_yaml_in_the_documents_is_that_of_the_example(path: str) -> None:
    example = (ROOT / "config" / "kvot.example.yaml").read_text()
    switched_on = re.sub(r"^( *)# ", r"\1", example, flags=re.MULTILINE)  # parts that the example only shows
    known = {*_yaml_lines(example), *_yaml_lines(switched_on), "control: read"}
    shown = "\n".join(re.findall(r"```yaml\n(.*?)```", (ROOT / path).read_text(), flags=re.DOTALL))
    assert shown
    assert [line for line in _yaml_lines(shown) if line not in known] == []


def test_the_readme_names_the_two_commands_and_ten_lines_of_yaml() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "\n./run demo\n" in readme
    assert "\n./run test\n" in readme
    (shown,) = re.findall(r"```yaml\n(.*?)```", readme, flags=re.DOTALL)
    assert len(shown.splitlines()) <= 10


def test_every_decision_has_the_same_four_parts_and_is_listed() -> None:
    directory = ROOT / "docs" / "decisions"
    index = (directory / "README.md").read_text()
    records = sorted(directory.glob("[0-9]*.md"))
    assert [path.name[:4] for path in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for path in (*records, directory / "template.md"):
        parts = re.findall(r"^## (.+)$", path.read_text(), flags=re.MULTILINE)
        assert parts == ["Status", "Context", "Decision", "Consequences"], path.name
        assert path.name in index


def test_the_architecture_names_every_part_of_the_tree() -> None:
    told = (ROOT / "ARCHITECTURE.md").read_text()
    parts = [
        path
        for top in ("gateway", "drivers")
        for path in (ROOT / top).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    names = {f"{path.name}/" if path.is_dir() else path.name for path in parts}
    assert {name for name in names if name not in told and not name.startswith("__")} == set()


def test_every_verb_and_every_exit_code_is_in_the_reference() -> None:
    told = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert [verb for verb in _verbs(typer.main.get_command(verbs.app)) if not re.search(rf"\b{verb}\b", told)] == []
    codes = {value for name, value in vars(exits).items() if name.isupper()}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", told, flags=re.MULTILINE)} == codes


def test_the_reference_of_settings_is_the_generated_one() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.house.settings_page"


def test_the_rules_that_the_code_cites_are_explained() -> None:
    told = set(re.findall(r"\*\*(R\d)\*\*", (ROOT / "docs" / "explanation" / "delivery.md").read_text()))
    assert told == {f"R{number}" for number in range(1, 10)}


def test_the_licence_is_the_complete_apache_text() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0


def _verbs(command: object) -> Iterator[str]:
    """Give every word that names a verb or a group of them."""
    for name, inner in getattr(command, "commands", {}).items():
        yield name
        yield from _verbs(inner)


def _table(path: Path) -> list[str]:
    """Give the rows of the promises: path and promise."""
    return [line for line in path.read_text().splitlines() if line.startswith("| ") and " -> " in line]


def _yaml_lines(text: str) -> list[str]:
    return [line for raw in text.splitlines() if (line := re.sub(r"(^|\s+)#.*$", "", raw).strip())]
