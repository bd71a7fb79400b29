"""Candidate cards: everything a page says of one candidate, joined and put into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from redoxa.data.io import cif_text
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.recipe import Recipe, Synthesis
from redoxa.data.records import Crystal, ScreeningResult, Verdict, flat_formula
from redoxa.pipeline.pages.card.electrode_plots import drawn_paths
from redoxa.pipeline.pages.card.protocol import ProtocolPart, protocol
from redoxa.pipeline.pages.card.sections import PropertyRow, Section, Warned, not_computed, sections, warnings
from redoxa.pipeline.pages.card.strips import furnace_plot
from redoxa.pipeline.pages.kit.downloads import data_uri, file_stem, said_of
from redoxa.pipeline.pages.kit.model import Objective, ReportData, RequestRow, ResultRow
from redoxa.pipeline.pages.kit.projection import picture
from redoxa.pipeline.pages.kit.text import number, prose, shown
from redoxa.pipeline.pages.kit.viewer import Scene, scenes
from redoxa.robotics.planning import wording
from redoxa.screening.doubts import doubts
from redoxa.screening.labels import humanise

MOST_CARDS = 12
"""Candidates with a card and a 3D view; the others are in the table."""

MAIN = (("average_voltage", "conversion_voltage"), ("usable_capacity", "capacity_grav"), ("stability_discharge",))
"""Properties at the head of a card; of each group the first that is there."""

STATE_LABELS = {"discharged": "Discharged", "charged": "Charged"}


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
class SynthesisView:
    """What a card says of how to make a compound, in words and as a picture."""

    reaction: str
    furnace: Markup | None
    warnings: tuple[str, ...]
    choice: tuple[str, ...]


@dataclass(frozen=True)
class CardView:
    """Everything one card shows."""

    number: int
    row: ResultRow
    on_front: bool
    sections: tuple[Section, ...]
    warnings: tuple[Warned, ...]
    doubts: tuple[Warned, ...]
    not_computed: tuple[str, ...]
    states: tuple[StateView, ...]
    scenes: dict[str, Scene]
    elements: tuple[str, ...]
    request: RequestRow | None = None
    recipe: Recipe | None = None
    synthesis: SynthesisView | None = None
    protocol: tuple[ProtocolPart, ...] = ()
    measurement: Measurement | None = None
    outcome: str = ""

    @property
    def anchor(self) -> str:
        """Id of the card within the page."""
        return f"card-{self.number}"

    @property
    def properties(self) -> tuple[PropertyRow, ...]:
        """Rows of all sections."""
        return tuple(row for section in self.sections for row in section.rows)

    @property
    def hop_drawn(self) -> bool:
        """Whether a picture shows the path of the ion."""
        return any(len(scene.path) for scene in self.scenes.values())

    @property
    def main(self) -> tuple[PropertyRow, ...]:
        """What stands at the head of the card: voltage, capacity and distance to the hull, as far as predicted."""
        rows = {p.name: p for p in self.properties if p.predicted is not None}
        found = (next((rows[name] for name in names if name in rows), None) for names in MAIN)
        return tuple(row for row in found if row is not None)


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
        build_card(
            i + 1, row, data.objectives, row.candidate.id in front,
            requests.get(row.candidate.id), measurements.get(row.candidate.id),
        )
        for i, row in enumerate(ranked(data)[:most])
    ]  # fmt: skip


def build_card(
    number_: int,
    row: ResultRow,
    objectives: Sequence[Objective] = (),
    on_front: bool = False,
    request: RequestRow | None = None,
    measurement: Measurement | None = None,
) -> CardView:
    """The card of one candidate, with what the laboratory was asked and answered."""
    result = row.result
    recipe = request.request.recipe if request else None
    crystals = result.crystals or {"discharged": row.candidate.crystal}
    barrier = result.estimates.get("migration_barrier")
    hops = drawn_paths(result.paths, barrier.value if barrier else None)
    drawn = scenes(crystals, result.working_ion, hops[0].positions if hops else ())
    return CardView(
        number=number_,
        row=row,
        on_front=on_front,
        sections=sections(result, objectives, measurement),
        warnings=warnings(result),
        doubts=doubt_chips(result),
        not_computed=not_computed(result),
        states=tuple(_state(name, crystals[name], drawn[name], row) for name in crystals),
        scenes=drawn,
        elements=tuple(dict.fromkeys(e for c in crystals.values() for e in c.composition)),
        request=request,
        recipe=recipe,
        synthesis=_synthesis(recipe.synthesis) if recipe else None,
        protocol=protocol(recipe.cycling) if recipe else (),
        measurement=measurement,
        outcome=outcome_text(measurement) if measurement else "",
    )


def _synthesis(synthesis: Synthesis) -> SynthesisView:
    return SynthesisView(
        reaction=wording.reaction_text(synthesis),
        furnace=furnace_plot(synthesis.steps) if synthesis.steps else None,
        warnings=wording.warnings(synthesis),
        choice=wording.choice_texts(synthesis),
    )


def _state(name: str, crystal: Crystal, scene: Scene, row: ResultRow) -> StateView:
    words = STATE_LABELS.get(name, humanise(name)) if row.result.crystals else "As given"
    stem = file_stem(f"{flat_formula(row.result.formula)}_{row.candidate.id}_{name}")
    title = f"{crystal.formula}, {words.lower()}, a cell of {crystal.n_atoms} atoms and {crystal.volume_A3:.1f} Å³"
    return StateView(
        name=name,
        label=words,
        atoms=crystal.n_atoms,
        volume=number(crystal.volume_A3, 1),
        picture=picture(scene, title),
        cif_uri=data_uri(cif_text(crystal, comment=f"{said_of(row.result)}\n{stem}"), "chemical/x-cif"),
        cif_name=f"{stem}.cif",
    )


def doubt_chips(result: ScreeningResult) -> tuple[Warned, ...]:
    """What speaks against a candidate's numbers, by title; the text of the first of each."""
    found: dict[str, Warned] = {}
    for reason in doubts(result):
        found.setdefault(reason.code, Warned(humanise(reason.code), prose(reason.text)))
    return tuple(found.values())


def outcome_text(measurement: Measurement) -> str:
    """What came of an experiment, in a sentence; of a simulated one it says so."""
    purity = measurement.phase_purity
    phase = f" Phase purity {shown('phase_purity', purity).text}." if purity else ""
    sentence = {
        Outcome.SUCCESS: "The target phase formed and the cell cycled.",
        Outcome.TARGET_NOT_FORMED: "The target phase did not form. That is a finding, not an error.",
        Outcome.CELL_FAILURE: "The cell failed; the powder says nothing about the prediction yet.",
    }[measurement.outcome]
    where = "In the simulation: " if measurement.simulated else ""
    return f"{where}{sentence}{phase} {measurement.note}".strip()
