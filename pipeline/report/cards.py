"""Candidate cards: everything the report says of one candidate, joined and put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from data.io import cif_text
from data.lab import ConstantCurrent, ConstantVoltage, Cycling, CyclingStep, Measurement, Outcome, Recipe
from data.records import Crystal, Estimate, Reason, ScreeningResult, Verdict
from pipeline.report.downloads import data_uri, file_stem
from pipeline.report.model import Objective, ReportData, RequestRow, ResultRow
from pipeline.report.projection import picture
from pipeline.report.strips import furnace_plot, range_strip, target_text
from pipeline.report.text import (
    LABELS,
    HullText,
    Shown,
    display_scale,
    duration,
    formula_html,
    hull_text,
    humanise,
    label,
    note_label,
    number,
    shown,
)
from pipeline.report.viewer import Scene, scenes

MOST_CARDS = 12
"""Candidates with a card and a 3D view; the others are in the table."""

STATE_LABELS = {"discharged": "Discharged", "charged": "Charged"}


@dataclass(frozen=True)
class PropertyRow:
    """One property of a card: predicted, and measured where it was."""

    name: str
    label: str
    predicted: Shown | None
    measured: Shown | None
    simulated: bool
    target: str
    strip: Markup | None


@dataclass(frozen=True)
class StateView:
    """One state of a candidate: its picture and its CIF."""

    name: str
    label: str
    atoms: int
    volume: str
    picture: Markup
    cif_uri: str
    cif_name: str


@dataclass(frozen=True)
class ProtocolPart:
    """Cycling steps, and how many times they are done one after the other."""

    times: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class CardView:
    """Everything one card shows."""

    number: int
    row: ResultRow
    on_front: bool
    properties: tuple[PropertyRow, ...]
    hull: tuple[tuple[str, HullText], ...]
    notes: tuple[tuple[str, Markup | str], ...]
    warnings: tuple[Reason, ...]
    states: tuple[StateView, ...]
    scenes: dict[str, Scene]
    elements: tuple[str, ...]
    request: RequestRow | None
    recipe: Recipe | None
    furnace: Markup | None
    protocol: tuple[ProtocolPart, ...]
    measurement: Measurement | None
    outcome: str

    @property
    def anchor(self) -> str:
        """Id of the card within the page."""
        return f"card-{self.number}"

    def main(self, name: str) -> PropertyRow | None:
        """The row of a property, if the card has it."""
        return next((p for p in self.properties if p.name == name), None)


def ranked(data: ReportData) -> list[ResultRow]:
    """Rows that deserve a card, best first: chosen for the laboratory, then the rest of the front, then what passed."""
    front = set(data.front_ids)

    def key(row: ResultRow) -> tuple[bool, bool, int, int]:
        on_front = row.candidate.id in front
        return row.rank is None, not on_front, row.rank or 0, row.candidate.origin.round

    worthy = [r for r in data.results if r.rank is not None or r.result.verdict is Verdict.PASS]
    return sorted(worthy, key=key)


def build_cards(data: ReportData, most: int = MOST_CARDS) -> list[CardView]:
    """Cards of the best candidates."""
    requests = {r.request.candidate_id: r for r in data.requests}
    measurements = {m.candidate_id: m for m in data.measurements}
    front = set(data.front_ids)
    return [
        _card(
            i + 1, row, data.objectives, row.candidate.id in front,
            requests.get(row.candidate.id), measurements.get(row.candidate.id),
        )
        for i, row in enumerate(ranked(data)[:most])
    ]  # fmt: skip


def _card(
    number_: int,
    row: ResultRow,
    objectives: Sequence[Objective],
    on_front: bool,
    request: RequestRow | None,
    measurement: Measurement | None,
) -> CardView:
    result = row.result
    recipe = request.request.recipe if request else None
    crystals = result.crystals or {"discharged": row.candidate.crystal}
    drawn = scenes(crystals, result.working_ion)
    return CardView(
        number=number_,
        row=row,
        on_front=on_front,
        properties=property_rows(result.estimates, objectives, measurement),
        hull=_hull(result),
        notes=_notes(result),
        warnings=tuple(r for r in result.reasons if r.verdict is Verdict.PASS),
        states=tuple(_state(name, crystals[name], drawn[name], row) for name in crystals),
        scenes=drawn,
        elements=tuple(row.candidate.crystal.composition),
        request=request,
        recipe=recipe,
        furnace=furnace_plot(recipe.synthesis.furnace) if recipe and recipe.synthesis.furnace else None,
        protocol=protocol(recipe.cycling) if recipe else (),
        measurement=measurement,
        outcome=outcome_text(measurement) if measurement else "",
    )


def _hull(result: ScreeningResult) -> tuple[tuple[str, HullText], ...]:
    pairs = (("As made", hull_text(result, "discharge")), ("Charged", hull_text(result, "charge")))
    return tuple((state, text) for state, text in pairs if text is not None)


def _notes(result: ScreeningResult) -> tuple[tuple[str, Markup | str], ...]:
    """Notes that no other part of the card shows; decomposition products with subscripts."""
    elsewhere = ("hull_coverage_", "competing_phases_", "novelty", "duplicate_of")
    return tuple(
        (note_label(key), formula_html(text) if key.startswith("decomposes_to") else text)
        for key, text in result.notes.items()
        if not key.startswith(elsewhere)
    )


def property_rows(
    estimates: Mapping[str, Estimate], objectives: Sequence[Objective], measurement: Measurement | None
) -> tuple[PropertyRow, ...]:
    """Known properties in their usual order, then the others, each with its target range and measurement."""
    measured = measurement.values if measurement else {}
    targets = {o.name: o for o in objectives}
    names = [n for n in LABELS if n in estimates or n in measured]
    names += [n for n in (*estimates, *measured) if n not in LABELS and n not in names]
    rows = []
    for name in dict.fromkeys(names):
        predicted = shown(name, estimates[name]) if name in estimates else None
        seen = shown(name, measured[name]) if name in measured else None
        target, strip = "", None
        if name in targets and predicted is not None:
            factor, unit = display_scale(name, estimates[name].unit)
            low, high = (None if v is None else factor * v for v in (targets[name].min, targets[name].max))
            target, strip = target_text(low, high, unit), range_strip(predicted, low, high, seen)
        simulated = measurement.simulated if measurement and seen else False
        rows.append(PropertyRow(name, label(name), predicted, seen, simulated, target, strip))
    return tuple(rows)


def _state(name: str, crystal: Crystal, scene: Scene, row: ResultRow) -> StateView:
    words = STATE_LABELS.get(name, humanise(name))
    stem = file_stem(f"{row.result.formula}_{row.candidate.id}_{name}")
    title = f"{crystal.formula}, {words.lower()}, a cell of {crystal.n_atoms} atoms and {crystal.volume_A3:.1f} Å³"
    return StateView(
        name=name,
        label=words,
        atoms=crystal.n_atoms,
        volume=number(crystal.volume_A3, 1),
        picture=picture(scene, title),
        cif_uri=data_uri(cif_text(crystal), "chemical/x-cif"),
        cif_name=f"{stem}.cif",
    )


def outcome_text(measurement: Measurement) -> str:
    """What came of an experiment, in a sentence."""
    purity = measurement.phase_purity
    phase = f" Phase purity {shown('phase_purity', purity).text}." if purity else ""
    sentence = {
        Outcome.SUCCESS: "The target phase formed and the cell cycled.",
        Outcome.TARGET_NOT_FORMED: "The target phase did not form. That is a finding, not an error.",
        Outcome.CELL_FAILURE: "The cell failed; the powder says nothing about the prediction yet.",
    }[measurement.outcome]
    return f"{sentence}{phase} {measurement.note}".strip()


def protocol(cycling: Cycling) -> tuple[ProtocolPart, ...]:
    """Formation and cycling in words; a formation that repeats itself is told once."""
    return (*_folded(_lines(cycling.formation)), ProtocolPart(cycling.cycles, _lines(cycling.steps)))


def _folded(lines: tuple[str, ...]) -> list[ProtocolPart]:
    """Lines as a start that is done once and a block that is repeated to the end, the shortest such block first."""
    for length in range(1, len(lines) // 2 + 1):
        for start in range(len(lines) - 2 * length + 1):
            times, rest = divmod(len(lines) - start, length)
            if rest == 0 and lines[start : start + length] * times == lines[start:]:
                once = [ProtocolPart(1, lines[:start])] if start else []
                return [*once, ProtocolPart(times, lines[start : start + length])]
    return [ProtocolPart(1, lines)] if lines else []


def _lines(steps: Sequence[CyclingStep]) -> tuple[str, ...]:
    lines = []
    for step in steps:
        if isinstance(step, ConstantCurrent):
            verb = "Charge" if step.rate_C > 0 else "Discharge"
            lines.append(f"{verb} at {_rate(step.rate_C)} to {number(step.until_voltage_V, 2)} V")
        elif isinstance(step, ConstantVoltage):
            lines.append(f"Hold {number(step.voltage_V, 2)} V until the current is below {_rate(step.until_rate_C)}")
        else:
            lines.append(f"Rest {duration(step.time_s)}")
    return tuple(lines)


def _rate(rate_C: float) -> str:
    rate = abs(rate_C)
    return f"C/{1 / rate:.0f}" if 0 < rate < 0.95 else f"{rate:g}C"
