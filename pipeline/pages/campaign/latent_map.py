"""The map of the latent space: candidates among known electrodes, voltage by shade, verdict by shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from redoxa.data.records import Verdict
from redoxa.pipeline.pages.card.table import TableRow
from redoxa.pipeline.pages.kit.model import LatentPoint, LatentView
from redoxa.pipeline.pages.kit.svg import Scale, join, polyline, span, tag
from redoxa.pipeline.pages.kit.text import formula_text, number, shown

WIDTH, HEIGHT, MARGIN = 720.0, 440.0, 20.0

SHADES_V = (1.0, 2.0, 3.0, 4.0)
"""Voltages at which the shade changes."""

LISTED = 10
"""Candidates in the table of those least like what the model knows."""

_DRAWN_LAST = {Verdict.FAIL: 0, Verdict.ERROR: 1, Verdict.UNDETERMINED: 2, Verdict.PASS: 3}


@dataclass(frozen=True)
class MapPoint:
    """A candidate on the map."""

    row: TableRow
    at: LatentPoint
    voltage_V: float | None
    outside: bool

    @property
    def href(self) -> str:
        """Its card, else its row in the table."""
        return f"#{self.row.card.anchor}" if self.row.card else f"#{self.row.anchor}"

    @property
    def verdict(self) -> Verdict:
        """What the screening says of it."""
        return self.row.row.result.verdict

    @property
    def odd(self) -> str:
        """Its anomaly score in words."""
        return "no symmetric form" if self.at.anomaly is None else number(self.at.anomaly, 1)

    @property
    def tip(self) -> str:
        """Lines of the tooltip."""
        result = self.row.row.result
        voltage = result.estimates.get("average_voltage")
        said = f"voltage {shown('average_voltage', voltage).text}" if voltage else "voltage not known"
        score = f"anomaly score {self.odd}{', outside what the model knows' if self.outside else ''}"
        return "\n".join([formula_text(result.formula), said, score, f"screening: {verdict_word(self.verdict)}"])


@dataclass(frozen=True)
class MapPanel:
    """The finished map, and those that are least like what the model knows, the oddest first."""

    svg: Markup
    placed: int
    outside: int
    oddest: tuple[MapPoint, ...]
    shades: tuple[tuple[str, str], ...]


def verdict_word(verdict: Verdict) -> str:
    """A verdict as the page calls it."""
    return {Verdict.PASS: "passed", Verdict.FAIL: "rejected"}.get(verdict, verdict.value)


def map_panel(view: LatentView, rows: Sequence[TableRow]) -> MapPanel | None:
    """The map, or None where nothing was placed."""
    by_id = {row.row.candidate.id: row for row in rows}
    points = [_map_point(by_id[p.candidate_id], p, view.outside) for p in view.points if p.candidate_id in by_id]
    if not points:
        return None
    sx = Scale(*span([*(x for x, _ in view.known), *(p.at.x for p in points)], 0.03), MARGIN, WIDTH - MARGIN)
    sy = Scale(*span([*(y for _, y in view.known), *(p.at.y for p in points)], 0.03), HEIGHT - MARGIN, MARGIN)
    drawn = sorted(points, key=lambda p: (_DRAWN_LAST[p.verdict], p.at.candidate_id))
    outside = sum(p.outside for p in points)
    svg = tag(
        "svg",
        tag("rect", class_="frame", x=1.0, y=1.0, width=WIDTH - 2, height=HEIGHT - 2, rx=8.0),
        _known(view, sx, sy),
        join(_mark(p, sx(p.at.x), sy(p.at.y)) for p in drawn),
        class_="plot latent",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="group",
        aria_label=f"{len(points)} candidates among {len(view.known)} known electrodes in the plane of the latent "
        f"space; {outside} lie outside what the model knows",
    )
    odd = sorted(points, key=lambda p: (-(p.at.anomaly if p.at.anomaly is not None else 1e9), p.at.candidate_id))
    return MapPanel(svg, len(points), outside, tuple(odd[:LISTED]), _shades())


def _map_point(row: TableRow, at: LatentPoint, limit: float) -> MapPoint:
    voltage = row.row.result.estimates.get("average_voltage")
    outside = at.anomaly is None or at.anomaly > limit
    return MapPoint(row, at, voltage.value if voltage else None, outside)


def shade(voltage_V: float | None) -> str:
    """Class of a point's shade: ``h1`` lowest to ``h5`` highest, ``h0`` where the voltage is not known."""
    return "h0" if voltage_V is None else f"h{1 + sum(voltage_V >= limit for limit in SHADES_V)}"


def _shades() -> tuple[tuple[str, str], ...]:
    """Classes and what they mean, for the legend."""
    between = [f"{number(a, 0)} to {number(b, 0)} V" for a, b in pairwise(SHADES_V)]
    words = [f"below {number(SHADES_V[0], 0)} V", *between, f"{number(SHADES_V[-1], 0)} V and above"]
    return tuple((f"h{i + 1}", text) for i, text in enumerate(words))


def _known(view: LatentView, sx: Scale, sy: Scale) -> Markup:
    """All known electrodes as one path of dots."""
    dots = "".join(f"M{sx(x):.0f} {sy(y):.0f}h0" for x, y in view.known)
    return tag("path", class_="known", d=dots, aria_hidden="true")


def _mark(p: MapPoint, x: float, y: float) -> Markup:
    marks = [tag("circle", class_="hit", cx=x, cy=y, r=12.0)]
    if p.outside:
        marks.append(tag("circle", class_="halo", cx=x, cy=y, r=10.5))
    marks.append(symbol(p.verdict, x, y, f"pt {shade(p.voltage_V)}"))
    return tag("a", join(marks), href=p.href, class_="point", data_tip=p.tip, aria_label=p.tip.replace("\n", ", "))


def symbol(verdict: Verdict, x: float, y: float, class_: str) -> Markup:
    """Disc: passed. Triangle: rejected. Square: undetermined or an error."""
    if verdict is Verdict.PASS:
        return tag("circle", class_=class_, cx=x, cy=y, r=6.5)
    if verdict is Verdict.FAIL:
        corners = [(x, y - 5.5), (x + 5.2, y + 4.0), (x - 5.2, y + 4.0)]
    else:
        corners = [(x - 4.5, y - 4.5), (x + 4.5, y - 4.5), (x + 4.5, y + 4.5), (x - 4.5, y + 4.5)]
    return tag("path", class_=class_, d=polyline(corners, close=True))
