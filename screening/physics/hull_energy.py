"""Mixtures of known phases of lowest energy: small linear programmes, in any number of elements.

One programme answers what a composition decomposes to, and, with a reservoir, what it becomes as an element
enters or leaves: the basis of hull distances, oxygen release, conversion and electrochemical windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from types import MappingProxyType

import numpy as np
from scipy.optimize import linprog

from redoxa.data.tables.reference import Reference, ReferenceEntry

Fractions = Mapping[str, float]
"""Atomic fractions by element symbol; they sum to one."""

Amounts = Mapping[str, float]
"""Atoms by element symbol, or formula units by formula."""

ENERGY_TOLERANCE_eV_PER_ATOM = 1e-7
AMOUNT_TOLERANCE = 1e-6
"""In formula units or atoms by atom of the composition: smaller amounts are noise of the solver."""


def fractions(formula: str) -> dict[str, float]:
    """Atomic fractions of a formula."""
    atoms = formula_atoms(formula)
    total = sum(atoms.values())
    return {element: n / total for element, n in atoms.items()}


@cache
def formula_atoms(formula: str) -> Mapping[str, float]:
    """Atoms of a formula unit by element symbol."""
    from pymatgen.core import Composition

    return MappingProxyType({str(element): float(n) for element, n in Composition(formula).items()})


def candidate_entry(formula: str, energy_eV_per_atom: float) -> ReferenceEntry:
    """A crystal that is not in the reference as a phase, to compete with the others."""
    return ReferenceEntry(formula, energy_eV_per_atom, "candidate", "candidate", "relaxed")


@dataclass(frozen=True)
class Reservoir:
    """A source and sink, from which between `lowest` and `highest` portions are taken (negative: given).

    `portion` is what one holds, mostly an atom of an element: atoms by symbol, negative ones going the other way.
    `mu_eV` is the chemical potential of a portion, on the scale of the phases.
    """

    portion: Amounts
    mu_eV: float = 0.0
    lowest: float = -math.inf
    highest: float = math.inf


@dataclass(frozen=True)
class Mixture:
    """The phases of lowest energy.

    Attributes:
        energy_eV: of the phases together, without the reservoir.
        units: formula units by formula.
        taken: portions that came from the reservoir; negative where it received some.
    """

    energy_eV: float
    units: dict[str, float]
    taken: float = 0.0


class Competitors:
    """Phases that a composition may become."""

    def __init__(self, entries: Sequence[ReferenceEntry]) -> None:
        self.formulas = tuple(entry.formula for entry in entries)
        self.sizes = np.array([sum(formula_atoms(f).values()) for f in self.formulas])
        self._energies = np.array([entry.energy_eV_per_atom for entry in entries])
        self._rows = {
            e: i for i, e in enumerate(sorted({e for entry in entries for e in formula_atoms(entry.formula)}))
        }
        self._matrix = np.zeros((len(self._rows), len(entries)))
        for j, formula in enumerate(self.formulas):
            for element, share in fractions(formula).items():
                self._matrix[self._rows[element], j] = share

    def mixture(self, atoms: Amounts, reservoir: Reservoir | None = None) -> Mixture | None:
        """The mixture of lowest energy (less the chemical potential of what came from a reservoir).

        Minimises sum(c_i E_i) - mu n over c_i >= 0 and n with sum(c_i x_i) = composition + n, x being atomic fractions:
        the convex hull at one point (Akbarzadeh, Ozolins, Wolverton, Adv. Mater. 19, 3233, 2007,
        doi:10.1002/adma.200700843). With many elements it is far cheaper than the whole hull.

        Returns:
            None where no mixture has this composition, or none is lowest (a reservoir richer than the element itself).
        """
        total = sum(atoms.values())
        if any(n > 0 and element not in self._rows for element, n in atoms.items()) or not self.formulas:
            return None
        target = np.array([atoms.get(element, 0.0) / total for element in self._rows])
        costs, matrix, bounds = self._energies, self._matrix, [(0.0, math.inf)] * len(self.formulas)
        if reservoir is not None:
            source = np.array([[-reservoir.portion.get(element, 0.0)] for element in self._rows])
            costs, matrix = np.append(costs, -reservoir.mu_eV), np.hstack([matrix, source])
            bounds = [*bounds, (reservoir.lowest / total, reservoir.highest / total)]
        found = linprog(costs, A_eq=matrix, b_eq=target, bounds=bounds, method="highs")
        if found.status != 0:
            return None
        shares = found.x[: len(self.formulas)]
        units = {f: total * c / n for f, c, n in zip(self.formulas, shares, self.sizes, strict=True) if c > 1e-7}
        energy = total * float(self._energies @ shares)
        return Mixture(energy, units, total * float(found.x[-1]) if reservoir is not None else 0.0)

    def next_mixture(self, atoms: Amounts, start: Mixture, element: str, limit: float) -> Mixture | None:
        """What `start` becomes first as an element enters (`limit` above `start.taken`) or leaves (below it).

        The energy of the lowest mixture is convex and piecewise linear in the content of the element. The chord from
        the start is turned until nothing lies below it; then it is the tangent, and ends at the next corner.

        Args:
            atoms: the composition in which nothing has been taken.
            start: its lowest mixture at some content of the element.
            element: what is exchanged.
            limit: atoms taken at most.

        Returns:
            The mixture at the next corner; the chemical potential on the way there is the slope (`chemical_potential`).
            None where there is no such mixture.
        """
        total = sum(atoms.values())
        end = self.mixture(atoms, Reservoir({element: 1.0}, 0.0, limit, limit))
        while end is not None and abs(end.taken - start.taken) > AMOUNT_TOLERANCE * total:
            mu_eV = chemical_potential(start, end)
            low, high = sorted((start.taken, end.taken))
            below = self.mixture(atoms, Reservoir({element: 1.0}, mu_eV, low, high))
            if below is None:
                return None
            gain_eV = (start.energy_eV - mu_eV * start.taken) - (below.energy_eV - mu_eV * below.taken)
            if gain_eV < ENERGY_TOLERANCE_eV_PER_ATOM * total or abs(below.taken - end.taken) < AMOUNT_TOLERANCE:
                return end
            end = below
        return None


def chemical_potential(a: Mixture, b: Mixture) -> float:
    """Chemical potential in eV/atom of the exchanged element while one mixture becomes the other."""
    return (b.energy_eV - a.energy_eV) / (b.taken - a.taken)


def reaction_text(left: Amounts, right: Amounts) -> str:
    """A reaction in whole numbers, e.g. ``4 FeO2 -> 2 Fe2O3 + O2``; by the first formula where they would be large.

    Args:
        left: formula units by formula; those below a ten-thousandth of the first are left out, as on the right.
        right: likewise.
    """
    first = next(iter(left.values()))
    sides = [{f: n / first for f, n in side.items() if n / first > 1e-4} for side in (left, right)]
    exact = [{f: Fraction(n).limit_denominator(120) for f, n in side.items()} for side in sides]
    scale = math.lcm(*(n.denominator for side in exact for n in side.values()))
    largest = max(n * scale for side in exact for n in side.values())
    close = all(abs(float(exact[i][f]) - n) < 1e-4 for i in (0, 1) for f, n in sides[i].items())
    if close and largest <= 240:
        counts = [{f: str(n * scale) for f, n in side.items()} for side in exact]
    else:
        counts = [{f: f"{n:.3g}" for f, n in side.items()} for side in sides]
    return " -> ".join(" + ".join(f"{n} {f}".removeprefix("1 ") for f, n in side.items()) for side in counts)


def hull_energy(composition: Fractions, entries: Sequence[ReferenceEntry]) -> float | None:
    """Lowest energy in eV/atom that a mixture of the entries reaches at this composition; None where there is none."""
    found = Competitors(entries).mixture(composition)
    return None if found is None else found.energy_eV


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
