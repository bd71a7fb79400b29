"""Distances from the hull: one small linear programme a formula, in any number of elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from data.reference import Reference, ReferenceEntry

Fractions = Mapping[str, float]
"""Atomic fractions by element symbol; they sum to one."""


def fractions(formula: str) -> dict[str, float]:
    """Atomic fractions of a formula."""
    from pymatgen.core import Composition

    return {str(e): float(x) for e, x in Composition(formula).fractional_composition.items()}


def hull_energy(composition: Fractions, entries: Sequence[ReferenceEntry]) -> float | None:
    """Lowest energy in eV/atom that a mixture of the entries reaches at this composition; None where none can make it.

    Minimises sum(c_i E_i) over c_i >= 0 with sum(c_i x_i) = x, where x are atomic fractions: the convex hull at one
    point (Akbarzadeh, Ozolins, Wolverton, Adv. Mater. 19, 3233, 2007, doi:10.1002/adma.200700843). With many elements
    it is far cheaper than the whole hull.
    """
    elements = sorted(composition)
    if not entries:
        return None
    rows = {element: i for i, element in enumerate(elements)}
    matrix = np.zeros((len(elements), len(entries)))
    for j, entry in enumerate(entries):
        for element, x in fractions(entry.formula).items():
            matrix[rows[element], j] = x
    energies = np.array([entry.energy_eV_per_atom for entry in entries])
    found = linprog(energies, A_eq=matrix, b_eq=[composition[e] for e in elements], method="highs")
    return float(found.fun) if found.status == 0 else None


def hull_distances(reference: Reference, energies: Iterable[tuple[str, float]]) -> list[float | None]:
    """Distance in eV/atom of (formula, energy by atom) from the hull; negative below it, None where there is none."""
    hull: dict[str, float | None] = {}
    distances = []
    for formula, energy in energies:
        if formula not in hull:
            x = fractions(formula)
            hull[formula] = hull_energy(x, reference.entries(x))
        level = hull[formula]
        distances.append(None if level is None else energy - level)
    return distances


@dataclass(frozen=True)
class Agreement:
    """How two sets of hull distances agree, in eV/atom; `bias` is mean(ours - listed)."""

    n: int
    mean_abs_difference: float
    median_abs_difference: float
    bias: float
    same_side_of_0_1: float
    """Share of structures on the same side of 0.1 eV/atom."""


def agreement(ours: Sequence[float], listed: Sequence[float]) -> Agreement:
    """Compare hull distances of the same structures."""
    a, b = np.asarray(ours), np.asarray(listed)
    gap = a - b
    return Agreement(
        n=len(gap),
        mean_abs_difference=float(np.abs(gap).mean()),
        median_abs_difference=float(np.median(np.abs(gap))),
        bias=float(gap.mean()),
        same_side_of_0_1=float(((a <= 0.1) == (b <= 0.1)).mean()),
    )
