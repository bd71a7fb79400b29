"""Figures of the scorecard as inline SVG: shares with intervals, cumulative distributions, bars by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from redoxa.generators.evaluate.values import Value
from redoxa.pipeline.pages.kit.svg import Scale, axes, join, polyline, tag

WIDTH, HEIGHT = 520.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 14.0, 12.0, 54.0
COLOURS = 6
"""Series colours in scorecard.css; more sources than that repeat them."""


@dataclass(frozen=True)
class Series:
    """One line or one set of bars.

    Attributes:
        name: for the legend and tooltips.
        style: CSS class: `s0` to `s5` for sources, `real` for real crystals.
        numbers: what is shown of it.
    """

    name: str
    style: str
    numbers: tuple[float, ...]


def style(i: int) -> str:
    """CSS class of the i-th source."""
    return f"s{i % COLOURS}"


def share_strip(value: Value, css: str) -> Markup:
    """A share on an axis from 0 to 1 with its interval."""
    if value.value is None:
        return Markup("")
    scale = Scale(0.0, 1.0, 3.0, 97.0)
    parts = [tag("line", class_="rail", x1=3.0, x2=97.0, y1=6.0, y2=6.0)]
    if value.low is not None and value.high is not None:
        parts.append(tag("line", class_="interval", x1=scale(value.low), x2=scale(value.high), y1=6.0, y2=6.0))
    parts.append(tag("circle", class_="mark", cx=scale(value.value), cy=6.0, r=3.2))
    return tag("svg", join(parts), class_=f"share {css}", viewBox="0 0 100 12", aria_hidden="true")


def cumulative_plot(series: Sequence[Series], title: str, low: float, high: float) -> Markup:
    """Share of each series that is at most x, over [low, high]; what lies outside is counted, not drawn."""
    sx, sy = Scale(low, high, LEFT, WIDTH - RIGHT), Scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    parts = [axes(sx, sy, title, "share at most x", about=(6, 5))]
    for one in series:
        ordered = np.sort(np.asarray(one.numbers, dtype=float))
        n = len(ordered)
        inside = ordered[(ordered >= low) & (ordered <= high)]
        below = float((ordered < low).sum()) / n
        points = [(sx(low), sy(below))]
        for i, x in enumerate(inside, 1):
            points += [(sx(float(x)), points[-1][1]), (sx(float(x)), sy(below + i / n))]
        points.append((sx(high), points[-1][1]))
        beyond = int((ordered > high).sum())
        words = f"{one.name}\nmedian {np.median(ordered):.3g}, n = {n}"
        words += f"\n{beyond} beyond the axis" if beyond else ""
        parts.append(tag("path", class_=f"curve {one.style}", d=polyline(points), data_tip=words))
    return _figure(parts, f"Cumulative distribution: {title}")


def bar_plot(
    classes: Sequence[str],
    series: Sequence[Series],
    x_title: str,
    y_title: str,
    intervals: Sequence[Sequence[tuple[float, float]]] = (),
) -> Markup:
    """Bars side by side in each class; `intervals` [series][class] are drawn as whiskers."""
    tops = [v for one in series for v in one.numbers] + [high for row in intervals for _, high in row]
    sx = Scale(0.0, float(len(classes)), LEFT, WIDTH - RIGHT)
    sy = Scale(0.0, max(max(tops, default=0.0) * 1.05, 0.05), HEIGHT - BOTTOM, TOP)
    parts = [axes(sx, sy, x_title, y_title, about=(0, 5))]
    wide = 0.8 / len(series)
    for j, one in enumerate(series):
        for i, value in enumerate(one.numbers):
            left, right = sx(i + 0.1 + j * wide), sx(i + 0.1 + (j + 1) * wide) - 1.0
            words = f"{one.name}\n{classes[i]}: {value:.3g}"
            parts.append(
                tag("rect", class_=f"column {one.style}", x=left, y=sy(value), width=max(1.0, right - left),
                    height=sy(0.0) - sy(value), data_tip=words)
            )  # fmt: skip
            if intervals:
                low, high = intervals[j][i]
                middle = (left + right) / 2
                parts.append(tag("line", class_="whisker", x1=middle, x2=middle, y1=sy(low), y2=sy(high)))
    for i, name in enumerate(classes):
        parts.append(tag("text", name, class_="tick", x=sx(i + 0.5), y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    return _figure(parts, f"{y_title} by {x_title}")


def _figure(parts: Sequence[Markup], words: str) -> Markup:
    return tag(
        "svg", join(parts), class_="plot card-plot", viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=words
    )
