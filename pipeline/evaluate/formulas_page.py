"""The scorecard of models of formulas as one HTML file: a table, and a map and the elements of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ase.data import atomic_names, chemical_symbols
from markupsafe import Markup

from redoxa.generators.composition.scores import CLOUD, FormulaScore
from redoxa.generators.evaluate.elements import ElementRatio
from redoxa.pipeline.evaluate.figures import style
from redoxa.pipeline.evaluate.formula_columns import COLLAPSE, COLUMNS, Column, Shown
from redoxa.pipeline.evaluate.formulas import FormulaCard, FormulaRow
from redoxa.pipeline.evaluate.scorecard import ratio_text
from redoxa.pipeline.pages.campaign.periodic_table import CELL, GAP, positions
from redoxa.pipeline.pages.kit.page import asset, environment, policy
from redoxa.pipeline.pages.kit.svg import Scale, join, span, tag
from redoxa.pipeline.pages.kit.text import count, duration, number, timestamp

STYLES: Final = ("base.css", "figures.css", "scorecard.css", "formulas.css", "print.css")

WIDTH, HEIGHT, MARGIN = 520.0, 400.0, 14.0

STEPS: Final = ((0.25, "r0"), (0.5, "r1"), (0.8, "r2"), (1.25, "r3"), (2.0, "r4"), (4.0, "r5"))
"""Ratios below which an element is of a class; above all of them `r6`."""

Places = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A row of a table: the name with its colour, and its numbers or why there are none."""

    row: FormulaRow
    css: str
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Pane:
    """A map and the elements of one row."""

    row: FormulaRow
    css: str
    map: Markup
    outside: int
    elements: Markup
    over: str
    under: str


def formulas_page(card: FormulaCard) -> str:
    """The scorecard as one HTML text."""
    css = "\n".join(asset("templates", name) for name in STYLES)
    script = asset("templates", "ui.js")
    templates = environment()
    templates.filters.update({f.__name__: f for f in (count, duration, number, timestamp)})
    return templates.get_template("formulas.html.j2").render(
        card=card,
        created=card.created,
        headline=_headline(card),
        lines=_lines(card, COLUMNS),
        columns=COLUMNS,
        collapse=_lines(card, COLLAPSE),
        collapse_columns=COLLAPSE,
        panes=[_pane(card, row, row.score, css) for row, css in _styled(card) if row.score is not None],
        cloud=CLOUD,
        policy=policy([css], [script]),
        style=Markup(css),
        script=Markup(script),
    )


def _headline(card: FormulaCard) -> str:
    models = [row.name.rsplit("/", 1)[-1] for row in card.rows if row.role == "model"]
    if not models:
        return "The floor of models of formulas"
    shown = models[0] if len(models) == 1 else f"{', '.join(models[:-1])} and {models[-1]}"
    return f"{shown}, judged by {count(len(card.judge.held_out), 'held-out formula')}"


def _styled(card: FormulaCard) -> list[tuple[FormulaRow, str]]:
    """Rows with the classes of their colours; data are grey."""
    judged = [row for row in card.rows if row.role != "data"]
    return [(row, "real" if row.role == "data" else style(judged.index(row))) for row in card.rows]


def _lines(card: FormulaCard, columns: Sequence[Column]) -> list[Line]:
    return [
        Line(row, css, tuple(column.show(row.score) for column in columns) if row.score else ())
        for row, css in _styled(card)
    ]


def _pane(card: FormulaCard, row: FormulaRow, score: FormulaScore, css: str) -> Pane:
    sx, sy = _window(card.judge.ground)
    inside = [(x, y) for x, y in score.portrait.places if sx.holds(x) and sy.holds(y)]
    return Pane(
        row,
        css,
        _map(card.judge.ground, inside, css, (sx, sy), row.name),
        len(score.portrait.places) - len(inside),
        _elements(score, card.judge.data_presence, row.name),
        ", ".join(map(ratio_text, score.bias.over)) or "none for sure",
        ", ".join(map(ratio_text, score.bias.under)) or "none for sure",
    )


def _window(ground: Places) -> tuple[Scale, Scale]:
    """The part of the plane that held-out formulas take, with air around."""
    xs, ys = (span((place[axis] for place in ground), 0.12) for axis in (0, 1))
    return Scale(*xs, MARGIN, WIDTH - MARGIN), Scale(*ys, HEIGHT - MARGIN, MARGIN)


def _map(ground: Places, places: Places, css: str, scales: tuple[Scale, Scale], name: str) -> Markup:
    """Held-out formulas in grey, those of a row over them in its colour."""
    return tag(
        "svg",
        tag("rect", class_="frame", x=1.0, y=1.0, width=WIDTH - 2, height=HEIGHT - 2, rx=8.0),
        tag("path", class_="known", d=_dots(ground, scales)),
        tag("path", class_=f"drawn {css}", d=_dots(places, scales)),
        class_="plot formula-map",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=f"{name}: {len(places)} formulas over {len(ground)} held-out ones in their plane",
    )


def _dots(places: Places, scales: tuple[Scale, Scale]) -> str:
    sx, sy = scales
    return "".join(f"M{sx(x):.0f} {sy(y):.0f}h0" for x, y in places)


def _elements(score: FormulaScore, data: Mapping[str, float], name: str) -> Markup:
    """A periodic table of how much more often an element occurs than in the data."""
    cells = [_cell(z, place, score, data.get(chemical_symbols[z], 0.0)) for z, place in positions().items()]
    width, height = 18 * (CELL + GAP) - GAP, 9.4 * (CELL + GAP)
    return tag(
        "svg",
        join(cells),
        class_="ptable ratios",
        viewBox=f"-2 -2 {width + 4:g} {height + 4:g}",
        role="img",
        aria_label=f"{name}: share of samples with each element over that of the data",
    )


def _cell(z: int, place: tuple[int, int], score: FormulaScore, real: float) -> Markup:
    """An element, in colour where it surely occurs too often or too seldom."""
    x, y = place[0] * (CELL + GAP), place[1] * (CELL + GAP) - (0.6 * CELL if place[1] > 7 else 0.0)
    symbol = chemical_symbols[z]
    drawn = score.portrait.presence.get(symbol, 0.0)
    known = drawn > 0 or real > 0
    parts = [
        tag("rect", x=x, y=y, width=CELL, height=CELL, rx=4.0),
        tag("text", symbol, class_="symbol", x=x + CELL / 2, y=y + (15 if known else 21), text_anchor="middle"),
    ]
    if not known:
        return tag("g", join(parts), class_="el absent")
    ratio = score.portrait.ratios[symbol]
    text = number(ratio.ratio, 1 if ratio.ratio < 9.95 else 0) if drawn > 0 else "0"
    parts.append(tag("text", text, class_="n", x=x + CELL / 2, y=y + 28, text_anchor="middle"))
    tip = f"{symbol}, {atomic_names[z]}\n{_percent(drawn)} of samples\n{_percent(real)} of the data\n"
    tip += f"ratio {number(ratio.ratio, 2)} ({number(ratio.low, 2)}–{number(ratio.high, 2)})"
    return tag("g", join(parts), class_=f"el {_step(ratio)}", data_tip=tip)


def _step(ratio: ElementRatio) -> str:
    """Class of the colour of a ratio; `r3`, none, where it may well be 1."""
    if ratio.low <= 1.0 <= ratio.high:
        return "r3"
    return next((css for limit, css in STEPS if ratio.ratio < limit), "r6")


def _percent(part: float) -> str:
    return f"{number(100 * part, 2)} %"
