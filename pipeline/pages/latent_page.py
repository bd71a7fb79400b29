"""The pages of `redoxa latent`: a map among known electrodes, a table, and pictures of the crystals; one HTML file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ase.data import chemical_symbols
from markupsafe import Markup

from redoxa.data.records import Crystal
from redoxa.pipeline.pages.kit.latent_model import (
    Anomalies,
    Ground,
    Interpolation,
    Judged,
    Neighbour,
    Neighbours,
    Place,
    Step,
    space_group,
)
from redoxa.pipeline.pages.kit.page import asset, environment, policy
from redoxa.pipeline.pages.kit.projection import gradients, picture
from redoxa.pipeline.pages.kit.svg import Scale, join, polyline, span, tag
from redoxa.pipeline.pages.kit.text import count, formula_html, formula_text, number, timestamp
from redoxa.pipeline.pages.kit.viewer import scenes

STYLES: Final = ("base.css", "figures.css", "cards.css", "latent.css", "print.css")

WIDTH, HEIGHT, MARGIN = 720.0, 440.0, 26.0

APART = 34.0
"""Least distance between marks that bear a name, in units of the map; those between bear none."""

LEAST_SHOWN = 0.45
"""Of the width and height that known electrodes take."""

MOST_PICTURES = 12

WORDS: Final = frozenset({"Formula", "File", "Voltage", "Remark"})
"""Columns that hold words; numbers stand at the right."""

GIVEN: Final = ("given", "given crystal")
GROUND: Final = (("halo", "outside what is known"), ("known", "known electrode"))

SCORE: Final = (
    "The anomaly score says how unlike the crystals that the network has learned from one is, in standard deviations "
    "of theirs: how much more surprising it is to write, and thrice how much farther from the middle of the space it "
    "lies than a typical one. Above {} it lies outside: three standard deviations, or twice the typical distance; a "
    "convention, fitted to nothing. It sees elements and symmetry far better than geometry: atoms that are moved may "
    "leave it as it was. Outside means unlike what is known, not wrong; but there the network's opinion, "
    "and perhaps that of the potential, deserves less trust."
)


@dataclass(frozen=True)
class Mark:
    """A mark on the map.

    Attributes:
        place: where.
        name: drawn in it, one to three letters; empty for none.
        tip: lines of the tooltip.
        kind: class of its style: ``given``, ``made``, ``empty`` or ``near``.
        outside: whether it lies outside what is known.
    """

    place: Place
    name: str
    tip: str
    kind: str
    outside: bool = False


@dataclass(frozen=True)
class Figure:
    """A crystal as a picture with its caption."""

    svg: Markup
    title: Markup
    text: str


@dataclass(frozen=True)
class View:
    """What a page shows."""

    title: str
    headline: Markup
    lead: str
    map: Markup
    caption: str
    legend: tuple[tuple[str, str], ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[Markup | str, ...], ...]
    crystals: tuple[tuple[Crystal, str, str], ...]
    """Each with its heading and the text below."""
    notes: tuple[str, ...]
    ground: Ground


def interpolation_page(found: Interpolation) -> str:
    """The page of a way between two crystals."""
    came = [(step, step.crystal) for step in found.steps if step.crystal is not None]
    gap = f" At t = {', '.join(f'{t:.3g}' for t in found.missing)} nothing came." if found.missing else ""
    words = "They are as the decoder writes them: nothing is relaxed or screened yet."
    ways = count(len(found.steps), "point")
    view = View(
        title="Way through the latent space",
        headline=Markup("From {} to {}").format(*(formula_html(_formula(one)) for one in (found.first, found.last))),
        lead=f"{count(len(came), 'crystal')} at {ways} of the way.{gap} {words}",
        map=_map(found.ground, _way_marks(found), f"The way from {_text(found.first)} to {_text(found.last)}", found),
        caption="The line is the way; thin lines lead from its points to where the crystals written there lie.",
        legend=(GIVEN, ("made", "point of the way"), ("empty", "point where nothing came"), *GROUND),
        heads=("t", "Formula", "Space group", "Atoms", "Anomaly score", "Off the way"),
        rows=tuple(_step_row(step, found.ground.outside) for step in found.steps),
        crystals=tuple((crystal, f"t = {step.t:.3g}", _caption(crystal, step.score)) for step, crystal in came),
        notes=found.notes,
        ground=found.ground,
    )
    return _page(view)


def neighbours_page(found: Neighbours) -> str:
    """The page of the known electrodes nearest to a crystal."""
    ranked = list(enumerate(found.found, 1))
    marks = [Mark(x.place, str(i), f"{formula_text(x.crystal.formula)}\n{_volts(x)}", "near") for i, x in ranked[::-1]]
    view = View(
        title="Neighbours in the latent space",
        headline=Markup("Known electrodes near {}").format(formula_html(_formula(found.query))),
        lead=f"The nearest {len(ranked)} of {count(found.library, 'labelled electrode')}. 1 is the distance of a "
        "typical training crystal from the middle of the space. Voltages come from labels that ship: computed with "
        "CHGNet, not measured.",
        map=_map(found.ground, [*marks, *_given([found.query], found.ground)], f"Electrodes near {_text(found.query)}"),
        caption="Numbers are ranks, of those that have room.",
        legend=(GIVEN, ("near", "neighbour"), *GROUND),
        heads=("Rank", "Formula", "Space group", "Atoms", "Distance", "Voltage"),
        rows=tuple(_neighbour_row(i, one) for i, one in ranked),
        crystals=tuple((x.crystal, f"{i}", f"distance {number(x.distance, 2)}, {_volts(x)}") for i, x in ranked),
        notes=found.notes,
        ground=found.ground,
    )
    return _page(view)


def anomalies_page(found: Anomalies) -> str:
    """The page of how far outside the known crystals lie."""
    read = [one for one in found.judged if one.crystal is not None]
    total = count(len(read), "crystal")
    drawn = [(one.crystal, f"{i}", _caption(one.crystal, one.score)) for i, one in enumerate(read, 1) if one.crystal]
    view = View(
        title="Anomalies",
        headline=Markup(f"{len(found.outside)} of {total} outside what is known"),
        lead="The oddest first. Outside means unlike what the network has seen, not wrong.",
        map=_map(found.ground, _given(read, found.ground)[::-1], f"{total} among known electrodes"),
        caption="Numbers are ranks by the anomaly score, of those that have room.",
        legend=(GIVEN, *GROUND),
        heads=("Rank", "Formula", "File", "Space group", "Atoms", "Anomaly score", "Remark"),
        rows=tuple(_judged_row(i, one, found.ground) for i, one in enumerate(found.judged, 1)),
        crystals=tuple(drawn),
        notes=found.notes,
        ground=found.ground,
    )
    return _page(view)


def _page(view: View) -> str:
    crystals = view.crystals[:MOST_PICTURES]
    figures = [_figure(*one) for one in crystals]
    symbols = {chemical_symbols[z] for crystal, *_ in crystals for z in crystal.numbers}
    css = "\n".join(asset("templates", name) for name in STYLES)
    script = asset("templates", "ui.js")
    templates = environment()
    templates.filters.update({f.__name__: f for f in (count, number, timestamp)})
    return templates.get_template("latent_page.html.j2").render(
        view=view,
        figures=figures,
        more=len(view.crystals) - len(figures),
        gradients=gradients(symbols),
        words=WORDS,
        prose=("File", "Remark"),
        score=SCORE.format(number(view.ground.outside, 0)),
        created=datetime.now(UTC),
        policy=policy([css], [script]),
        style=Markup(css),
        script=Markup(script),
    )


def _figure(crystal: Crystal, title: str, text: str) -> Figure:
    drawn = picture(scenes({"crystal": crystal}, "X")["crystal"], f"Structure of {formula_text(crystal.formula)}")
    return Figure(drawn, Markup("{}: {}").format(title, formula_html(crystal.formula)), text)


def _way_marks(found: Interpolation) -> list[Mark]:
    """Points of the way, and the two crystals over its ends."""
    marks = []
    for i, step in enumerate(found.steps[1:-1], 2):
        what = formula_text(step.crystal.formula) if step.crystal else "nothing came"
        outside = step.crystal is not None and step.score > found.ground.outside
        said = [f"t = {step.t:.3g}", what, *([f"anomaly score {_score(step.score)}"] if step.crystal else [])]
        marks.append(Mark(step.at, str(i), "\n".join(said), "made" if step.crystal else "empty", outside))
    ends = zip((found.first, found.last), ("A", "B"), strict=True)
    return [*marks, *(mark for one, name in ends for mark in _given([one], found.ground, name))]


def _given(given: Sequence[Judged], ground: Ground, name: str = "") -> list[Mark]:
    """Given crystals; by their ranks where there are several."""
    return [
        Mark(
            one.place,
            name or (str(i) if len(given) > 1 else "A"),
            f"{one.name}\n{_text(one)}\nanomaly score {_score(one.score)}",
            "given",
            one.score > ground.outside,
        )
        for i, one in enumerate(given, 1)
        if one.place is not None
    ]


def _map(ground: Ground, marks: Sequence[Mark], label: str, way: Interpolation | None = None) -> Markup:
    """Marks among the known electrodes; those drawn last have the first right to their names."""
    written = [step.place for step in way.steps if step.place is not None] if way else []
    sx, sy = _window(ground, [*(mark.place for mark in marks), *written])
    dots = "".join(f"M{sx(x):.0f} {sy(y):.0f}h0" for x, y in ground.known if sx.holds(x) and sy.holds(y))
    return tag(
        "svg",
        tag("rect", class_="frame", x=1.0, y=1.0, width=WIDTH - 2, height=HEIGHT - 2, rx=8.0),
        tag("path", class_="known", d=dots, aria_hidden="true"),
        _line(way.steps, sx, sy) if way else "",
        _marks(marks, sx, sy),
        class_="plot latent walk",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="group",
        aria_label=f"{label}, in the plane of the latent space, among {len(ground.known)} known electrodes",
    )


def _window(ground: Ground, places: Sequence[Place]) -> tuple[Scale, Scale]:
    """The part of the plane that holds these places, and so much around them that the known ones show where it is."""
    scales = []
    for axis, (start, end) in enumerate(((MARGIN, WIDTH - MARGIN), (HEIGHT - MARGIN, MARGIN))):
        whole = span((place[axis] for place in ground.known), 0.03)
        low, high = span((place[axis] for place in places), 0.15) if places else whole
        room = max(0.0, LEAST_SHOWN * (whole[1] - whole[0]) - (high - low)) / 2
        scales.append(Scale(low - room, high + room, start, end))
    return scales[0], scales[1]


def _line(steps: Sequence[Step], sx: Scale, sy: Scale) -> Markup:
    """The way, and what leads from its points to the crystals that were written there."""
    at = [(sx(x), sy(y)) for x, y in (step.at for step in steps)]
    leads = [
        polyline([point, (sx(step.place[0]), sy(step.place[1]))])
        for point, step in zip(at, steps, strict=True)
        if step.place is not None
    ]
    dots = "".join(f"M{sx(step.place[0]):.1f} {sy(step.place[1]):.1f}h0" for step in steps if step.place is not None)
    return join(
        [
            tag("path", class_="lead-line", d="".join(leads)),
            tag("path", class_="landing", d=dots),
            tag("path", class_="way-line", d=polyline(at)),
        ]
    )


def _marks(marks: Sequence[Mark], sx: Scale, sy: Scale) -> Markup:
    named: list[Place] = []
    drawn = []
    for mark in reversed(marks):
        x, y = sx(mark.place[0]), sy(mark.place[1])
        has_room = all(math.hypot(x - a, y - b) >= APART for a, b in named)
        if has_room and mark.name:
            named.append((x, y))
        drawn.append(_mark(mark, x, y, named=has_room and bool(mark.name)))
    return join(reversed(drawn))


def _mark(mark: Mark, x: float, y: float, *, named: bool) -> Markup:
    shape = tag("circle", class_=f"stop {mark.kind}{'' if named else ' small'}", cx=x, cy=y, r=10.0 if named else 5.0)
    halo = tag("circle", class_="halo", cx=x, cy=y, r=13.5 if named else 8.0) if mark.outside else ""
    text = (
        tag("text", mark.name, class_=f"stop-name {mark.kind}", x=x, y=y, dy="0.36em", text_anchor="middle")
        if named
        else ""
    )
    return tag(
        "g",
        halo,
        shape,
        text,
        class_="mark",
        tabindex="0",
        role="img",
        data_tip=mark.tip,
        aria_label=mark.tip.replace("\n", ", "),
    )


def _step_row(step: Step, outside: float) -> tuple[Markup | str, ...]:
    if step.crystal is None:
        return (f"{step.t:.3g}", "nothing came", "–", "–", "–", "–")
    group, atoms = str(space_group(step.crystal)), str(step.crystal.n_atoms)
    score = _score(step.score) + (", outside" if step.score > outside else "")
    return (f"{step.t:.3g}", formula_html(step.crystal.formula), group, atoms, score, number(step.off_way, 2))


def _neighbour_row(rank: int, one: Neighbour) -> tuple[Markup | str, ...]:
    group, atoms = str(space_group(one.crystal)), str(one.crystal.n_atoms)
    return (str(rank), formula_html(one.crystal.formula), group, atoms, number(one.distance, 2), _volts(one))


def _judged_row(rank: int, one: Judged, ground: Ground) -> tuple[Markup | str, ...]:
    if one.crystal is None:
        return ("–", "–", one.name, "–", "–", "–", one.why.removeprefix(f"{one.name}: "))
    said = one.why or ("outside what is known" if one.score > ground.outside else "")
    return (
        str(rank),
        formula_html(one.crystal.formula),
        one.name,
        str(one.space_group),
        str(one.crystal.n_atoms),
        _score(one.score),
        said,
    )


def _score(score: float) -> str:
    return number(score, 1) if math.isfinite(score) else "beyond any"


def _volts(one: Neighbour) -> str:
    return ", ".join(f"{number(volts, 2)} V ({ion})" for ion, volts in one.voltages_V) or "no plausible voltage"


def _caption(crystal: Crystal, score: float) -> str:
    return f"space group {space_group(crystal)}, anomaly score {_score(score)}"


def _formula(one: Judged) -> str:
    return one.crystal.formula if one.crystal else one.name


def _text(one: Judged) -> str:
    return formula_text(_formula(one))
