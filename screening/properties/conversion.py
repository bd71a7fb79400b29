"""Conversion: what the host would become if the ions broke it up instead of entering it.

The voltage of conversion follows from the lowest mixture of known phases as ions are added to the host (R. E. Doe et
al., Chem. Mater. 20, 5274, 2008, doi:10.1021/cm801105p). Where it competes with insertion, phases with the very host of
the candidate, with or without ions, are left out: the question is what breaking the host up would give. Where no host
would stay (Li2O, alloys), all phases take part, from what is left without ions to the last compound. Solids at 0 K.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import ClassVar, Final

from redoxa.data.errors import InputError
from redoxa.data.records import Estimate, Reason, Verdict, reduced_formula
from redoxa.data.tables.reference import ReferenceEntry
from redoxa.data.units import ION_VALENCE
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import NO_REFERENCE, Label, Note
from redoxa.screening.physics.hull_energy import (
    Amounts,
    Competitors,
    Mixture,
    Reservoir,
    candidate_entry,
    chemical_potential,
    formula_atoms,
    reaction_text,
)

REACTION_SIGMA_eV_PER_ATOM: Final = 0.05
"""RMS error of the reaction energies of 9 conversions against tabulated free energies (`benchmarks/hull.py`)."""

MARGIN_V: Final = 0.1
"""Insertion less than this above conversion is named as in competition."""

PLATING_eV: Final = 1e-4
"""So far below the metal's own chemical potential the reservoir stands when a host is converted to the end."""


@dataclass(frozen=True)
class ConversionStep:
    """A plateau: `n_before` to `n_after` ions by formula unit of the host, and the phases at its end."""

    n_before: float
    n_after: float
    voltage_V: float
    products: dict[str, float]


@dataclass(frozen=True)
class Conversion:
    """How a host converts.

    Attributes:
        steps: plateaus from the first ion to the last that gains energy; voltages fall.
        average_V: from the host as it is up to the ions asked for; a metastable host brings its own energy in.
        products: formula units at that content, by formula unit of the host.
        ions: what was asked for.
        rest: formula units without any ions, where no host stays.
    """

    steps: tuple[ConversionStep, ...]
    average_V: float
    products: dict[str, float]
    ions: float
    rest: dict[str, float] = field(default_factory=dict)


def without_host(entries: Sequence[ReferenceEntry], formula: str, ion: str) -> list[ReferenceEntry]:
    """Phases whose atoms beside the ion are not those of the host."""
    own = host_formula(formula, ion)
    return [entry for entry in entries if host_formula(entry.formula, ion) != own]


def host_formula(formula: str, ion: str) -> str:
    """Reduced formula of what is left without the ion; empty for the ion's metal."""
    rest = {element: round(n) for element, n in formula_atoms(formula).items() if element != ion}
    return reduced_formula(rest) if rest else ""


def convert(
    competitors: Competitors, formula: str, energy_eV_per_atom: float, ion: str, ion_metal_eV: float, ions: float
) -> Conversion | None:
    """Voltages at which a host converts.

    Args:
        competitors: phases of the system of host and ion, the metal of the ion among them.
        formula: reduced formula of the host, charged.
        energy_eV_per_atom: of the host, on their scale.
        ion: working ion.
        ion_metal_eV: energy of its metal by atom.
        ions: how many enter by formula unit of the host.

    Raises:
        InputError: the ion is unknown, or none enters.

    Returns:
        None where the phases make up no mixture of this composition.
    """
    if ion not in ION_VALENCE or ions <= 0:
        raise InputError(f"conversion needs a working ion and a positive number of it, not {ions:g} {ion}")
    atoms = formula_atoms(formula)
    start = competitors.mixture(atoms)
    at_ions = competitors.mixture({**atoms, ion: atoms.get(ion, 0.0) + ions})
    if start is None or at_ions is None:
        return None
    own_eV = energy_eV_per_atom * sum(atoms.values())
    average_V = (own_eV + ions * ion_metal_eV - at_ions.energy_eV) / (ions * ION_VALENCE[ion])
    return Conversion(_steps(competitors, atoms, start, ion, ion_metal_eV), average_V, at_ions.units, ions)


def _steps(
    competitors: Competitors, atoms: Amounts, start: Mixture, ion: str, ion_metal_eV: float
) -> tuple[ConversionStep, ...]:
    last = competitors.mixture(atoms, Reservoir({ion: 1.0}, ion_metal_eV - PLATING_eV, lowest=0.0))
    steps = []
    while last is not None and (end := competitors.next_mixture(atoms, start, ion, last.taken)) is not None:
        voltage_V = (ion_metal_eV - chemical_potential(start, end)) / ION_VALENCE[ion]
        steps.append(ConversionStep(start.taken, end.taken, voltage_V, end.units))
        start = end
    return tuple(steps)


def converted(competitors: Competitors, formula: str, ion: str, ion_metal_eV: float) -> Conversion | None:
    """Voltages between what a compound without a lasting host leaves without its ions, and the compound.

    Args:
        competitors: phases of the system.
        formula: reduced formula of the compound; one that holds no ions is filled to the last plateau.
        ion: working ion.
        ion_metal_eV: energy of its metal by atom.

    Returns:
        Steps from no ions on, and the average up to the compound's own content, all between the lowest mixtures. None
        where the phases make up no such mixture, or the ion forms no compound with the rest.
    """
    atoms = formula_atoms(formula)
    rest = {element: n for element, n in atoms.items() if element != ion}
    start = competitors.mixture(rest)
    if start is None:
        return None
    steps = _steps(competitors, rest, start, ion, ion_metal_eV)
    ions = atoms.get(ion, 0.0) or max((step.n_after for step in steps), default=0.0)
    end = competitors.mixture({**rest, ion: ions}) if ions else None
    if end is None:
        return None
    average_V = (start.energy_eV + ions * ion_metal_eV - end.energy_eV) / (ions * ION_VALENCE[ion])
    within = tuple(step for step in steps if step.n_before < ions - 1e-6)
    return Conversion(within, average_V, end.units, ions, start.units)


class ConversionVoltage:
    """Average voltage at which as many ions as the insertion uses would break the charged host up."""

    name: ClassVar[str] = "conversion_voltage"
    summary: ClassVar[str] = "voltage at which the ions would break up the host, or form it where none would stay"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "conversion"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.32
    label: ClassVar[Label] = Label("Voltage of conversion", "Conversion", "Electrochemistry", absent=NO_REFERENCE)
    notes: ClassVar[Mapping[str, Note]] = {
        "conversion_reaction": Note("Conversion: {}.", "Electrochemistry", formulas=True),
        "conversion_curve": Note("Plateaus between known phases: {}.", "Electrochemistry", formulas=True),
        "conversion_full": Note("Converted to the end: {}.", "Electrochemistry", formulas=True),
        "conversion_first_step": Note("The first step of conversion lies at {}.", "Electrochemistry"),
        "insertion_above_conversion": Note("Insertion lies above conversion by {}.", "Electrochemistry"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Nothing where an element has no reference energy (the hull says so)."""
        crystal = subject.candidate.crystal if subject.converts else subject.both[1].crystal
        formula, ion = crystal.formula, subject.ion
        elements = {*formula_atoms(formula), ion}
        if around.reference.coverage(elements).missing:
            return Findings()
        metal_eV = around.reference.ion_metal_energy(ion)
        entries = around.reference.entries(elements)
        if subject.converts:
            found = converted(Competitors(entries), formula, ion, metal_eV)
            if found is None:
                return self._not_covered(formula, ion)
            notes, remark = _curve(found, formula, ion), None
        else:
            own_eV = subject.both[1].energy_eV_per_atom
            units = crystal.n_atoms / sum(formula_atoms(formula).values())
            others = Competitors([*without_host(entries, formula, ion), candidate_entry(formula, own_eV)])
            found = convert(others, formula, own_eV, ion, metal_eV, subject.n_removed / units)
            if found is None:
                return Findings()
            notes, remark = _beside_insertion(found, subject)
        n_atoms = sum(formula_atoms(formula).values()) + (0.0 if ion in formula_atoms(formula) else found.ions)
        return Findings(
            Estimate(
                value=found.average_V,
                sigma=REACTION_SIGMA_eV_PER_ATOM * n_atoms / (found.ions * ION_VALENCE[ion]),
                unit=self.unit,
                method=f"lowest mixture of phases{'' if subject.converts else ' without the host itself'}, 0 K, not "
                f"calibrated; sigma: {REACTION_SIGMA_eV_PER_ATOM:g} eV/atom, RMS error of 9 measured conversions",
                model=around.model.id,
            ),
            reasons=[] if remark is None else [remark],
            notes=notes,
        )

    def _not_covered(self, formula: str, ion: str) -> Findings:
        text = f"the reference holds no compound of {ion} with what {formula} is made of: its conversion is not covered"
        return Findings(reasons=[Reason(stage=self.stage, code="no_curve", text=text, verdict=Verdict.UNDETERMINED)])


def _curve(found: Conversion, formula: str, ion: str) -> dict[str, str]:
    """The plateaus, by what is left without the ions, and the reaction as a whole."""
    rest = {element: round(n) for element, n in formula_atoms(formula).items() if element != ion}
    units = gcd(*rest.values())
    name = reduced_formula(rest) if len(rest) > 1 else next(iter(rest))
    steps = [f"{s.voltage_V:.2f} V for x from {s.n_before / units:.3g} to {s.n_after / units:.3g}" for s in found.steps]
    return {
        "conversion_reaction": reaction_text({**found.rest, ion: found.ions}, found.products),
        "conversion_curve": f"{', '.join(steps)} in {ion}x{name}",
    }


def _beside_insertion(found: Conversion, subject: Subject) -> tuple[dict[str, str], Reason | None]:
    """What conversion would give, and whether it comes before the insertion."""
    formula, ion = subject.both[1].crystal.formula, subject.ion
    notes = {"conversion_reaction": reaction_text({formula: 1.0, ion: found.ions}, found.products)}
    if found.steps:
        first, last = found.steps[0], found.steps[-1]
        full = reaction_text({formula: 1.0, ion: last.n_after}, last.products)
        notes["conversion_first_step"] = f"{first.voltage_V:.2f} V"
        notes["conversion_full"] = f"{full}, last at {last.voltage_V:.2f} V"
    insertion = subject.estimates.get("average_voltage_raw")
    if insertion is None:
        return notes, None
    margin_V = insertion.value - found.average_V
    notes["insertion_above_conversion"] = f"{margin_V:+.2f} V{': conversion competes' if margin_V < MARGIN_V else ''}"
    if margin_V >= 0:
        return notes, None
    text = (
        f"converts before it inserts: the host would break up at {found.average_V:.2f} V, "
        f"{-margin_V:.2f} V above the insertion at {insertion.value:.2f} V, neither calibrated"
    )
    return notes, Reason(stage="conversion", code="converts_first", text=text, verdict=Verdict.PASS)
