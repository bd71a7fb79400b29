"""Inline SVG in a few lines: escaped tags, a linear scale with round ticks, and axes.

Own figures rather than a plotting library: the charts here need points, bars and error bars with tooltips. That is some
20 kB of readable SVG which follows the page's colours, prints, and can be tabbed through, against 1.5 MB for plotly's
smallest build that holds them, in a file that should stay below 2 MB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape


def tag(name: str, *children: Markup | str, **attributes: str | float | None) -> Markup:
    """An element; attributes and plain strings are escaped. ``class_`` is class, ``data_tip`` is data-tip.

    Attributes that are None are left out; floats are written with at most two decimals.
    """
    texts = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(str(escape(child)) for child in children)
    return Markup(f"<{name}{texts}>{inner}</{name}>") if inner else Markup(f"<{name}{texts}/>")


def join(parts: Iterable[Markup]) -> Markup:
    """Parts one after the other."""
    return Markup("").join(parts)


def _short(value: str | float) -> str:
    if isinstance(value, str):
        return value
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def polyline(points: Iterable[tuple[float, float]], *, close: bool = False) -> str:
    """The ``d`` of a path through points."""
    body = "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
    return f"M{body}{'Z' if close else ''}"


@dataclass(frozen=True)
class Scale:
    """Linear map of [low, high] onto [start, end] (pixels)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Whether a value lies on the axis."""
        return self.low <= value <= self.high

    def clip(self, value: float) -> float:
        """The value, moved onto the axis."""
        return min(self.high, max(self.low, value))

    def ticks(self, about: int = 6) -> list[float]:
        """Round numbers on the axis, in steps of 1, 2 or 5 times a power of ten."""
        step = _round_step(self.high - self.low, about)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 10) for i in range(first, last + 1)]


def _round_step(length: float, about: int) -> float:
    power = 10.0 ** math.floor(math.log10(length / about))
    return min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(length / step - about))


def span(values: Iterable[float], padding: float = 0.06) -> tuple[float, float]:
    """Smallest and largest value with some air; never empty, never without width."""
    numbers = [v for v in values if math.isfinite(v)]
    if not numbers:
        return 0.0, 1.0
    low, high = min(numbers), max(numbers)
    if high - low < 1e-9 * max(1.0, abs(high)):
        half = 0.05 * abs(high) or 0.5
        return low - half, high + half
    air = padding * (high - low)
    return low - air, high + air


def tick_text(value: float, step: float) -> str:
    """A tick with as many decimals as its step needs, and a true minus."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return f"{value:.{decimals}f}".replace("-", "\u2212")


def axes(x: Scale, y: Scale, x_title: str, y_title: str, about: tuple[int, int] = (6, 6)) -> Markup:
    """Grid lines, tick labels and titles of a plot whose frame is spanned by two scales (y grows upward).

    `about` is how many ticks along x and y; none along x where it is 0.
    """
    parts = []
    xs, ys = x.ticks(about[0]) if about[0] else [], y.ticks(about[1])
    for value in xs:
        at = x(value)
        parts.append(tag("line", class_="grid", x1=at, x2=at, y1=y.start, y2=y.end))
        parts.append(tag("text", _tick(value, xs), class_="tick", x=at, y=y.start + 20, text_anchor="middle"))
    for value in ys:
        at = y(value)
        parts.append(tag("line", class_="grid", x1=x.start, x2=x.end, y1=at, y2=at))
        parts.append(tag("text", _tick(value, ys), class_="tick", x=x.start - 8, y=at, dy="0.35em", text_anchor="end"))
    parts.append(tag("path", class_="axis", d=polyline([(x.start, y.end), (x.start, y.start), (x.end, y.start)])))
    middle_x, middle_y = (x.start + x.end) / 2, (y.start + y.end) / 2
    parts.append(tag("text", x_title, class_="title", x=middle_x, y=y.start + 44, text_anchor="middle"))
    parts.append(
        tag(
            "text",
            y_title,
            class_="title",
            text_anchor="middle",
            transform=f"translate({_short(x.start - 52)} {_short(middle_y)}) rotate(-90)",
        )
    )
    return join(parts)


def _tick(value: float, ticks: list[float]) -> str:
    return tick_text(value, ticks[1] - ticks[0] if len(ticks) > 1 else 0.01)
