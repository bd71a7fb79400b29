"""The scorecard as one HTML file in the look of the campaign report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from markupsafe import Markup

from redoxa.data.records import Crystal
from redoxa.generators.evaluate.card import system
from redoxa.generators.evaluate.catalogue import GROUPS, Metric, metrics
from redoxa.generators.evaluate.matching import Prediction
from redoxa.generators.evaluate.table import SampleRow
from redoxa.generators.evaluate.values import Value, wilson
from redoxa.pipeline.evaluate.figures import Series, bar_plot, cumulative_plot, share_strip, style
from redoxa.pipeline.evaluate.scorecard import (
    Scorecard,
    SourceCard,
    deviation_text,
    interval_text,
    ratio_text,
    value_text,
)
from redoxa.pipeline.evaluate.stability import RelaxedRow
from redoxa.pipeline.evaluate.truths import Truths
from redoxa.pipeline.pages.kit.page import asset, environment, policy
from redoxa.pipeline.pages.kit.text import count, duration, formula_html, timestamp

STYLES = ("base.css", "figures.css", "scorecard.css", "print.css")
SYSTEMS = ("P1", "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
SHORT = ("P1", "tricl.", "mono.", "ortho.", "tetra.", "trig.", "hexa.", "cubic")
SIZES = ((1, 4), (5, 8), (9, 12), (13, 16), (17, 20), (21, 10_000))
ANIONS = {
    "oxides": {"O"},
    "halides": {"F", "Cl", "Br", "I"},
    "chalcog.": {"S", "Se", "Te"},
    "pnictides": {"N", "P", "As", "Sb"},
}
"""Classes of compounds; the first that fits counts."""

WORST = 6
REAL = "real crystals"
GLANCE = ("valid_structure", "unique", "novel", "novel_family", "charge_balanced", "p1", "metastable", "msun")
RELAXED = (
    ("energy_drop_eV_per_atom", "Energy drop", "energy drop on relaxation (eV/atom)", 0.0, 1.0),
    ("rmsd_A", "RMSD", "shift of the atoms on relaxation (Å)", 0.0, 1.0),
    ("above_hull_eV_per_atom", "Above the hull", "distance to the hull of known phases (eV/atom)", -0.1, 0.5),
)
"""Column of the relaxed rows, title, axis and its range."""


@dataclass(frozen=True)
class Cell:
    """One value of one source as the page shows it."""

    source: str
    text: str
    deviation: str
    interval: str
    of: str
    strip: Markup


@dataclass(frozen=True)
class Figure:
    """A plot with its caption."""

    title: str
    text: str
    svg: Markup


@dataclass(frozen=True)
class Bad:
    """A sample that went wrong, for the table of the worst."""

    source: str
    name: str
    formula: str
    what: str


def build_page(card: Scorecard) -> str:
    """The scorecard as one HTML text."""
    css = "\n".join(asset("templates", name) for name in STYLES)
    script = asset("templates", "ui.js")
    templates = environment()
    templates.filters.update({f.__name__: f for f in (count, duration, formula_html, ratio_text, timestamp)})
    page = templates.get_template("scorecard.html.j2")
    return page.render(
        card=card,
        created=card.created,
        groups=_groups(card),
        glance=_glance(card),
        heads=[(s, style(i)) for i, s in enumerate(card.sources)],
        headline=_headline(card),
        figures=_figures(card),
        worst=_worst(card),
        policy=policy([css], [script]),
        style=Markup(css),
        script=Markup(script),
    )


def _headline(card: Scorecard) -> str:
    names = [s.name.rsplit("/", 1)[-1] for s in card.sources]
    shown = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    if card.truths is None:
        return f"{shown}, judged as new crystals"
    return f"{shown}, held against {count(len(card.truths.names), 'true structure')}"


def _glance(card: Scorecard) -> list[tuple[Metric, list[Cell]]]:
    """The few numbers that most readers want, as far as they were computed."""
    wanted = GLANCE if card.truths is None else (*(f"match_at_{k}" for k in sorted({1, card.k})), "rmse_at_1", "metre")
    rows = {metric.name: (metric, cells) for _, group in _groups(card) for metric, cells in group}
    return [rows[name] for name in wanted if name in rows]


def _groups(card: Scorecard) -> list[tuple[str, list[tuple[Metric, list[Cell]]]]]:
    """Groups with their metrics; a metric that no source has is left out."""
    found: dict[str, list[tuple[Metric, list[Cell]]]] = {group: [] for group in GROUPS}
    for group, metric in metrics(card.k):
        values = [s.values.get(metric.name) for s in card.sources]
        if any(v is not None for v in values):
            cells = [_cell(card.sources[i].name, v, metric, style(i)) for i, v in enumerate(values)]
            real = card.reference.values.get(metric.name)
            found[group].append((metric, [*cells, *([_cell(REAL, real, metric, "real")] if real else [])]))
    return [(group, _padded(rows, len(card.sources) + 1)) for group, rows in found.items() if rows]


def _padded(rows: list[tuple[Metric, list[Cell]]], width: int) -> list[tuple[Metric, list[Cell]]]:
    """Rows of one width: where some have a value of real crystals, the others have an empty cell there."""
    if all(len(cells) < width for _, cells in rows):
        return rows
    return [(m, cells if len(cells) == width else [*cells, Cell("", "", "", "", "", Markup(""))]) for m, cells in rows]


def _cell(source: str, value: Value | None, metric: Metric, css: str) -> Cell:
    if value is None:
        return Cell(source, "–", "", "", "", Markup(""))
    strip = share_strip(value, css) if metric.unit == "share" else Markup("")
    text, deviation = value_text(value, metric.unit), deviation_text(value, metric.unit)
    return Cell(source, text, deviation, interval_text(value, metric.unit), f"n = {value.of}", strip)


def _figures(card: Scorecard) -> list[Figure]:
    found = []
    if any(s.predictions for s in card.sources):
        sizes = [f"{a}–{b}" if b < 1000 else f"{a}+" for a, b in SIZES]
        found.append(_match_rates(card, "Match rate by size", "atoms in the true cell", _by_size, sizes))
        found.append(_match_rates(card, "Match rate by chemistry", "compounds", _by_chemistry, [*ANIONS, "metals"]))
    found += [_elements(card), _systems(card), _densities(card)]
    for name, title, axis, low, high in RELAXED:
        lines = _series(card.sources, partial(_numbers, name=name))
        if lines:
            text = "Relaxed samples that converged."
            found.append(Figure(title, text, cumulative_plot(lines, axis, low, high)))
    return found


def _series(sources: Sequence[SourceCard], numbers: Callable[[SourceCard], Iterable[float]]) -> list[Series]:
    """The sources that have any numbers, in their colours."""
    made = [Series(s.name, style(i), tuple(numbers(s))) for i, s in enumerate(sources)]
    return [one for one in made if one.numbers]


def _numbers(source: SourceCard, name: str) -> list[float]:
    return [x for row in source.relaxed if (x := getattr(row, name)) is not None]


def _densities(card: Scorecard) -> Figure:
    real = tuple(p.density_g_cm3 for p in card.reference.portraits)
    series = _series(card.sources, lambda s: [r.density_g_cm3 for r in s.rows if r.density_g_cm3 is not None])
    top = float(np.quantile([*real, *(x for s in series for x in s.numbers)], 0.99)) if real or series else 1.0
    lines = [*([Series(REAL, "real", real)] if real else []), *series]
    return Figure("Density", "Cumulative, beside real crystals.", cumulative_plot(lines, "density (g/cm³)", 0.0, top))


def _elements(card: Scorecard) -> Figure:
    classes = ["1", "2", "3", "4", "5", "6+"]

    def shares(numbers: Sequence[int]) -> tuple[float, ...]:
        seen = Counter(min(n, 6) for n in numbers)
        return tuple(seen[k] / max(1, len(numbers)) for k in range(1, 7))

    series = _series(card.sources, lambda s: shares([r.n_elements for r in s.rows if r.n_elements is not None]))
    real = Series(REAL, "real", shares([p.n_elements for p in card.reference.portraits]))
    svg = bar_plot(classes, [real, *series], "elements by crystal", "share")
    return Figure("Number of elements", "Beside real crystals.", svg)


def _systems(card: Scorecard) -> Figure:
    def shares(groups: Sequence[int]) -> tuple[float, ...]:
        seen = Counter(system(g) for g in groups)
        return tuple(seen[name] / max(1, len(groups)) for name in SYSTEMS)

    series = _series(card.sources, lambda s: shares([r.space_group for r in s.rows if r.space_group is not None]))
    real = Series(REAL, "real", shares([p.group for p in card.reference.portraits]))
    svg = bar_plot(SHORT, [real, *series], "crystal system", "share")
    return Figure("Crystal systems", "At 0.1 Å, P1 apart from the other triclinic ones.", svg)


def _by_size(crystal: Crystal) -> str:
    low, high = next(size for size in SIZES if size[0] <= crystal.n_atoms <= size[1])
    return f"{low}–{high}" if high < 1000 else f"{low}+"


def _by_chemistry(crystal: Crystal) -> str:
    return next((name for name, anions in ANIONS.items() if anions & crystal.composition.keys()), "metals")


def _match_rates(
    card: Scorecard, title: str, axis: str, classify: Callable[[Crystal], str], order: list[str]
) -> Figure:
    """Match@1 in classes of true structures."""
    truths = [classify(crystal) for crystal in card.truths.crystals] if card.truths else []
    classes = [name for name in order if name in truths]

    def tally(predictions: Sequence[Prediction], name: str) -> tuple[int, int]:
        hits = [p.at(1) is not None for p, found in zip(predictions, truths, strict=True) if found == name]
        return sum(hits), len(hits)

    judged = [(i, s) for i, s in enumerate(card.sources) if s.predictions]
    tallies = [[tally(s.predictions, name) for name in classes] for _, s in judged]
    series = [
        Series(s.name, style(i), tuple(hits / of for hits, of in row))
        for (i, s), row in zip(judged, tallies, strict=True)
    ]
    whiskers = [[wilson(hits, of) for hits, of in row] for row in tallies]
    numbers = ", ".join(f"{name}: {truths.count(name)}" for name in classes)
    return Figure(
        title, f"Whiskers: 95 % intervals. Truths, {numbers}.", bar_plot(classes, series, axis, "match@1", whiskers)
    )


def _worst(card: Scorecard) -> list[Bad]:
    """The worst samples of each source: unreadable, invalid, then the largest energy drops; or the truths it missed."""
    if card.truths is not None:
        return [bad for source in card.sources if source.predictions for bad in _missed(card.truths, source)[:WORST]]
    found = []
    for source in card.sources:
        scored = [(_badness(row, relaxed), i) for i, (row, relaxed) in enumerate(_with_relaxed(source))]
        for (rank, what), i in sorted((s for s in scored if s[0][0] > 0), key=lambda s: (-s[0][0], s[1]))[:WORST]:
            row = source.rows[i]
            del rank
            found.append(Bad(source.name, row.name, row.formula or "", what))
    return found


def _missed(truths: Truths, source: SourceCard) -> list[Bad]:
    """Truths that no answer matches, the smallest first."""
    missed = [(p, name) for p, name in zip(source.predictions, truths.names, strict=True) if p.at(len(p.rms)) is None]
    found = []
    for p, name in sorted(missed, key=lambda pair: pair[0].truth.n_atoms):
        other = "; an answer to another truth does" if p.best is not None else ""
        what = (
            f"{p.truth.n_atoms} atoms: no answer matches{other}"
            if p.answered
            else f"{p.truth.n_atoms} atoms: no answer"
        )
        found.append(Bad(source.name, name, p.truth.formula, what))
    return found


def _with_relaxed(source: SourceCard) -> list[tuple[SampleRow, RelaxedRow | None]]:
    relaxed: list[RelaxedRow | None] = [*source.relaxed, *[None] * (len(source.rows) - len(source.relaxed))]
    return list(zip(source.rows, relaxed, strict=True))


def _badness(row: SampleRow, relaxed: RelaxedRow | None) -> tuple[float, str]:
    """How bad (0: not at all) and why."""
    if row.formula is None:
        return (1000.0, row.reasons[0] if row.reasons else "unreadable")
    if not row.valid_structure or not row.sane:
        return (500.0 if row.valid_structure else 900.0, row.reasons[0])
    if relaxed is not None and relaxed.relax_reason:
        return 100.0, relaxed.relax_reason
    if relaxed is not None and (drop := relaxed.energy_drop_eV_per_atom or 0.0) > 0.3:
        return drop, f"fell by {drop:.2f} eV/atom on relaxation, atoms moved {relaxed.rmsd_A or 0.0:.2f} Å"
    return (0.2, next(r for r in row.reasons if "was meant" in r)) if row.symmetry_kept is False else (0.0, "")
