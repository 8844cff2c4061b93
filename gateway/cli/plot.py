"""A bar chart as SVG: one bar for each name, from zero to its middle, with a line over its spread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
LEFT: Final = 190  # names
RIGHT: Final = 110  # numbers
ROW: Final = 44
TOP: Final = 56
_COLOURS: Final = ("#8a8f98", "#c98a2b", "#3f7fb5", "#2f8f5b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A bar's name, its middle, and the ends of its spread."""

    name: str
    middle: float
    low: float
    high: float


def bars_svg(title: str, bars: Sequence[Bar], *, note: str = "") -> str:
    """Draw the bars below each other on one scale that holds zero."""
    ends = [0.0, *(end for bar in bars for end in (bar.low, bar.middle, bar.high))]
    least, span = min(ends), (max(ends) - min(ends)) or 1.0

    def x(value: float) -> float:
        return LEFT + (value - least) / span * (WIDTH - LEFT - RIGHT)

    height = TOP + ROW * len(bars) + 40
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
            f' font-size="14"><title>{escape(title)}</title>'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 28, title, size=16),
    ]
    for number, bar in enumerate(bars):
        parts += _bar(bar, x, y=TOP + ROW * number, colour=_COLOURS[number % len(_COLOURS)])
    bottom = TOP + ROW * len(bars)
    parts += [_line(x(0.0), TOP - 6, x(0.0), bottom, "#333333"), _text(16, bottom + 24, note, size=12), "</svg>"]
    return "\n".join(parts) + "\n"


def _bar(bar: Bar, x: Callable[[float], float], *, y: float, colour: str) -> list[str]:
    begin, end, middle = min(x(0.0), x(bar.middle)), max(x(0.0), x(bar.middle)), y + ROW / 2 - 4
    return [
        _text(16, middle + 5, bar.name),
        f'<rect x="{begin:.1f}" y="{y + 6:.1f}" width="{end - begin:.1f}" height="{ROW - 20}" fill="{colour}"/>',
        _line(x(bar.low), middle, x(bar.high), middle, "#222222"),
        _line(x(bar.low), middle - 6, x(bar.low), middle + 6, "#222222"),
        _line(x(bar.high), middle - 6, x(bar.high), middle + 6, "#222222"),
        _text(WIDTH - RIGHT + 12, middle + 5, f"{bar.middle:,.0f}"),
    ]


def _text(x: float, y: float, text: str, *, size: int = 14) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="#222222">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>'
