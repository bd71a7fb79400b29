"""Small figures inside a candidate's card: a value in its target range, and the furnace programme."""

from __future__ import annotations

from markupsafe import Markup

from redoxa.data.lab.recipe import FurnaceStep
from redoxa.pipeline.pages.kit.svg import Scale, join, polyline, span, tag
from redoxa.pipeline.pages.kit.text import Shown, duration, number

ROOM_C = 25.0


def range_strip(predicted: Shown, low: float | None, high: float | None, measured: Shown | None = None) -> Markup:
    """A value with its sigma on a short axis whose target range is shaded; a diamond marks what was measured."""
    ends = [v for v in (low, high) if v is not None]
    for seen in (predicted, measured):
        if seen is not None:
            ends += [seen.number - 1.3 * seen.spread, seen.number + 1.3 * seen.spread]
    scale = Scale(*span(ends, 0.12), 2.0, 158.0)
    left = scale(low) if low is not None else scale.start
    right = scale(high) if high is not None else scale.end
    at = scale(predicted.number)
    parts = [
        tag("line", class_="rail", x1=2.0, x2=158.0, y1=11.0, y2=11.0),
        tag("rect", class_="target", x=left, y=3.0, width=right - left, height=16.0, rx=3.0),
        tag(
            "line",
            class_="spread",
            x1=scale(predicted.number - predicted.spread),
            x2=scale(predicted.number + predicted.spread),
            y1=11.0,
            y2=11.0,
        ),
        tag("circle", class_="value", cx=at, cy=11.0, r=4.5),
    ]
    if measured is not None:
        m = scale(measured.number)
        diamond = polyline([(m, 5), (m + 6, 11), (m, 17), (m - 6, 11)], close=True)
        parts.append(tag("path", class_="measured", d=diamond))
    words = f"{predicted.text}; target {_range(low, high, predicted.unit)}"
    return tag("svg", join(parts), class_="strip", viewBox="0 0 160 22", role="img", aria_label=words, data_tip=words)


def _range(low: float | None, high: float | None, unit: str) -> str:
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)} {unit}".strip()
    if low is not None:
        return f"at least {number(low)} {unit}".strip()
    return f"at most {number(high or 0.0)} {unit}".strip()


def target_text(low: float | None, high: float | None, unit: str) -> str:
    """A target range in words: ``2.5 to 4.3 V``, ``at least 100 mAh/g``."""
    return _range(low, high, unit)


def furnace_plot(steps: tuple[FurnaceStep, ...]) -> Markup:
    """Temperature against time of a furnace programme, from room temperature on; cooling at the end is dashed."""
    points = [(0.0, ROOM_C)]
    holds = []
    for step in steps:
        time, temperature = points[-1]
        reached = time + abs(step.temperature_C - temperature) / step.ramp_C_per_min / 60
        points += [(reached, step.temperature_C), (reached + step.dwell_h, step.temperature_C)]
        holds.append((reached + step.dwell_h / 2, step))
    total = max(points[-1][0], 1e-6)
    sx = Scale(0.0, total * 1.12, 8.0, 352.0)
    sy = Scale(0.0, max(t for _, t in points) * 1.3, 84.0, 6.0)
    line = [(sx(t), sy(c)) for t, c in points]
    end = (sx(total * 1.1), sy(ROOM_C))
    area = polyline([(line[0][0], 84.0), *line, (line[-1][0], 84.0)], close=True)
    parts = [
        tag("path", class_="heat", d=area),
        tag("path", class_="programme", d=polyline(line)),
        tag("line", class_="axis", x1=8.0, x2=352.0, y1=84.0, y2=84.0),
    ]
    if points[-1][1] > 2 * ROOM_C:
        parts.append(tag("path", class_="cooling", d=polyline([line[-1], end])))
    for middle, step in (hold for hold in holds if hold[1].dwell_h > 0):
        text = f"{number(step.temperature_C, 0)} °C, {number(step.dwell_h)} h"
        x = min(max(sx(middle), 44.0), 316.0)
        parts.append(tag("text", text, class_="tick", x=x, y=sy(step.temperature_C) - 6, text_anchor="middle"))
    parts.append(tag("text", f"{number(total, 0)} h", class_="tick", x=sx(total), y=98.0, text_anchor="end"))
    words = "Furnace programme: " + "; ".join(
        f"{number(s.temperature_C, 0)} °C for {duration(3600 * s.dwell_h)} at {number(s.ramp_C_per_min)} °C/min"
        for s in steps
    )
    return tag("svg", join(parts), class_="furnace", viewBox="0 0 360 102", role="img", aria_label=words)
