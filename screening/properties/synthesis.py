"""The property `synthesis_energy`: is the compound downhill from the powders that one would weigh for it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from redoxa.data.errors import CanBeBoughtError, RecipeError
from redoxa.data.records import Crystal, Estimate, Reason, ScreeningResult, Verdict
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.data.synthesis.route import Route, find_routes
from redoxa.data.tables.reference import ReferenceEntry, formula_elements
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label, Note
from redoxa.screening.physics.furnace import DECARBONATION_kJ_mol, solid_thermal_eV_per_atom
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.physics.reaction_energy import Furnace, Phase, ReactionEnergies, furnace_at
from redoxa.screening.ports import ReferenceTable

FIRING_K: Final = 1000.0
"""Where most electrode materials are fired: 900 to 1200 K."""

SYNTHESIS_SIGMA_eV_PER_ATOM: Final = 0.05
"""RMS error of 20 measured reactions of oxides, carbonates and phosphates on the shipped reference (298 K)."""

SHOWN = 3


class SynthesisEnergy:
    """Free energy of the reaction from the powders that the planner takes; it does not say that the compound forms."""

    name: ClassVar[str] = "synthesis_energy"
    summary: ClassVar[str] = "free energy of the reaction from the planned powders at 1000 K; negative is downhill"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "synthesis"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.5
    label: ClassVar[Label] = Label(
        "Energy of the best synthesis",
        "Synthesis energy",
        "Practicalities",
        absent="no reaction of common precursors balances",
        reasoned=True,
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "synthesis_reaction": Note("Best reaction from common precursors: {}.", "Practicalities", formulas=True),
        "synthesis_rivals": Note("The compound lies {}, its deepest rivals.", "Practicalities", formulas=True),
        "synthesis_alternatives": Note("Other reactions: {}.", "Practicalities", formulas=True),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Rank the routes as a recipe does, and name the best with its rivals and runners-up."""
        made = subject.as_made
        missing = around.reference.coverage(made.crystal.composition).missing
        if missing:
            return self._undecided(f"no reference energy for {', '.join(missing)}", around)
        energies = energies_of(made.crystal, made.energy_eV_per_atom, around.reference)
        try:
            routes = find_routes(made.crystal.formula, default_catalogue(), energies)
        except CanBeBoughtError as error:
            return self._undecided(str(error), around, "no_route_needed")
        except RecipeError as error:
            return self._undecided(str(error), around)
        known = [route for route in routes if route.energy is not None]
        if not known or known[0].energy is None:
            return self._undecided(f"the reference lacks energies of {routes[0].reaction.text}", around)
        return Findings(
            Estimate(
                value=known[0].energy.driving_force_eV_per_atom,
                sigma=SYNTHESIS_SIGMA_eV_PER_ATOM,
                unit=self.unit,
                method=f"{FIRING_K:g} K in {known[0].atmosphere}, by atom made, from what the powders leave when they "
                "decompose; sigma: RMS error of 20 measured reactions",
                model=around.model.id,
            ),
            notes=_notes(known),
        )

    def _undecided(self, text: str, around: Surroundings, code: str = "no_route") -> Findings:
        limited = self.name in around.settings.all_limits and code == "no_route"
        verdict = Verdict.UNDETERMINED if limited else Verdict.PASS
        return Findings(reasons=[Reason(stage=self.stage, code=code, text=text, verdict=verdict)])


def energies_of(
    crystal: Crystal, energy_eV_per_atom: float, reference: ReferenceTable, temperature_K: float = FIRING_K
) -> ReactionEnergies | None:
    """Energies of the reactions that make a compound; None for an element.

    Args:
        crystal: relaxed by the potential of the reference.
        energy_eV_per_atom: of it, on that scale.
        reference: energies of precursors and rivals; holds every element of the compound.
        temperature_K: of firing, within 300 to 1800 K.
    """
    elements = set(crystal.composition)
    if len(elements) < 2:
        return None
    target = _by_formula_unit(crystal.formula, energy_eV_per_atom)
    known = [_phase(entry) for entry in reference.entries(elements | ({"C"} if "O" in elements else set()))]
    solid = solid_thermal_eV_per_atom(crystal, temperature_K)
    return ReactionEnergies(target, known, _furnace(reference, solid, temperature_K, "O" in elements))


def energies_for(result: ScreeningResult, reference: ReferenceTable) -> ReactionEnergies | None:
    """The same for what a screening relaxed; None where it found no place above the hull for it."""
    crystal, above = result.crystals.get("discharged"), result.estimates.get("stability_discharge")
    if crystal is None or above is None:
        return None
    hull = Hulls(reference).distance(crystal.composition, 0.0)
    return None if hull is None else energies_of(crystal, above.value - hull.value_eV_per_atom, reference)


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
    notes = {"synthesis_reaction": f"{best.reaction.text} ({best.atmosphere}, {FIRING_K:g} K)"}
    if best.energy is not None and best.energy.rivals:
        depth = best.energy.inverse_hull_eV_per_atom
        side = "below" if depth < 0 else "above"
        notes["synthesis_rivals"] = f"{abs(depth):.3f} eV/atom {side} {' + '.join(best.energy.rivals)}"
    others = [route.text for route in routes[1:SHOWN]]
    return notes | ({"synthesis_alternatives": "; ".join(others)} if others else {})
