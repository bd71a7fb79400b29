"""The numbers that the symmetry of a crystal leaves free: displacements of sites, and strains of the cell.

Both are the directions that every operation leaves as they are, so what moves along them cannot break the symmetry.
They are found from the operations alone, in whatever cell the crystal is given, supercells included.
"""

from __future__ import annotations

import numpy as np

from redoxa.data.records import Crystal
from redoxa.data.symmetry.site_symmetry import SiteSymmetry
from redoxa.data.symmetry.wyckoff import Floats

_NOTHING = 1e-6
"""Below it a direction is rounding."""

_STRAINS = np.array(
    [
        [[1.0, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1.0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 1.0]],
        [[0, 1.0, 0], [1.0, 0, 0], [0, 0, 0]], [[0, 0, 1.0], [0, 0, 0], [1.0, 0, 0]],
        [[0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]],
    ]
)  # fmt: skip


class FreeNumbers:
    """The map from free numbers to the crystal, in its own cell and order of sites.

    A vector [D] of free numbers holds first the lengths of displacements (A, before the strain), then strains; all are
    zero at the crystal that it was made from.

    Args:
        crystal: its sites in their symmetric places, to rounding.
        symmetry: operations on them.

    Attributes:
        numbers: atomic number of each site [N].
        moves: orthonormal displacements [M,N,3] in Cartesian coordinates.
        strains: orthonormal symmetric strains [C,3,3].
    """

    def __init__(self, crystal: Crystal, symmetry: SiteSymmetry) -> None:
        self.numbers = crystal.numbers
        self._lattice, self._coords = symmetry.evened(np.array(crystal.lattice_A), np.array(crystal.frac_coords))
        turns = symmetry.turns(self._lattice)
        moves: list[Floats] = []
        for site in symmetry.representatives:
            carried = np.zeros((crystal.n_atoms, 3, 3))
            np.add.at(carried, symmetry.places[:, site], turns)
            moves += _independent(np.swapaxes(carried, 0, 1) / len(turns))
        self.moves = np.array(moves).reshape(-1, crystal.n_atoms, 3)
        averaged = np.einsum("gji,sjk,gkl->sil", turns, _STRAINS, turns) / len(turns)
        self.strains = np.array(_independent(averaged)).reshape(-1, 3, 3)

    def __len__(self) -> int:
        return len(self.moves) + len(self.strains)

    def coords(self, x: Floats) -> Floats:
        """Fractional coordinates [N,3] at free numbers [D]."""
        moved = np.tensordot(x[: len(self.moves)], self.moves, 1)
        return np.asarray(self._coords + np.linalg.solve(self._lattice.T, moved.T).T)

    def lattice_A(self, x: Floats) -> Floats:
        """Row vectors [3,3]."""
        return np.asarray(self._lattice @ self._deformation(x))

    def crystal(self, x: Floats) -> Crystal:
        """The crystal."""
        return Crystal(numbers=self.numbers, frac_coords=self.coords(x).tolist(), lattice_A=self.lattice_A(x).tolist())

    def gradient(self, x: Floats, forces_eV_A: Floats, stress_eV_A3: Floats) -> Floats:
        """Derivative of the energy [D], eV by unit of each free number.

        Args:
            x: where [D].
            forces_eV_A: on the sites [N,3].
            stress_eV_A3: (dE/dstrain)/V [3,3].
        """
        deformation = self._deformation(x)
        moves = -np.einsum("mni,ij,nj->m", self.moves, deformation, forces_eV_A)
        rates = np.linalg.inv(deformation) @ self.strains
        volume_A3 = abs(np.linalg.det(self._lattice @ deformation))
        return np.concatenate([moves, volume_A3 * np.einsum("cij,ij->c", rates, stress_eV_A3)])

    def largest_move(self, step: Floats) -> tuple[float, float]:
        """How far a step moves the site that moves farthest (A), and its largest strain along any axis."""
        moved = np.tensordot(step[: len(self.moves)], self.moves, 1)
        strain = np.tensordot(step[len(self.moves) :], self.strains, 1)
        return float(np.linalg.norm(moved, axis=1).max(initial=0.0)), float(np.abs(np.linalg.eigvalsh(strain)).max())

    def _deformation(self, x: Floats) -> Floats:
        return np.asarray(np.eye(3) + np.tensordot(x[len(self.moves) :], self.strains, 1))


def _independent(directions: Floats) -> list[Floats]:
    """Orthonormal directions that span the same space [..., each of the shape of those given]."""
    _, lengths, axes = np.linalg.svd(directions.reshape(len(directions), -1), full_matrices=False)
    return [axis.reshape(directions.shape[1:]) for axis, length in zip(axes, lengths, strict=True) if length > _NOTHING]
