"""Can it be a crystal: the published structural and compositional checks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure

MIN_DISTANCE_A = 0.5
MIN_VOLUME_A3 = 0.1

_METALLOIDS = frozenset({"Ge", "Sb", "Po"})
"""Metals to SMACT, not to pymatgen."""


def smallest_distance_A(crystal: Crystal) -> float:
    """Smallest distance of two atoms of the cell, images included; infinite for a single atom."""
    distances = to_structure(crystal).distance_matrix
    np.fill_diagonal(distances, np.inf)
    return float(distances.min())


def is_valid_structure(crystal: Crystal) -> bool:
    """Structural validity after CDVAE (arXiv:2110.06197): no atoms nearer than 0.5 A, a cell of 0.1 A^3 or more.

    As published, an atom and its own image do not count as a pair.
    """
    return crystal.volume_A3 >= MIN_VOLUME_A3 and smallest_distance_A(crystal) >= MIN_DISTANCE_A


def sanity_complaint(crystal: Crystal) -> str:
    """Stricter: what is wrong with contacts (below 0.7 sums of covalent radii) or packing; "" for a sane crystal."""
    import torch

    from redoxa.generators.sanity import SanityLimits, contacts, packing

    limits = SanityLimits()
    numbers, coords, lattice = (torch.tensor([x]) for x in (crystal.numbers, crystal.frac_coords, crystal.lattice_A))
    nearest = float(contacts(numbers, coords, lattice)[0])
    if not nearest >= limits.contact:
        return f"a contact of {nearest:.2f} sums of covalent radii"
    ratio = float(packing(numbers, lattice)[0])
    low, high = limits.packing
    return "" if low <= ratio <= high else f"a volume of {ratio:.2f} times that of its covalent spheres"


def is_smact_valid(composition: Mapping[str, int]) -> bool:
    """Compositional validity after SMACT, for comparison with older work.

    Single elements and alloys pass. Otherwise one oxidation state an element must make the cell neutral, with every
    cation less electronegative than every anion (D. W. Davies et al., Chem 1, 617 (2016),
    doi:10.1016/j.chempr.2016.09.010, as CDVAE applies it). The states are pymatgen's, all of them: on 4,000 known
    formulas the answer is that of the package `smact` 2.6 for 98.3 %, and 87.3 % of them pass (smact: 89.1 %). The
    package itself is not used: 2.6 wants numpy 1, and 4.0 has other tables.
    """
    divisor = math.gcd(*composition.values())
    return _neutral(tuple(sorted((element, n // divisor) for element, n in composition.items())))


@lru_cache(maxsize=65536)
def _neutral(counts: tuple[tuple[str, int], ...]) -> bool:
    elements = sorted(((_chemistry(symbol), n) for symbol, n in counts), key=lambda item: item[0].electronegativity)
    if len(counts) == 1 or all(e.metal for e, _ in elements):
        return True
    if any(math.isnan(e.electronegativity) for e, _ in elements):
        return False
    # In order of electronegativity, the first few elements are cations and the others anions.
    for cut in range(1, len(elements)):
        if elements[cut - 1][0].electronegativity == elements[cut][0].electronegativity:
            continue
        charges = {0}
        for i, (element, n) in enumerate(elements):
            charges = {c + n * s for c in charges for s in element.states if (s > 0 if i < cut else s < 0)}
        if 0 in charges:
            return True
    return False


class _Chemistry(NamedTuple):
    electronegativity: float
    states: tuple[int, ...]
    metal: bool


@cache
def _chemistry(symbol: str) -> _Chemistry:
    from pymatgen.core import Element

    element = Element(symbol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noble gases have no electronegativity
        electronegativity = float(element.X)
    return _Chemistry(electronegativity, tuple(element.oxidation_states), element.is_metal or symbol in _METALLOIDS)
