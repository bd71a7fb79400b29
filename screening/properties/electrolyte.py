"""Electrochemical windows of phases, and whether an electrode works within what common electrolytes stand.

* The window of a phase: potentials against the ion's metal at which the lowest mixture of its composition neither takes
  ions up nor gives them off (Y. Zhu, X. He, Y. Mo, ACS Appl. Mater. Interfaces 7, 23685, 2015,
  doi:10.1021/acsami.5b07517).
* The reaction of an electrode with a solid electrolyte, at the mixing ratio that gives most energy by atom, without a
  flow of ions (W. D. Richards et al., Chem. Mater. 28, 266, 2016, doi:10.1021/acs.chemmater.5b04082).
* Liquid electrolytes: practical limits from the literature, `LIQUIDS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from redoxa.data.errors import InputError
from redoxa.data.records import Estimate
from redoxa.data.units import ION_VALENCE
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label, Note
from redoxa.screening.physics.hull_energy import (
    Competitors,
    Reservoir,
    candidate_entry,
    chemical_potential,
    formula_atoms,
    reaction_text,
)
from redoxa.screening.ports import ReferenceTable
from redoxa.screening.properties.conversion import REACTION_SIGMA_eV_PER_ATOM

if TYPE_CHECKING:
    from redoxa.screening.compute.relax import Relaxation


@dataclass(frozen=True)
class Liquid:
    """Potentials in V against the ion's metal between which a liquid electrolyte neither is reduced nor oxidised."""

    name: str
    reduction_V: float
    oxidation_V: float
    sigma_V: float
    source: str


_GOODENOUGH = "J. B. Goodenough, Y. Kim, Chem. Mater. 22, 587 (2010), doi:10.1021/cm901452z"

LIQUIDS: Final[Mapping[str, Liquid]] = {
    "Li": Liquid("LiPF6 in carbonates", 1.1, 4.3, 0.2, _GOODENOUGH),
    "Na": Liquid("NaPF6 in carbonates", 0.8, 4.0, 0.3, f"{_GOODENOUGH}, less 0.33 V between Na/Na+ and Li/Li+"),
    "K": Liquid("KPF6 in carbonates", 1.0, 4.2, 0.3, f"{_GOODENOUGH}, less 0.11 V between K/K+ and Li/Li+"),
    "Mg": Liquid(
        "phenyl complexes in THF", 0.0, 3.3, 0.3, "O. Mizrahi et al., J. Electrochem. Soc. 155, A103 (2008), "
        "doi:10.1149/1.2806175"
    ),
    "Al": Liquid("AlCl3 in ionic liquid", 0.0, 2.45, 0.2, "M.-C. Lin et al., Nature 520, 324 (2015), "
        "doi:10.1038/nature14340"),
}  # fmt: skip
"""By working ion. Electrodes below the reduction limit need a film that shields them, as graphite has."""

SOLIDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Li": ("Li3PS4", "Li6PS5Cl", "Li7La3Zr2O12", "Li3PO4", "LiTi2(PO4)3"),
    "Na": ("Na3PS4", "Na3Zr2Si2PO12"),
}
"""Solid electrolytes by working ion; where the reference lacks one, it is taken to lie on the hull of its system."""

NO_REACTION_eV_PER_ATOM: Final = -1e-4
MOST_IONS: Final = 50.0
"""By formula unit: far more than any compound takes up before metal plates."""


@dataclass(frozen=True)
class Window:
    """Potentials in V against the ion's metal, and the reactions at its ends.

    `reduction_V` is 0 where metal plates first, `oxidation_V` None for a phase without ions.
    """

    reduction_V: float
    oxidation_V: float | None
    reduction: str
    oxidation: str

    @property
    def text(self) -> str:
        """E.g. ``0.61 to 4.19 V (Li3PO4 + 8 Li -> 4 Li2O + Li3P; ...)``."""
        upper = "" if self.oxidation_V is None else f" to {self.oxidation_V:.2f} V"
        lower = f"{self.reduction_V:.2f}" + ("" if upper else " V upwards")
        reactions = "; ".join(text for text in (self.reduction, self.oxidation) if text)
        return f"{lower}{upper} ({reactions})" if reactions else lower + upper


@dataclass(frozen=True)
class Interface:
    """The reaction of two phases that gives most energy; `energy_eV_per_atom` is 0 where they do not react."""

    energy_eV_per_atom: float
    reaction: str


def window(competitors: Competitors, formula: str, ion: str, ion_metal_eV: float) -> Window | None:
    """Electrochemical window of a composition against the metal of an ion.

    Args:
        competitors: phases of the system of formula and ion, the phase itself among them where it is to compete.
        formula: reduced formula.
        ion: working ion.
        ion_metal_eV: energy of its metal by atom, on their scale.

    Raises:
        InputError: the ion is unknown.

    Returns:
        None where the phases make up no mixture of this composition.
    """
    if ion not in ION_VALENCE:
        raise InputError(f"'{ion}' is not a working ion. Known: {', '.join(ION_VALENCE)}")
    atoms = formula_atoms(formula)
    start = competitors.mixture(atoms)
    if start is None:
        return None
    limits = {"in": MOST_IONS, "out": -atoms.get(ion, 0.0)}
    ends = {way: competitors.next_mixture(atoms, start, ion, limit) for way, limit in limits.items()}
    volts = {
        way: (ion_metal_eV - chemical_potential(start, end)) / ION_VALENCE[ion]
        for way, end in ends.items()
        if end is not None
    }
    taken, left = ends["in"], ends["out"]
    plates = volts.get("in", 0.0) < 1e-6 or taken is None
    return Window(
        reduction_V=0.0 if plates else volts["in"],
        oxidation_V=volts.get("out"),
        reduction="" if plates or taken is None else reaction_text({formula: 1.0, ion: taken.taken}, taken.units),
        oxidation="" if left is None else reaction_text({formula: 1.0}, {**left.units, ion: -left.taken}),
    )


def interface(competitors: Competitors, electrode: tuple[str, float], electrolyte: tuple[str, float]) -> Interface:
    """The reaction of two phases at the ratio that gives most energy by atom of both.

    Args:
        competitors: phases of the system of both.
        electrode: its reduced formula and energy in eV/atom.
        electrolyte: likewise.
    """
    (a, a_eV), (b, b_eV) = electrode, electrolyte
    size_a, size_b = (sum(formula_atoms(f).values()) for f in (a, b))
    atoms_b = {e: n / size_b for e, n in formula_atoms(b).items()}
    atoms_a = {e: n / size_a for e, n in formula_atoms(a).items()}
    portion = {e: atoms_a.get(e, 0.0) - atoms_b.get(e, 0.0) for e in atoms_a.keys() | atoms_b.keys()}
    found = competitors.mixture(atoms_b, Reservoir(portion, a_eV - b_eV, 0.0, 1.0))
    if found is None:
        return Interface(0.0, "")
    share = found.taken
    energy_eV = found.energy_eV - share * a_eV - (1 - share) * b_eV
    if energy_eV > NO_REACTION_eV_PER_ATOM:
        return Interface(0.0, "")
    return Interface(energy_eV, reaction_text({a: share / size_a, b: (1 - share) / size_b}, found.units))


class ElectrolyteMargin:
    """How far the average voltage lies within the limits of the liquid electrolyte that is common for the ion."""

    name: ClassVar[str] = "electrolyte_margin"
    summary: ClassVar[str] = "average voltage to the limit of the ion's common liquid electrolyte; negative beyond"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "electrolyte"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.33
    label: ClassVar[Label] = Label(
        "Margin to the limit of the liquid electrolyte",
        "Electrolyte margin",
        "Electrochemistry",
        absent="no common liquid electrolyte is listed for the ion",
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "stability_window_discharge": Note("Window of the discharged phase: {}.", "Decomposition", formulas=True),
        "stability_window_charge": Note("Window of the charged phase: {}.", "Decomposition", formulas=True),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """To the oxidation limit for cathodes, to the reduction limit for anodes; windows of both states as notes."""
        notes = _windows(subject, around.reference)
        liquid, average = LIQUIDS.get(subject.ion), subject.estimates.get("average_voltage")
        if liquid is None or average is None:
            return Findings(notes=notes)
        anode = around.settings.role == "anode"
        limit_V = liquid.reduction_V if anode else liquid.oxidation_V
        margin_V = average.value - limit_V if anode else limit_V - average.value
        return Findings(
            Estimate(
                value=margin_V,
                sigma=math.hypot(liquid.sigma_V, average.sigma),
                unit=self.unit,
                method=f"{liquid.name}: {liquid.reduction_V:g} to {liquid.oxidation_V:g} V vs {subject.ion} "
                f"({liquid.source})",
                model=average.model,
            ),
            notes=notes,
        )


class InterfaceReactionEnergy:
    """Reaction of the charged state with the solid electrolyte that suits it best; 0 where they do not react."""

    name: ClassVar[str] = "interface_reaction_energy"
    summary: ClassVar[str] = "energy of the charged state's reaction with the solid electrolyte that suits it best"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "electrolyte_solid"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.35
    label: ClassVar[Label] = Label(
        "Reaction with the mildest solid electrolyte",
        "Interface reaction",
        "Decomposition",
        absent="the reference lacks energies for it, or no solid electrolyte is listed for the ion",
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "solid_electrolytes": Note("With solid electrolytes: {}.", "Decomposition", formulas=True),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Every electrolyte of the ion whose elements the reference has; all of them stand in the notes."""
        known = {name: interface_with(subject.both[1], name, around.reference) for name in SOLIDS.get(subject.ion, ())}
        found = {name: reaction for name, reaction in known.items() if reaction is not None}
        if not found:
            return Findings()
        ranked = sorted(found.items(), key=lambda item: -round(item[1].energy_eV_per_atom, 6))  # several do not react
        best = ranked[0][0]
        return Findings(
            Estimate(
                value=found[best].energy_eV_per_atom,
                sigma=REACTION_SIGMA_eV_PER_ATOM,
                unit=self.unit,
                method=f"charged state on {best}, ratio of most energy, closed, 0 K; sigma: RMS error of 9 conversions",
                model=around.model.id,
            ),
            notes={"solid_electrolytes": "; ".join(_interface_text(name, reaction) for name, reaction in ranked)},
        )


def interface_with(state: Relaxation, electrolyte: str, reference: ReferenceTable) -> Interface | None:
    """Reaction of a relaxed state with a solid electrolyte; None where the reference lacks an element.

    An electrolyte that the reference lacks is taken to lie on the hull of its system.
    """
    own, other = formula_atoms(state.crystal.formula), formula_atoms(electrolyte)
    if reference.coverage({*own, *other}).missing:
        return None
    entries = reference.entries({*own, *other})
    listed = [entry.energy_eV_per_atom for entry in entries if entry.formula == electrolyte]
    hull = Competitors(entries).mixture(other)
    if hull is None:
        return None
    electrolyte_eV = listed[0] if listed else hull.energy_eV / sum(other.values())
    electrode = (state.crystal.formula, state.energy_eV_per_atom)
    phases = [*entries, candidate_entry(*electrode), candidate_entry(electrolyte, electrolyte_eV)]
    return interface(Competitors(phases), electrode, (electrolyte, electrolyte_eV))


def _interface_text(name: str, reaction: Interface) -> str:
    if not reaction.reaction:
        return f"{name}: no reaction"
    return f"{name}: {reaction.energy_eV_per_atom:.3f} eV/atom ({reaction.reaction})"


def _windows(subject: Subject, reference: ReferenceTable) -> dict[str, str]:
    notes = {}
    for role, state in zip(("discharge", "charge"), subject.both, strict=True):
        formula, ion = state.crystal.formula, subject.ion
        elements = {*formula_atoms(formula), ion}
        if reference.coverage(elements).missing:
            continue
        phases = [*reference.entries(elements), candidate_entry(formula, state.energy_eV_per_atom)]
        found = window(Competitors(phases), formula, ion, reference.ion_metal_energy(ion))
        if found is not None:
            notes[f"stability_window_{role}"] = found.text
    return notes
