"""The property `synthesis_energy`: is the compound downhill from common solid precursors?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from data.records import Estimate, Reason, Verdict
from data.reference import ReferenceEntry, formula_elements
from screening.base import Findings, Needs, ReferenceTable, Subject, Surroundings
from screening.furnace import DECARBONATION_kJ_mol, solid_thermal_eV_per_atom
from screening.synthesis_routes import PRECURSORS, Furnace, Phase, Route, find_routes, furnace_at

if TYPE_CHECKING:
    from screening.relax import Relaxation

FIRING_K: Final = 1000.0
"""Where most electrode materials are fired: 900 to 1200 K."""

SYNTHESIS_SIGMA_eV_PER_ATOM: Final = 0.05
"""RMS error of 20 measured reactions of oxides, carbonates and phosphates on the shipped reference (298 K)."""

SHOWN = 3


class SynthesisEnergy:
    """Free energy of the most favourable reaction from common precursors; it does not say that the compound forms."""

    name: ClassVar[str] = "synthesis_energy"
    summary: ClassVar[str] = "free energy of the best reaction from common precursors at 1000 K; negative is downhill"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "synthesis"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.5

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Balance every set of precursors, rank the routes, and name the best with its rivals."""
        if subject.candidate.formula in PRECURSORS:
            text = f"{subject.candidate.formula} can be bought as a powder: no reaction has to make it"
            return self._undecided(text, around, "no_route_needed")
        missing = around.reference.coverage(subject.as_made.crystal.composition).missing
        if missing:
            return self._undecided(f"no reference energy for {', '.join(missing)}", around)
        routes = routes_to(subject.as_made, around.reference)
        if not routes:
            return self._undecided(f"no set of common precursors balances to {subject.candidate.formula}", around)
        best = routes[0]
        return Findings(
            Estimate(
                value=best.driving_force_eV_per_atom,
                sigma=SYNTHESIS_SIGMA_eV_PER_ATOM,
                unit=self.unit,
                method=f"{FIRING_K:g} K in {best.atmosphere}, by atom made; sigma: RMS error of 20 measured reactions",
                model=around.model.id,
            ),
            notes=_notes(routes),
        )

    def _undecided(self, text: str, around: Surroundings, code: str = "no_route") -> Findings:
        limited = self.name in around.settings.all_limits and code == "no_route"
        verdict = Verdict.UNDETERMINED if limited else Verdict.PASS
        return Findings(reasons=[Reason(stage=self.stage, code=code, text=text, verdict=verdict)])


def routes_to(discharged: Relaxation, reference: ReferenceTable, temperature_K: float = FIRING_K) -> list[Route]:
    """Routes to a relaxed compound, the best first.

    Args:
        discharged: relaxed by the potential of the reference.
        reference: energies of precursors and rivals; holds every element of the compound.
        temperature_K: of firing, within 300 to 1800 K.
    """
    crystal = discharged.crystal
    atoms = {e: float(n) for e, n in crystal.composition.items()}
    if len(atoms) < 2:
        return []
    target = _by_formula_unit(crystal.formula, discharged.energy_eV_per_atom)
    elements = atoms.keys() | ({"C"} if "O" in atoms else set())
    known = [_phase(entry) for entry in reference.entries(elements)]
    solid = solid_thermal_eV_per_atom(crystal, temperature_K)
    return find_routes(target, known, _furnace(reference, solid, temperature_K, "O" in atoms))


def _furnace(reference: ReferenceTable, solid_eV_per_atom: float, temperature_K: float, oxygen: bool) -> Furnace:
    if not oxygen:
        return furnace_at([], 0.0, solid_eV_per_atom, temperature_K)
    pairs = DECARBONATION_kJ_mol.keys()
    wanted = {formula for pair in pairs for formula in pair}
    entries = [e for pair in pairs for e in reference.entries(formula_elements(pair[0])) if e.formula in wanted]
    oxygen_eV = 2 * min(entry.energy_eV_per_atom for entry in reference.entries({"O"}))
    return furnace_at(map(_phase, entries), oxygen_eV, solid_eV_per_atom, temperature_K)


def _phase(entry: ReferenceEntry) -> Phase:
    return _by_formula_unit(entry.formula, entry.energy_eV_per_atom)


def _by_formula_unit(formula: str, energy_eV_per_atom: float) -> Phase:
    from pymatgen.core import Composition

    composition = Composition(formula)
    atoms = {str(e): float(n) for e, n in composition.items()}
    return Phase(formula, atoms, energy_eV_per_atom * float(composition.num_atoms))


def _notes(routes: list[Route]) -> dict[str, str]:
    best = routes[0]
    depth = best.inverse_hull_eV_per_atom
    side = "below" if depth < 0 else "above"
    notes = {
        "synthesis_reaction": f"{best.text} ({best.atmosphere}, {FIRING_K:g} K)",
        "synthesis_rivals": f"{abs(depth):.3f} eV/atom {side} {' + '.join(best.rivals)}",
    }
    others = [f"{r.text} ({r.atmosphere}) {r.driving_force_eV_per_atom:+.3f} eV/atom" for r in routes[1:SHOWN]]
    return notes | ({"synthesis_alternatives": "; ".join(others)} if others else {})
