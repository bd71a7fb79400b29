"""Structure fingerprints: find duplicates and known materials without comparing all pairs. Light: no torch.

A fingerprint holds, for every element, the mean distances to its neighbours of chosen ranks, of any species and of
its own, in units of their mean spacing, and the shape of the shell of its own kind. It does not depend on cell choice,
supercell, origin, atom order, rotation or uniform strain, and moves continuously with the atoms. The distances are the
average minimum distances of Widdowson et al. (MATCH Commun. Math. Comput. Chem. 87, 529, 2022, arXiv:2009.02488), here
resolved by element. Only crystals of equal reduced formula are ever compared, so a lookup costs one bucket.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase.geometry import minkowski_reduce

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal

Floats = npt.NDArray[np.float64]

ANY_RANKS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40])
"""Which nearest neighbours of any species enter. Forty reach the shell in which stacking sequences begin to differ."""

LIKE_RANKS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 21, 24])
"""Which nearest neighbours of the same species enter: they tell cation orders apart."""

SHAPE_WEIGHT = 1.5
"""What a difference in shape counts, against one in distance."""

SHAPE_DECAY = 2.5
"""A like neighbour weighs exp(-SHAPE_DECAY r^2) in the shape, r in units of the spacing: the first shell, softly."""

SHAPE_REACH, SHAPE_END = 3.0, 8
"""The weight ends as 1 - x^SHAPE_END, x being how far r^2 lies beyond that of the nearest, over SHAPE_REACH.

So far out it is below 0.001: of 23,000 crystals none moved by more than two `STEP`s against a shell cut by rank."""

SHAPE_NEIGHBOURS = 64
"""Like neighbours that are looked at for it; where they do not reach `SHAPE_REACH`, the last of them is the end."""

WIDTH = len(ANY_RANKS) + len(LIKE_RANKS) + 2
"""Numbers an element."""

STEP = 0.0125
"""Resolution of a packed vector; an eighth of the tolerance."""

SAME = 0.10
"""Tolerance for two relaxed crystals."""

SAME_UNRELAXED = 0.15
"""Tolerance where at least one of the two is not relaxed yet."""

SYMPREC_A = 0.1
"""Loose on purpose: half-relaxed crystals still show the symmetry they are about to reach."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Identity of a crystal up to small distortions.

    Attributes:
        formula: reduced formula, the bucket: fingerprints of different formulas are never compared.
        vector: [n_elements * WIDTH], elements by atomic number, dimensionless.
        spacegroup: international number at `SYMPREC_A`; 0 where it was not asked for or not found. For people: it
            jumps under distortions that leave the crystal the same, so it does not decide a match.
    """

    formula: str
    vector: Floats
    spacegroup: int = 0

    def packed(self) -> bytes:
        """The vector in steps of `STEP`, one byte a number."""
        return np.clip(np.rint(self.vector / STEP), 0, 255).astype(np.uint8).tobytes()

    @classmethod
    def unpack(cls, formula: str, data: bytes, spacegroup: int = 0) -> Fingerprint:
        """The inverse of `packed`, to within half a `STEP`."""
        return cls(formula, np.frombuffer(data, dtype=np.uint8).astype(np.float64) * STEP, spacegroup)


def distance(a: Fingerprint, b: Fingerprint) -> float:
    """Largest difference between two vectors; infinite between different formulas."""
    if a.formula != b.formula or a.vector.shape != b.vector.shape:
        return math.inf
    return float(np.abs(np.minimum(a.vector, 255 * STEP) - np.minimum(b.vector, 255 * STEP)).max())


def fingerprint(crystal: Crystal, symmetry: bool = False) -> Fingerprint:
    """Fingerprint of a crystal: a few milliseconds for twenty atoms; `symmetry` (the space group) adds as much again.

    Raises:
        StructureError: the cell is so flat that it cannot be reduced.
    """
    lattice = np.asarray(crystal.lattice_A, dtype=float)
    try:
        cell, _ = minkowski_reduce(lattice)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        raise StructureError(f"{crystal.formula}: the cell cannot be reduced ({error})") from error
    numbers = np.asarray(crystal.numbers)
    positions = ((np.asarray(crystal.frac_coords, dtype=float) @ lattice @ np.linalg.inv(cell)) % 1.0) @ cell
    volume_per_atom = crystal.volume_A3 / crystal.n_atoms
    unit = volume_per_atom ** (1 / 3)
    parts = []
    for z in np.unique(numbers):
        own = positions[numbers == z]
        # Like distances count in the spacing of their own sublattice, so that a rare element weighs as much as any.
        own_unit = unit * (len(numbers) / len(own)) ** (1 / 3)
        any_vectors = neighbours(own, positions, cell, int(ANY_RANKS[-1])) / unit
        like_vectors = neighbours(own, own, cell, SHAPE_NEIGHBOURS) / own_unit
        parts += [_mean_distances(any_vectors, ANY_RANKS), _mean_distances(like_vectors, LIKE_RANKS)]
        parts.append(SHAPE_WEIGHT * mean_shape(like_vectors))
    return Fingerprint(crystal.formula, np.concatenate(parts), spacegroup(crystal) if symmetry else 0)


def _mean_distances(vectors: Floats, ranks: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(np.linalg.norm(vectors[:, ranks - 1], axis=2).mean(axis=0))


def mean_shape(vectors: Floats) -> Floats:
    """Mean over atoms of the largest and smallest eigenvalue of the weighted mean of r r^T / r^2, [2].

    1/3 and 1/3 for a cubic neighbourhood, 1/2 and 0 for a flat one. Pair distances alone cannot tell the layered order
    of a rock-salt lattice from the spinel one: their pairs and triplets agree, only four bodies differ (C. Wolverton,
    A. Zunger, PRL 81, 606, 1998, doi:10.1103/PhysRevLett.81.606). The Gaussian weight keeps it continuous, and ends at
    zero: no shell of equally far neighbours is cut, of which rounding would decide who is taken.

    Args:
        vectors: from each atom to its neighbours, in units of the mean spacing [C,k,3].
    """
    squares = (vectors**2).sum(axis=2)
    beyond = squares - squares.min(axis=1, keepdims=True)
    share = np.minimum(1.0, beyond / np.minimum(SHAPE_REACH, beyond.max(axis=1, keepdims=True)))
    weights = np.exp(-SHAPE_DECAY * beyond) * (1 - share**SHAPE_END) / squares
    tensors = np.einsum("ck,cki,ckj->cij", weights, vectors, vectors)
    tensors /= np.trace(tensors, axis1=1, axis2=2)[:, None, None]
    return np.asarray(np.linalg.eigvalsh(tensors)[:, [2, 0]].mean(axis=0))


def neighbours(centres: Floats, targets: Floats, cell: Floats, count: int) -> Floats:
    """Vectors from each centre to its nearest periodic images of the targets, in order of distance.

    Exact: the farthest neighbour found within a first guess bounds the true distance from above, and the images out
    to that bound hold every nearer one.

    Args:
        centres: Cartesian positions inside the cell [C,3], each also one of the targets (it is not its own neighbour).
        targets: Cartesian positions inside the cell [T,3].
        cell: reduced row vectors in Angstrom [3,3].
        count: how many neighbours.

    Returns:
        Vectors in Angstrom [C,count,3].
    """
    volume = float(abs(np.linalg.det(cell)))
    heights = volume / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    radius = 1.3 * (3 * (count + 1) * volume / (4 * math.pi * len(targets))) ** (1 / 3)
    while True:
        reach = np.ceil(radius / heights).astype(int)
        shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
        images = (targets[None] + (shifts @ cell)[:, None]).reshape(-1, 3)
        if len(images) <= count:
            radius *= 1.5
            continue
        squared = (centres**2).sum(1)[:, None] + (images**2).sum(1)[None] - 2 * centres @ images.T
        nearest = np.argpartition(squared, count, axis=1)[:, : count + 1]
        vectors = images[nearest] - centres[:, None]
        distances = np.linalg.norm(vectors, axis=2)
        farthest = float(distances.max())
        if farthest <= radius:
            order = np.argsort(distances, axis=1)[:, 1:]  # the first is the centre itself
            return np.asarray(np.take_along_axis(vectors, order[..., None], axis=1))
        radius = farthest * (1 + 1e-9)


def spacegroup(crystal: Crystal, symprec_A: float = SYMPREC_A) -> int:
    """International space-group number; 0 where spglib finds none."""
    import spglib

    try:
        cell = (crystal.lattice_A, crystal.frac_coords, crystal.numbers)
        found = spglib.get_symmetry_dataset(cell, symprec=symprec_A)
    except spglib.SpglibError:
        return 0
    return int(found.number) if found is not None else 0
