"""Snapping a nearly symmetric crystal to its symmetry.

A flow over free coordinates comes close to symmetric positions without reaching them, and most of its crystals would
count as P1. spglib finds the operations that hold within a tolerance; positions and cell are averaged over them. The
result is accepted only when every atom moves less than the tolerance and the cell strains little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_STRAIN = 0.08
"""Largest change of a length that is accepted."""


@dataclass(frozen=True)
class Symmetrised:
    """A crystal after averaging.

    Attributes:
        lattice: row vectors in Angstrom, first along x [3,3].
        frac_coords: [n,3].
        number: space-group number.
        moved_A: largest displacement of an atom.
    """

    lattice: Floats
    frac_coords: Floats
    number: int
    moved_A: float


def symmetrise(
    lattice: Floats,
    frac_coords: Floats,
    numbers: Ints,
    tolerances_A: tuple[float, ...] = (0.6, 0.4, 0.2, 0.1),
    max_moved_A: float = 0.4,
) -> Symmetrised | None:
    """Average a crystal over the operations that hold within the first tolerance that works.

    Args:
        lattice: row vectors in Angstrom [3,3].
        frac_coords: [n,3].
        numbers: atomic numbers [n].
        tolerances_A: tried in order, widest first.
        max_moved_A: largest displacement that is accepted.

    Returns:
        The symmetric crystal, or None where only P1 holds or too much would move.
    """
    import spglib

    for tolerance in tolerances_A:
        found = spglib.get_symmetry_dataset((lattice, frac_coords, numbers), symprec=tolerance)
        if found is None or found.number == 1:
            continue
        averaged = average(lattice, frac_coords, numbers, found.rotations, found.translations)
        if averaged is None:
            continue
        new_lattice, new_coords, moved = averaged
        # Strain from the metrics alone, so that a rotation of the cell does not count.
        stretch = np.linalg.eigvals(np.linalg.solve(lattice @ lattice.T, new_lattice @ new_lattice.T)).real
        if moved <= min(tolerance, max_moved_A) and abs(np.sqrt(stretch) - 1.0).max() <= MAX_STRAIN:
            return Symmetrised(new_lattice, new_coords, int(found.number), moved)
    return None


def average(
    lattice: Floats, frac_coords: Floats, numbers: Ints, rotations: Ints, translations: Floats
) -> tuple[Floats, Floats, float] | None:
    """Average metric and positions over a group of operations x -> R x + t.

    Args:
        lattice: row vectors in Angstrom [3,3].
        frac_coords: [n,3].
        numbers: atomic numbers [n].
        rotations: integer [g,3,3].
        translations: fractional [g,3].

    Returns:
        Lattice, coordinates in [0,1), and the largest displacement in Angstrom; None where an operation does not
        permute the atoms.
    """
    images = np.einsum("gxy,ny->gnx", rotations, frac_coords) + translations[:, None, :]
    delta = images[:, :, None, :] - frac_coords[None, None, :, :]
    delta -= np.round(delta)
    distance = np.linalg.norm(delta @ lattice, axis=-1)
    distance[:, numbers[:, None] != numbers[None, :]] = np.inf
    target = distance.argmin(axis=2)
    n = len(numbers)
    if not (np.sort(target, axis=1) == np.arange(n)).all():
        return None
    pull = np.take_along_axis(delta, target[:, :, None, None], axis=2)[:, :, 0, :]
    shift = np.zeros((n, 3))
    np.add.at(shift, target, pull)
    shift /= len(rotations)
    gram = np.einsum("gxi,xy,gyj->ij", rotations, lattice @ lattice.T, rotations) / len(rotations)
    moved = float(np.linalg.norm(shift @ lattice, axis=1).max())
    return np.linalg.cholesky(gram), (frac_coords + shift) % 1.0, moved
