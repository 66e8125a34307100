"""Plots as inline SVG: no script, no file beside the page, colours from its style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 720
_LABEL = 150
_BAR = 22
_HEIGHT = 260
_MARGIN = 46
_SERIES = ("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7")


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name and a value, or ``None``, for each place on the axis."""

    name: str
    values: Sequence[float | None]


def bars(rows: Sequence[tuple[str, float]], unit: str, form: str = ",.0f") -> str:
    """Return horizontal bars from zero; the first row of this producer stands out."""
    if not rows:
        return ""
    top = max(value for _, value in rows) or 1.0
    room = _WIDTH - _LABEL - 110
    height = len(rows) * _BAR + 24
    parts = [_open(height, f"{unit} by row")]
    for place, (name, value) in enumerate(rows):
        y = place * _BAR + 4
        style = "own" if name.startswith("aioproducer") else "other"
        width = max(value / top * room, 1)
        parts.append(_text(_LABEL - 8, y + 13, name, "end"))
        parts.append(
            f'<rect class="{style}" x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR - 6}"/>'
        )
        parts.append(_text(_LABEL + width + 6, y + 13, f"{value:{form}}", "start"))
    parts.append(_text(_LABEL, height - 6, unit, "start", "unit"))
    return "".join([*parts, "</svg>"])


def lines(places: Sequence[str], series: Sequence[Series], unit: str, *, log: bool = False) -> str:
    """Return one line per series over the places of an axis, from zero or on a log scale."""
    known = [value for line in series for value in line.values if value is not None and value > 0]
    if not known or not places:
        return ""
    scale = _Scale(known, log=log)
    legend = 18 * ((len(series) + 2) // 3)
    parts = [_open(_HEIGHT + legend, f"{unit} over {', '.join(places)}")]
    for tick in scale.ticks():
        y = scale.y(tick)
        parts.append(f'<line class="grid" x1="{_MARGIN}" x2="{_WIDTH - 10}" y1="{y}" y2="{y}"/>')
        parts.append(_text(_MARGIN - 6, y + 4, f"{tick:g}", "end"))
    for place, name in enumerate(places):
        parts.append(_text(_x(place, len(places)), _HEIGHT - 12, name, "middle"))
    for number, line in enumerate(series):
        style = _SERIES[number % len(_SERIES)]
        points = [
            (_x(place, len(places)), scale.y(value))
            for place, value in enumerate(line.values)
            if value is not None and value > 0
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line {style}" points="{path}"/>')
        parts += [f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
        x, y = _MARGIN + number % 3 * 220, _HEIGHT + 6 + number // 3 * 18
        parts.append(f'<rect class="{style}" x="{x}" y="{y}" width="12" height="8"/>')
        parts.append(_text(x + 18, y + 8, line.name, "start"))
    parts.append(_text(_MARGIN, 12, unit, "start", "unit"))
    return "".join([*parts, "</svg>"])


class _Scale:
    """From values to heights."""

    def __init__(self, values: Sequence[float], *, log: bool) -> None:
        self._log = log
        if log:
            self._low = float(math.floor(math.log10(min(values))))
            self._high = max(float(math.ceil(math.log10(max(values)))), self._low + 1)
        else:
            self._low, self._high = 0.0, max(values) * 1.1

    def y(self, value: float) -> float:
        at = math.log10(value) if self._log else value
        share = (at - self._low) / (self._high - self._low)
        return round(_HEIGHT - 30 - share * (_HEIGHT - 55), 1)

    def ticks(self) -> list[float]:
        if self._log:
            return [10.0**power for power in range(int(self._low), int(self._high) + 1)]
        step = 10.0 ** math.floor(math.log10(self._high))
        while self._high / step < 4:
            step /= 2
        return [step * number for number in range(int(self._high / step) + 1)]


def _x(place: int, count: int) -> float:
    room = _WIDTH - _MARGIN - 60
    return _MARGIN + 25 + (room * place / (count - 1) if count > 1 else room / 2)


def _open(height: float, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" role="img"'
        f' aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">'
    )


def _text(x: float, y: float, words: str, anchor: str, style: str = "") -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )
