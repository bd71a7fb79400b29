"""The parts of a card: properties by subject with their figures, what the notes say in sentences, warnings, gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from redoxa.data.lab.measurement import Measurement
from redoxa.data.records import Crystal, Estimate, MigrationPath, Reason, ScreeningResult, Verdict, reduced_formula
from redoxa.pipeline.campaign.feedback import PREDICTED_BY
from redoxa.pipeline.pages.card.electrode_plots import drawn_paths, path_plot, profile_plot
from redoxa.pipeline.pages.card.strips import range_strip, target_text
from redoxa.pipeline.pages.kit.downloads import deciding_reason
from redoxa.pipeline.pages.kit.labels import label_for, notes, stages
from redoxa.pipeline.pages.kit.model import Objective
from redoxa.pipeline.pages.kit.text import (
    HullText,
    Shown,
    display_scale,
    formula_html,
    hull_text,
    label,
    linked,
    number,
    prose,
    short_label,
    shown,
)
from redoxa.screening import PROPERTIES
from redoxa.screening.labels import GROUPS, Group, Note, humanise

HULL_PROPERTIES = ("stability_discharge", "stability_charge")


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
class Figure:
    """A figure and what it shows, in a sentence or two."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """One part of a card.

    Attributes:
        title: subject of the part.
        rows: its properties, those too that `hull` tells.
        hull: state of charge, and its distance to the hull.
        sentences: what the screening noted besides.
        figures: drawn above the numbers.
    """

    title: str
    rows: tuple[PropertyRow, ...]
    hull: tuple[tuple[str, HullText], ...] = ()
    sentences: tuple[Markup, ...] = ()
    figures: tuple[Figure, ...] = ()

    @property
    def table(self) -> tuple[PropertyRow, ...]:
        """Rows to print: hull distances only where there is a target to compare them with."""
        return tuple(r for r in self.rows if r.name not in HULL_PROPERTIES or r.strip is not None)

    @property
    def has_targets(self) -> bool:
        """Whether any row has a target."""
        return any(r.strip is not None for r in self.rows)

    @property
    def has_measured(self) -> bool:
        """Whether any row was measured."""
        return any(r.measured is not None for r in self.rows)


@dataclass(frozen=True)
class Warned:
    """Something that a reader should see before the numbers."""

    title: str
    text: str


def sections(
    result: ScreeningResult, objectives: Sequence[Objective], measurement: Measurement | None
) -> tuple[Section, ...]:
    """Parts of a card in their order; those without anything to show are left out."""
    rows = property_rows(result.estimates, objectives, measurement)
    made = []
    for group in GROUPS:
        part = Section(
            title=group,
            rows=tuple(r for r in rows if label_for(r.name).group == group),
            hull=_hull(result) if group == "Decomposition" else (),
            sentences=_sentences(result.notes, group),
            figures=_figures(result, group),
        )
        if part.rows or part.sentences or part.figures:
            made.append(part)
    return tuple(made)


def property_rows(
    estimates: Mapping[str, Estimate], objectives: Sequence[Objective], measurement: Measurement | None
) -> tuple[PropertyRow, ...]:
    """Known properties in their usual order, then the others, each with its target range and measurement."""
    measured = {
        PREDICTED_BY[name] if PREDICTED_BY.get(name) in estimates else name: value
        for name, value in (measurement.values if measurement else {}).items()
    }
    targets = {o.name: o for o in objectives}
    names = [n for n in PROPERTIES if n in estimates or n in measured]
    names += [n for n in (*estimates, *measured) if n not in PROPERTIES]
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


def warnings(result: ScreeningResult) -> tuple[Warned, ...]:
    """Reasons that did not decide the verdict, each told once, and notes that warn; gaps are told elsewhere."""
    found = {
        r.text: Warned("Moisture" if r.code.startswith("moisture_") else humanise(r.code), prose(r.text))
        for r in result.reasons
        if r.verdict is Verdict.PASS and r.code != "known_material" and not _explains_a_gap(r)
    }
    noted = [
        Warned(note.sentence, prose(result.notes[key]))
        for key, note in notes().items()
        if note.told == "warning" and key in result.notes
    ]
    return (*found.values(), *noted)


def _explains_a_gap(reason: Reason) -> bool:
    return reason.code.startswith("no_") and reason.stage in stages().values()


def not_computed(result: ScreeningResult) -> tuple[str, ...]:
    """Sentences on the properties that a result lacks, and why."""
    missing = [name for name in PROPERTIES if name not in result.estimates]
    if not missing:
        return ()
    if result.verdict is not Verdict.PASS:
        stage = humanise(deciding_reason(result)[0]).lower()
        names = "; ".join(short_label(name) for name in missing)
        return (f"The screening ended at “{stage}” and did not come to: {names}.",)
    told = {r.stage: prose(r.text) for r in result.reasons if _explains_a_gap(r)}
    if any(r.code == "no_insertion" for r in result.reasons):
        return ("As no ions leave or enter a host, nothing of its charged state, its ions' ways and its capacity.",)
    return tuple(f"{label(name)}: {told.get(stages().get(name, '')) or label_for(name).absent}." for name in missing)


def _hull(result: ScreeningResult) -> tuple[tuple[str, HullText], ...]:
    pairs = (("Discharged", hull_text(result, "discharge")), ("Charged", hull_text(result, "charge")))
    return tuple((state, text) for state, text in pairs if text is not None)


def _sentences(told: Mapping[str, str], group: Group) -> tuple[Markup, ...]:
    """The notes of a part in their usual order, then those that no kind of this installation declares."""
    known, unknown = notes(), Note("")
    ordered = [*(key for key in known if key in told), *(key for key in told if key not in known)]
    there = {key: known.get(key, unknown) for key in ordered}
    return tuple(
        _sentence(key, prose(told[key]))
        for key, note in there.items()
        if note.told == "sentence" and note.group == group
    )


def _sentence(key: str, text: str) -> Markup:
    if key not in notes():
        return Markup("{}: {}.").format(humanise(key), linked(text))
    note = notes()[key]
    return escape(note.sentence).format(formula_html(text) if note.formulas else linked(text))


def _figures(result: ScreeningResult, group: Group) -> tuple[Figure, ...]:
    if group == "Electrochemistry" and (
        len(result.profile) > 1 or (result.profile and "max_voltage_step" in result.estimates)
    ):
        return (_profile(result),)
    if group == "Mobility" and (figure := _path(result)) is not None:
        return (figure,)
    return ()


def _profile(result: ScreeningResult) -> Figure:
    average, capacity = result.estimates.get("average_voltage"), result.estimates.get("capacity_grav")
    ion = result.working_ion
    seen = shown("average_voltage", average) if average is not None else None
    svg = profile_plot(result.profile, ion, host_formula(result), capacity.value if capacity else None, seen)
    caption = f"Voltage while {ion} enters, in steps between the states of lowest energy."
    if seen is not None:
        caption += f" Shaded: the average, {seen.text}."
    return Figure(svg, caption)


def host_formula(result: ScreeningResult) -> str:
    """Reduced formula of the host without the working ion."""
    crystal: Crystal | None = result.crystals.get("charged") or result.crystals.get("discharged")
    if crystal is None:
        return "host"
    return reduced_formula({e: n for e, n in crystal.composition.items() if e != result.working_ion})


def _path(result: ScreeningResult) -> Figure | None:
    barrier = result.estimates.get("migration_barrier")
    drawn = drawn_paths(result.paths, barrier.value if barrier else None)
    if not drawn:
        return None
    hops = " and ".join(hop_text(p) for p in drawn)
    caption = f"Energy of one {result.working_ion} that hops into a vacancy of the full host: {hops}."
    if others := [p for p in result.paths if p not in drawn]:
        caption += f" Other hops: {'; '.join(hop_text(p) for p in others)}."
    return Figure(path_plot(drawn), caption)


def hop_text(path: MigrationPath) -> str:
    """``3.04 Å with 0.18 eV``, or why there is no barrier."""
    hop = prose(path.label)
    if path.barrier_eV is None:
        return f"{hop}: {prose(path.reason)}"
    return f"{hop} with {number(path.barrier_eV, 2)} eV"
