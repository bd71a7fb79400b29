"""A crystal in 22 numbers: the embedding of the Frechet distance.

Chemistry (mean and spread over the atoms of electronegativity, covalent radius, period, Mendeleev number), how many
elements, volume by atom and packing, average minimum distances to eight neighbours (arXiv:2009.02488; they come with
the fingerprint) and the order of the point group. Cheap (the fingerprint is there anyway), free of any learned model
that a generator could be trained against, and low-dimensional, so that some hundred samples give a covariance.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redoxa.data.fingerprint import ANY_RANKS, WIDTH, Fingerprint
from redoxa.data.records import Crystal
from redoxa.generators.exchange.similarity import mendeleev_number

Floats = NDArray[np.float64]

RANKS: Final = (1, 2, 4, 6, 8, 12, 18, 24)
NAMES: Final = (
    *(f"{what} {stat}" for what in ("electronegativity", "radius", "period", "mendeleev") for stat in ("mean", "sd")),
    "elements", "log volume by atom", "log packing", *(f"neighbour {k}" for k in RANKS), "log symmetry",
    "log atoms in the primitive cell", "share of the commonest element",
)  # fmt: skip


def descriptor(crystal: Crystal, mark: Fingerprint, point_operations: int, primitive_atoms: int) -> Floats:
    """The numbers [22] of a crystal, unscaled.

    Args:
        crystal: any cell of it.
        mark: its fingerprint.
        point_operations: order of its crystal class, 1 to 48.
        primitive_atoms: atoms in its primitive cell.
    """
    numbers = np.asarray(crystal.numbers)
    species, counts = np.unique(numbers, return_counts=True)
    weights = counts / counts.sum()
    table = np.array([element_numbers(int(z)) for z in species])
    means = weights @ table
    spreads = np.sqrt(np.maximum(weights @ table**2 - means**2, 0.0))
    by_atom = crystal.volume_A3 / crystal.n_atoms
    spheres = 4.0 / 3.0 * np.pi * float(weights @ table[:, 1] ** 3)
    ranks = [int(np.flatnonzero(k == ANY_RANKS)[0]) for k in RANKS]
    near = weights @ mark.vector.reshape(len(species), WIDTH)[:, ranks]
    rest = [np.log2(point_operations), np.log(primitive_atoms), float(weights.max())]
    chemistry = np.column_stack([means, spreads]).ravel()
    return np.concatenate([chemistry, [len(species), np.log(by_atom), np.log(by_atom / spheres)], near, rest])


@cache
def element_numbers(z: int) -> tuple[float, float, float, float]:
    """Electronegativity (0 where there is none), covalent radius in Angstrom, period, Mendeleev number."""
    import warnings

    from ase.data import covalent_radii
    from pymatgen.core import Element

    element = Element.from_Z(z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        electronegativity = float(np.nan_to_num(element.X))
    return electronegativity, float(covalent_radii[z]), float(element.row), float(mendeleev_number(element.symbol))
