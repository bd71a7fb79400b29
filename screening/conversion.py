"""Conversion competes with insertion: what the host would become if the ions broke it up instead of entering it.

The voltage of conversion follows from the lowest mixture of known phases as ions are added to the host (R. E. Doe et
al., Chem. Mater. 20, 5274, 2008, doi:10.1021/cm801105p). Phases with the very host of the candidate, with or without
ions, are insertion products and left out: the question is what breaking the host up would give. Solids at 0 K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from data.errors import InputError
from data.records import Estimate, reduced_formula
from data.reference import ReferenceEntry
from data.units import ION_VALENCE
from screening.base import Findings, Needs, Subject, Surroundings
from screening.reference_hull import (
    Competitors,
    Mixture,
    Reservoir,
    candidate_entry,
    chemical_potential,
    formula_atoms,
    reaction_text,
)

if TYPE_CHECKING:
    from screening.relax import Relaxation

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
    """

    steps: tuple[ConversionStep, ...]
    average_V: float
    products: dict[str, float]
    ions: float


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
    return Conversion(_steps(competitors, formula, start, ion, ion_metal_eV), average_V, at_ions.units, ions)


def _steps(
    competitors: Competitors, formula: str, start: Mixture, ion: str, ion_metal_eV: float
) -> tuple[ConversionStep, ...]:
    atoms = formula_atoms(formula)
    last = competitors.mixture(atoms, Reservoir({ion: 1.0}, ion_metal_eV - PLATING_eV, lowest=0.0))
    steps = []
    while last is not None and (end := competitors.next_mixture(atoms, start, ion, last.taken)) is not None:
        voltage_V = (ion_metal_eV - chemical_potential(start, end)) / ION_VALENCE[ion]
        steps.append(ConversionStep(start.taken, end.taken, voltage_V, end.units))
        start = end
    return tuple(steps)


class ConversionVoltage:
    """Average voltage at which as many ions as the insertion uses would break the charged host up."""

    name: ClassVar[str] = "conversion_voltage"
    summary: ClassVar[str] = "voltage at which the ions would break up the charged host; insertion should lie above"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "conversion"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.32

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Nothing where an element has no reference energy (the hull says so)."""
        found = _conversion(subject, around)
        if found is None:
            return Findings()
        n_atoms = sum(formula_atoms(subject.both[1].crystal.formula).values()) + found.ions
        return Findings(
            Estimate(
                value=found.average_V,
                sigma=REACTION_SIGMA_eV_PER_ATOM * n_atoms / (found.ions * ION_VALENCE[subject.ion]),
                unit=self.unit,
                method="lowest mixture of phases without the host itself, 0 K, not calibrated; "
                f"sigma: {REACTION_SIGMA_eV_PER_ATOM:g} eV/atom, RMS error of 9 measured conversions",
                model=around.model.id,
            ),
            notes=_notes(found, subject),
        )


def _conversion(subject: Subject, around: Surroundings) -> Conversion | None:
    charged: Relaxation = subject.both[1]
    formula, ion = charged.crystal.formula, subject.ion
    elements = {*formula_atoms(formula), ion}
    if subject.n_removed <= 0 or around.reference.coverage(elements).missing:
        return None
    units = charged.crystal.n_atoms / sum(formula_atoms(formula).values())
    others = without_host(around.reference.entries(elements), formula, ion)
    phases = Competitors([*others, candidate_entry(formula, charged.energy_eV_per_atom)])
    metal_eV = around.reference.ion_metal_energy(ion)
    return convert(phases, formula, charged.energy_eV_per_atom, ion, metal_eV, subject.n_removed / units)


def _notes(found: Conversion, subject: Subject) -> dict[str, str]:
    formula, ion = subject.both[1].crystal.formula, subject.ion
    notes = {"conversion_reaction": reaction_text({formula: 1.0, ion: found.ions}, found.products)}
    if found.steps:
        first, last = found.steps[0], found.steps[-1]
        full = reaction_text({formula: 1.0, ion: last.n_after}, last.products)
        notes["conversion_first_step"] = f"{first.voltage_V:.2f} V"
        notes["conversion_full"] = f"{full}, last at {last.voltage_V:.2f} V"
    insertion = subject.estimates.get("average_voltage_raw")
    if insertion is not None:
        margin_V = insertion.value - found.average_V
        remark = ": conversion competes" if margin_V < MARGIN_V else ""
        notes["insertion_above_conversion"] = f"{margin_V:+.2f} V{remark}"
    return notes
