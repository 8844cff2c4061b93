"""Each house rule sees a breach and says it in words; the repository has none."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.house import rules
from tests.house.tree import python_files, text_files

PRODUCT = ("gateway", "drivers", "simulators")
EVERYWHERE = (*PRODUCT, "tests")

# The clock itself, and certificates, whose validity is wall time whatever speed the business runs at.
NOT_ON_THE_CLOCK = frozenset({"gateway/clock.py", "drivers/opcua/security.py"})

# rule, where it holds, files exempt with the reason
RULES: tuple[tuple[rules.Rule, tuple[str, ...], frozenset[str]], ...] = (
    (rules.starts_with_one_sentence, EVERYWHERE, frozenset()),
    (rules.is_short, PRODUCT, frozenset()),
    (rules.asks_the_clock, ("gateway", "drivers"), NOT_ON_THE_CLOCK),
    (rules.starts_tasks_in_groups, ("gateway", "drivers"), frozenset()),
    (rules.has_telling_names, PRODUCT, frozenset()),
    (rules.swallows_nothing, PRODUCT, frozenset()),
    (rules.freezes_values, ("gateway/domain",), frozenset()),
)
TEXT_RULES: tuple[rules.Rule, ...] = (rules.leaves_nothing_for_later, rules.names_no_machine)

BREACHES = (
    (rules.starts_with_one_sentence, "import os\n", "one sentence"),
    (rules.starts_with_one_sentence, '"""stuff"""\n', "one sentence"),
    (rules.is_short, "x = 1\n" * 401, "401 lines"),
    (rules.is_short, "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (rules.asks_the_clock, "import time\ntime.sleep(1)\n", "time.sleep"),
    (rules.asks_the_clock, "from time import sleep as rest\nrest(1)\n", "time.sleep"),
    (rules.asks_the_clock, "import datetime\ndatetime.datetime.now(tz=None)\n", "datetime.now"),
    (rules.asks_the_clock, "from datetime import datetime\nx = [datetime.now()]\n", "datetime.now"),
    (rules.starts_tasks_in_groups, "asyncio.create_task(f())\n", "TaskGroup"),
    (rules.starts_tasks_in_groups, "from asyncio import create_task\ncreate_task(f())\n", "TaskGroup"),
    (rules.starts_tasks_in_groups, "asyncio.get_running_loop().create_task(f())\n", "TaskGroup"),
    (rules.has_telling_names, "class OrderManager: pass\n", "Manager"),
    (rules.has_telling_names, "class HTTPHandler: pass\n", "Handler"),
    (rules.swallows_nothing, "try:\n    f()\nexcept Exception:\n    pass\n", "drops it"),
    (rules.swallows_nothing, "try:\n    f()\nexcept (ValueError, BaseException):\n    pass\n", "drops it"),
    (rules.swallows_nothing, "try:\n    f()\nexcept:\n    pass\n", "everything"),
    (rules.swallows_nothing, "try:\n    f()\nexcept Exception as error:\n    log.error(error)\n", "drops it"),
    (rules.freezes_values, "@dataclass(frozen=True)\nclass A: pass\n", "kw_only=True"),
    (rules.freezes_values, "@dataclass\nclass A: pass\n", "frozen=True"),
    (rules.leaves_nothing_for_later, "# TO" + "DO: later\n", "issue"),
    (rules.names_no_machine, "see /ho" + "me/anna/kvot\n", "one computer"),
    (rules.names_no_machine, "--index-" + "url=https://example.invalid\n", "package index"),
    (rules.names_no_machine, "https://py" + "pi.org/simple\n", "package index"),
)
SOUND = (
    (rules.asks_the_clock, "clock.now()\nawait clock.sleep(1)\n"),
    (rules.starts_tasks_in_groups, "async with asyncio.TaskGroup() as group:\n    group.create_task(f())\n"),
    (rules.has_telling_names, "class Metadata: pass\nclass Database: pass\n"),
    (rules.swallows_nothing, "try:\n    f()\nexcept Exception:\n    undo()\n    raise\n"),
    (rules.swallows_nothing, "try:\n    f()\nexcept Exception as error:\n    answer.set_exception(error)\n"),
    (rules.names_no_machine, "unix:///run/kvot/kvot.sock /etc/kvot/kvot.yaml https://shop.example/home/x\n"),
)


@pytest.mark.parametrize(("rule", "where", "exempt"), RULES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_code_keeps(rule: rules.Rule, where: tuple[str, ...], exempt: frozenset[str]) -> None:
    _expect_none(
        breach
        for path, source in python_files(*where)
        if str(path) not in exempt
        for breach in _parsed(rule, path, source)
    )


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: rule.__name__)
def test_every_text_keeps(rule: rules.Rule) -> None:
    _expect_none(breach for path, text in text_files() for breach in rule(path, text))


def test_module_names_are_telling() -> None:
    assert list(rules.has_telling_names(PurePosixPath("gateway/utils.py"), ""))


@pytest.mark.parametrize(("rule", "source", "words"), BREACHES)
def test_a_breach_is_told_in_words(rule: rules.Rule, source: str, words: str) -> None:
    told = list(rule(PurePosixPath("gateway/example.py"), source))
    assert told
    assert words in told[0]
    assert told[0].startswith("gateway/example.py")


@pytest.mark.parametrize(("rule", "source"), SOUND)
def test_what_is_allowed_is_no_breach(rule: rules.Rule, source: str) -> None:
    assert list(rule(PurePosixPath("gateway/example.py"), source)) == []


def test_the_tree_is_really_read() -> None:
    assert {Path("gateway/clock.py"), Path("drivers/base.py")} <= {Path(path) for path, _ in python_files(*PRODUCT)}
    assert {Path("README.md"), Path("run")} <= {Path(path) for path, _ in text_files()}


def _parsed(rule: rules.Rule, path: PurePosixPath, source: str) -> Iterator[str]:
    try:
        yield from rule(path, source)
    except SyntaxError as error:
        yield f"{path}:{error.lineno}: {error.msg}"


def _expect_none(breaches: Iterator[str]) -> None:
    told = list(breaches)
    if told:
        pytest.fail("\n".join(told), pytrace=False)
