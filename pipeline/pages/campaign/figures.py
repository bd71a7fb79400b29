"""Pareto and parity plots as inline SVG. Points carry their tooltip in ``data-tip`` and link to their card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from redoxa.pipeline.pages.kit.model import CalibrationRow, Objective
from redoxa.pipeline.pages.kit.svg import Scale, axes, join, polyline, span, tag
from redoxa.pipeline.pages.kit.text import display_scale, formula_text, short_label, shown

WIDTH, HEIGHT = 720.0, 440.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 18.0, 16.0, 58.0
PARITY = 340.0
FEW_POINTS, SQUARE = 500, 8.0


@dataclass(frozen=True)
class PlotPoint:
    """A candidate in the Pareto plot.

    Attributes:
        x, y: values in shown units.
        spread_x, spread_y: their sigmas.
        kind: `front` is on the Pareto front, `passed` passed every gate, `other` did not.
        number: number of its card, or None.
        name: formula, plain text.
        tip: lines of the tooltip.
        href: where a click leads.
    """

    x: float
    y: float
    spread_x: float
    spread_y: float
    kind: Literal["front", "passed", "other"]
    number: int | None
    name: str
    tip: str
    href: str


@dataclass(frozen=True)
class Axis:
    """One axis of the Pareto plot: its title, and the target range in shown units."""

    title: str
    direction: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Plot:
    """A finished plot, how many points did not fit its frame, and how many lie under others and were left out."""

    svg: Markup
    outside: int
    covered: int


def axis_of(objective: Objective, unit: str) -> Axis:
    """Axis of an objective; `unit` is the unit its estimates are stored in."""
    factor, shown_unit = display_scale(objective.name, unit)
    low = None if objective.min is None else factor * objective.min
    high = None if objective.max is None else factor * objective.max
    name = short_label(objective.name)
    title = f"{name} ({shown_unit})" if shown_unit else name
    return Axis(title, objective.direction, low, high)


def pareto_plot(points: Sequence[PlotPoint], x: Axis, y: Axis) -> Plot:
    """Two objectives against one another, the target ranges shaded, the front numbered and named.

    The frame fits the candidates that passed; others are drawn where they fall inside it and counted where not, since
    one failed relaxation with a voltage of -20 V would leave the rest a single dot.
    """
    main = [p for p in points if p.kind != "other"] or list(points)
    sx = Scale(*_domain([p.x for p in main], x), LEFT, WIDTH - RIGHT)
    sy = Scale(*_domain([p.y for p in main], y), HEIGHT - BOTTOM, TOP)
    inside = [p for p in points if sx.holds(p.x) and sy.holds(p.y)]
    order = {"other": 0, "passed": 1, "front": 2}
    drawn = sorted(_thinned(inside, sx, sy), key=lambda p: (order[p.kind], -(p.number or 0)))
    body = join(
        [
            _target(x, y, sx, sy),
            axes(sx, sy, f"{x.title}, {x.direction}", f"{y.title}, {y.direction}"),
            join(_bars(p, sx, sy) for p in drawn if p.kind == "front"),
            join(_point(p, sx, sy) for p in drawn),
            _names([p for p in reversed(drawn) if p.number is not None], drawn, sx, sy),
        ]
    )
    svg = tag(
        "svg",
        body,
        class_="plot pareto",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="group",
        aria_label=f"{x.title} against {y.title} for {len(inside)} candidates; the same numbers are in the table",
    )
    return Plot(svg, len(points) - len(inside), len(inside) - len(drawn))


def _thinned(points: Sequence[PlotPoint], sx: Scale, sy: Scale) -> Sequence[PlotPoint]:
    """Of many points, in each square of `SQUARE` pixels the front, what has a card, and the first of the others.

    A browser is slow with ten thousand links, and points that cover one another tell no more than one of them.
    """
    if len(points) <= FEW_POINTS:
        return points
    kept: dict[object, PlotPoint] = {}
    for p in points:
        alone = p.kind == "front" or p.number is not None
        kept.setdefault(id(p) if alone else (p.kind, sx(p.x) // SQUARE, sy(p.y) // SQUARE), p)
    return list(kept.values())


def _domain(values: list[float], axis: Axis) -> tuple[float, float]:
    limits = [v for v in (axis.low, axis.high) if v is not None]
    low, high = span([*values, *limits], 0.08)
    # Nothing that is plotted has a natural value below zero when none of the points does: keep zero as the edge.
    return (0.0, high) if low < 0 <= min([*values, *limits], default=0.0) else (low, high)


def _target(x: Axis, y: Axis, sx: Scale, sy: Scale) -> Markup:
    left = sx(sx.clip(x.low)) if x.low is not None else sx.start
    right = sx(sx.clip(x.high)) if x.high is not None else sx.end
    bottom = sy(sy.clip(y.low)) if y.low is not None else sy.start
    top = sy(sy.clip(y.high)) if y.high is not None else sy.end
    return tag("rect", class_="target", x=left, y=top, width=max(0, right - left), height=max(0, bottom - top), rx=4.0)


def _bars(p: PlotPoint, sx: Scale, sy: Scale) -> Markup:
    return error_bars((p.x, p.spread_x), (p.y, p.spread_y), sx, sy)


def error_bars(x: tuple[float, float], y: tuple[float, float], sx: Scale, sy: Scale) -> Markup:
    """One sigma to each side in both directions, cut at the frame; `x` and `y` are (value, sigma)."""
    at_x, at_y = sx(x[0]), sy(y[0])
    parts = []
    if x[1] > 0:
        ends = sx(sx.clip(x[0] - x[1])), sx(sx.clip(x[0] + x[1]))
        parts.append(tag("line", class_="error", x1=ends[0], x2=ends[1], y1=at_y, y2=at_y))
    if y[1] > 0:
        ends = sy(sy.clip(y[0] - y[1])), sy(sy.clip(y[0] + y[1]))
        parts.append(tag("line", class_="error", x1=at_x, x2=at_x, y1=ends[0], y2=ends[1]))
    return join(parts)


def _point(p: PlotPoint, sx: Scale, sy: Scale) -> Markup:
    at_x, at_y = sx(p.x), sy(p.y)
    if p.kind == "other":
        return tag("circle", class_="pt other", cx=at_x, cy=at_y, r=3.5, data_tip=p.tip)
    radius = 10.0 if p.number is not None else 5.5
    marks = [
        tag("circle", class_="hit", cx=at_x, cy=at_y, r=16.0),
        tag("circle", class_=f"pt {p.kind}", cx=at_x, cy=at_y, r=radius),
    ]
    if p.number is not None:
        marks.append(tag("text", str(p.number), class_="pt-number", x=at_x, y=at_y, dy="0.36em", text_anchor="middle"))
    name = f"{p.number or ''} {p.tip}".strip().replace("\n", ", ")  # the number is what is seen
    return tag("a", join(marks), href=p.href, class_="point", data_tip=p.tip, aria_label=name)


def _names(named: Sequence[PlotPoint], drawn: Sequence[PlotPoint], sx: Scale, sy: Scale) -> Markup:
    """Formulas beside their points, left out where no place around the point is free."""
    taken = [(sx(p.x) - 9, sy(p.y) - 9, sx(p.x) + 9, sy(p.y) + 9) for p in drawn if p.kind != "other"]
    parts = []
    for p in named:
        at_x, at_y, wide = sx(p.x), sy(p.y), 6.6 * len(p.name)
        places = [
            (at_x + 14, at_y + 4, "start", at_x + 14),
            (at_x - 14, at_y + 4, "end", at_x - 14 - wide),
            (at_x, at_y - 15, "middle", at_x - wide / 2),
            (at_x, at_y + 23, "middle", at_x - wide / 2),
        ]
        for tx, ty, anchor, left in places:
            box = (left, ty - 11, left + wide, ty + 4)
            free = all(box[2] < t[0] or box[0] > t[2] or box[3] < t[1] or box[1] > t[3] for t in taken)
            if free and box[0] > LEFT and box[2] < WIDTH - RIGHT and box[1] > TOP and box[3] < HEIGHT - BOTTOM:
                taken.append(box)
                parts.append(tag("text", p.name, class_="pt-name", x=tx, y=ty, text_anchor=anchor))
                break
    return join(parts)


def parity_plot(rows: Sequence[CalibrationRow]) -> Markup:
    """Predicted (x) against measured (y) of one property with both sigmas; simulated cells are hollow diamonds."""
    name = rows[0].name
    pairs = [(shown(name, r.predicted), shown(name, r.measured), r) for r in rows]
    ends = [v for a, b, _ in pairs for s in (a, b) for v in (s.number - s.spread, s.number + s.spread)]
    low, high = span(ends)
    sx = Scale(low, high, 70.0, PARITY - 12)
    sy = Scale(low, high, PARITY - 56, 12.0)
    unit = f" ({pairs[0][0].unit})" if pairs[0][0].unit else ""
    body = join(
        [
            axes(sx, sy, f"predicted{unit}", f"measured{unit}", about=(5, 5)),
            tag("path", class_="diagonal", d=polyline([(sx(low), sy(low)), (sx(high), sy(high))])),
            join(error_bars((a.number, a.spread), (b.number, b.spread), sx, sy) for a, b, _ in pairs),
            join(_diamond(sx(a.number), sy(b.number), row, a.text, b.text) for a, b, row in pairs),
        ]
    )
    return tag(
        "svg",
        body,
        class_="plot parity",
        viewBox=f"0 0 {PARITY:g} {PARITY:g}",
        role="img",
        aria_label=f"{short_label(name)}: predicted against measured for {len(rows)} cells; numbers in the table",
    )


def _diamond(x: float, y: float, row: CalibrationRow, predicted: str, measured: str) -> Markup:
    corners = [(x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)]
    kind = "simulated" if row.simulated else "real"
    words = f"{formula_text(row.formula)}\npredicted {predicted}\nmeasured {measured}"
    if row.simulated:
        words += "\nsimulated cell"
    return tag("path", class_=f"pt measured {kind}", d=polyline(corners, close=True), data_tip=words)


def by_property(rows: Iterable[CalibrationRow]) -> dict[str, list[CalibrationRow]]:
    """Rows grouped by property, properties in the order they first come."""
    groups: dict[str, list[CalibrationRow]] = {}
    for row in rows:
        groups.setdefault(row.name, []).append(row)
    return groups
