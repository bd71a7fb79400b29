"""Energy above the hull of competing phases, of the discharged and of the charged state.

The hull is what the reference knows, without the candidate itself: a negative distance means that the candidate lies
below every known combination of its composition. An incomplete hull gives a lower bound, so its coverage is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from data.records import Estimate, Reason, Verdict
from data.reference import Coverage
from screening.base import Findings, Needs, ReferenceTable, Subject, Surroundings

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    from screening.relax import Relaxation

HULL_SIGMA_eV_PER_ATOM = 0.063
"""Mean absolute error of CHGNet 0.3.0's hull distances on the WBM set (Matbench Discovery, arXiv:2308.14920)."""


@dataclass(frozen=True)
class HullDistance:
    """How far a crystal lies above the known competing phases.

    Attributes:
        value_eV_per_atom: negative below them.
        products: formula -> share of atoms, what it would decompose to.
        coverage: how much of the chemical system is known.
    """

    value_eV_per_atom: float
    products: dict[str, float]
    coverage: Coverage

    @property
    def products_text(self) -> str:
        """``0.57 Li3PO4 + 0.43 Fe2O3`` by share of atoms, largest first."""
        parts = sorted(self.products.items(), key=lambda item: (-item[1], item[0]))
        return " + ".join(f"{share:.2f} {formula}" for formula, share in parts)


class Hulls:
    """Phase diagrams of one reference, each built once."""

    def __init__(self, reference: ReferenceTable) -> None:
        self.reference = reference
        self._diagrams: dict[frozenset[str], PhaseDiagram] = {}

    def distance(self, composition: dict[str, int], energy_eV_per_atom: float) -> HullDistance | None:
        """Distance of a crystal from the hull of its chemical system; None where an element has no reference energy.

        Args:
            composition: atoms by element symbol.
            energy_eV_per_atom: on the scale of the reference (the caller has checked that).
        """
        from pymatgen.core import Composition

        system = frozenset(composition)
        coverage = self.reference.coverage(system)
        if coverage.missing:
            return None
        parts, hull_eV_per_atom = self._diagram(system).get_decomp_and_hull_energy_per_atom(Composition(composition))
        products = {entry.composition.reduced_formula: float(share) for entry, share in parts.items()}
        return HullDistance(energy_eV_per_atom - float(hull_eV_per_atom), products, coverage)

    def _diagram(self, system: frozenset[str]) -> PhaseDiagram:
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
        from pymatgen.core import Composition

        if system not in self._diagrams:
            known = [(Composition(e.formula), e.energy_eV_per_atom) for e in self.reference.entries(system)]
            self._diagrams[system] = PhaseDiagram([PDEntry(c, energy * c.num_atoms) for c, energy in known])
        return self._diagrams[system]


class StabilityDischarge:
    """Energy above the hull of the relaxed discharged state, as made."""

    name: ClassVar[str] = "stability_discharge"
    summary: ClassVar[str] = "energy above the hull of known phases, discharged (as made)"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "hull"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.2

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Distance to the hull of the full chemical system."""
        if subject.discharged is None:
            raise LookupError("the relaxed discharged state is needed")
        return _stability(subject.discharged, around, self.name, self.stage)


class StabilityCharge:
    """Energy above the hull of the relaxed charged state; a high one warns of decay or oxygen loss on charge."""

    name: ClassVar[str] = "stability_charge"
    summary: ClassVar[str] = "energy above the hull of known phases, charged"
    unit: ClassVar[str] = "eV/atom"
    stage: ClassVar[str] = "hull_charged"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.3

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Distance to the hull of the chemical system that is left."""
        return _stability(subject.both[1], around, self.name, self.stage)


def _stability(state: Relaxation, around: Surroundings, name: str, stage: str) -> Findings:
    composition = state.crystal.composition
    found = around.hulls.distance(composition, state.energy_eV_per_atom)
    role = "discharge" if name == "stability_discharge" else "charge"
    if found is None:
        text = around.reference.coverage(composition).text
        verdict = Verdict.UNDETERMINED if name in around.settings.all_limits else Verdict.PASS
        return Findings(reasons=[Reason(stage=stage, code="no_hull", text=text, verdict=verdict)])
    value = found.value_eV_per_atom
    return Findings(
        Estimate(
            value=value,
            sigma=HULL_SIGMA_eV_PER_ATOM,
            unit="eV/atom",
            method="hull of known phases on the same scale; sigma: MAE of CHGNet 0.3.0 on WBM (arXiv:2308.14920)",
            model=around.model.id,
        ),
        notes={
            f"hull_coverage_{role}": found.coverage.text,
            f"competing_phases_{role}": str(found.coverage.n_phases),
            f"decomposes_to_{role}": found.products_text,
        },
    )
