"""How far a crystal lies above the hull of what is known to compete with it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from redoxa.data.records import reduced_formula
from redoxa.data.tables.reference import Coverage
from redoxa.screening.physics.hull_energy import Competitors, formula_atoms, reaction_text
from redoxa.screening.ports import ReferenceTable

SYSTEMS_KEPT: Final = 64
"""Chemical systems whose phases are kept at hand, some 30 kB each."""


@dataclass(frozen=True)
class HullDistance:
    """How far a crystal lies above the known competing phases.

    Attributes:
        value_eV_per_atom: negative below them.
        products: formula -> share of atoms, what it would decompose to.
        coverage: how much of the chemical system is known.
        reaction: the decomposition, balanced.
    """

    value_eV_per_atom: float
    products: dict[str, float]
    coverage: Coverage
    reaction: str = ""

    @property
    def products_text(self) -> str:
        """``0.57 Li3PO4 + 0.43 Fe2O3`` by share of atoms, largest first."""
        parts = sorted(self.products.items(), key=lambda item: (-round(item[1], 6), item[0]))
        return " + ".join(f"{share:.2f} {formula}" for formula, share in parts)


class Hulls:
    """Hull distances against one reference; the phases of recent chemical systems are kept."""

    def __init__(self, reference: ReferenceTable) -> None:
        self.reference = reference
        self._systems: OrderedDict[frozenset[str], tuple[Competitors, Coverage]] = OrderedDict()

    def distance(self, composition: Mapping[str, int], energy_eV_per_atom: float) -> HullDistance | None:
        """Distance of a crystal from the hull of its chemical system; None where an element has no reference energy.

        Args:
            composition: atoms by element symbol.
            energy_eV_per_atom: on the scale of the reference (the caller has checked that).
        """
        competitors, coverage = self._system(frozenset(composition))
        formula = reduced_formula(dict(composition))
        atoms = formula_atoms(formula)
        found = None if coverage.missing else competitors.mixture(atoms)
        if found is None:
            return None
        n_atoms = sum(atoms.values())
        products = {f: n * sum(formula_atoms(f).values()) / n_atoms for f, n in found.units.items()}
        return HullDistance(
            energy_eV_per_atom - found.energy_eV / n_atoms,
            products,
            coverage,
            reaction_text({formula: 1.0}, found.units),
        )

    def _system(self, elements: frozenset[str]) -> tuple[Competitors, Coverage]:
        if elements not in self._systems:
            self._systems[elements] = Competitors(self.reference.entries(elements)), self.reference.coverage(elements)
        self._systems.move_to_end(elements)
        while len(self._systems) > SYSTEMS_KEPT:
            self._systems.popitem(last=False)
        return self._systems[elements]
