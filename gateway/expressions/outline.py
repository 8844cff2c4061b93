"""The outline of a CEL source: which values it names, which list macros it uses and how they nest."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_MACROS: Final = frozenset({"map", "filter", "all", "exists", "exists_one", "existsOne"})
_TOKEN: Final = re.compile(
    r"""
    (?P<skip>\s+|//[^\n]*)
    |(?P<string>(?i:[rb]|br|rb)?(?:\"\"\"(?s:.)*?\"\"\"|'''(?s:.)*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9][0-9A-Za-z_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?[uU]?)
    |(?P<sign>.)
    """,
    re.VERBOSE,
)
_PLAIN_STRING: Final = re.compile(r"""(['"])([^\\'"]*)\1""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What can be seen without evaluating.

    `paths` are the values named by fixed keys, such as `("line", "options", "width_mm")`; `bound` the
    names that list macros introduce; `nested_macro` the first macro inside another.
    """

    paths: tuple[tuple[str, ...], ...]
    bound: frozenset[str]
    macros: int
    nested_macro: str | None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def outline(source: str) -> Outline:
    """Read the outline of a source; a source that is no CEL gives some outline or other."""
    tokens = tuple(_tokens(source))
    macros = tuple(_macro_calls(tokens))
    return Outline(
        paths=tuple(dict.fromkeys(_paths(tokens))),
        bound=frozenset(bound for _, bound, _ in macros),
        macros=len(macros),
        nested_macro=next((name for name, _, nested in macros if nested), None),
    )


def _tokens(source: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(source):
        kind = found.lastgroup or "sign"
        if kind != "skip":
            yield _Token(kind, found.group())


def _macro_calls(tokens: Sequence[_Token]) -> Iterator[tuple[str, str, bool]]:
    """Give (macro, the name it binds, whether it stands inside another) for each macro call."""
    inside: list[bool] = []  # one entry per open bracket: does a macro's argument list begin there
    for number, token in enumerate(tokens):
        if token.text in ("(", "[", "{") and token.kind == "sign":
            before = tokens[number - 1] if number else None
            dotted = number > 1 and tokens[number - 2].text == "."
            opens = token.text == "(" and dotted and before is not None and before.text in _MACROS
            if opens and before is not None:
                bound = tokens[number + 1].text if number + 1 < len(tokens) else ""
                yield before.text, bound, any(inside)
            inside.append(opens)
        elif token.text in (")", "]", "}") and token.kind == "sign" and inside:
            inside.pop()


def _paths(tokens: Sequence[_Token]) -> Iterator[tuple[str, ...]]:
    for number, token in enumerate(tokens):
        follows_dot = number > 0 and tokens[number - 1].text == "."
        if token.kind == "name" and not follows_dot:
            path = (token.text, *_keys(tokens, number + 1))
            if len(path) > 1:
                yield path


def _keys(tokens: Sequence[_Token], position: int) -> Iterator[str]:
    """Give the fixed keys that follow a name: `.key` and `["key"]`, up to a method call or anything else."""
    while position + 1 < len(tokens):
        sign, key = tokens[position], tokens[position + 1]
        after = tokens[position + 2].text if position + 2 < len(tokens) else ""
        if sign.text == "." and key.kind == "name" and after != "(":
            yield key.text
            position += 2
        elif (
            sign.text == "[" and key.kind == "string" and after == "]" and key.text[0] in "\"'" and "\\" not in key.text
        ):
            yield key.text[3:-3] if key.text[:3] in ('"""', "'''") else key.text[1:-1]
            position += 3
        else:
            return
