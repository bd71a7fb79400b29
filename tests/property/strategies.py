"""Crystals in disguise: the same crystal in another cell, orientation, origin and order of atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from scipy.spatial.transform import Rotation

from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure, to_structure
from redoxa.data.tables.prototypes import Prototype, prototype

HOSTS = (
    "O3 LiCoO2", "O3' NaMnO2", "P2 NaCoO2", "Li-rich Li2MnO3", "chain Li2CuO2", "layered LiTiS2", "spinel LiMn2O4",
    "perovskite NaFeF3", "tavorite LiVPO5", "borate LiFeBO3", "olivine MgMnSiO4", "alpha' bronze NaV2O5",
)  # fmt: skip
"""Prototypes of many kinds: layers, channels, frameworks; cells from 4 to 28 atoms, cubic to monoclinic."""

CELLS = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)), ((0, 1, 0), (0, 0, 1), (1, 0, 0)), ((1, 1, 0), (0, 1, 0), (0, 0, 1)),
    ((1, 0, -1), (0, 1, 0), (0, 0, 1)), ((2, 0, 0), (0, 1, 0), (0, 0, 1)), ((1, 1, 0), (-1, 1, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 1, 1), (0, 0, 2)),
)  # fmt: skip
"""Other cells of one lattice, of the same volume or twice that."""


def few(examples: int) -> settings:
    """So many examples, the same in every run."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class Disguise:
    """Another cell of the lattice (rows: new vectors in old ones), a rotation, a shift of origin, an order of atoms."""

    cell: tuple[tuple[int, ...], ...]
    rotation: tuple[float, float, float]
    shift: tuple[float, float, float]
    order: int

    @property
    def cells(self) -> int:
        """Cells that are joined to one."""
        return round(abs(float(np.linalg.det(self.cell))))

    def of(self, crystal: Crystal, like: Crystal | None = None) -> Crystal:
        """The crystal as it looks then; with `like`, copy by copy in the order of that crystal in this disguise.

        Records keep coordinates within the cell, so an atom that moved over a face of it would come to stand for the
        copy of its neighbour in the next cell.
        """
        structure = to_structure(crystal)
        if like is not None:
            shift = structure.frac_coords - np.array(like.frac_coords)
            structure = Structure(structure.lattice, structure.species, structure.frac_coords - np.rint(shift))
        joined = from_structure(structure.make_supercell(np.array(self.cell), in_place=False))
        order = np.random.default_rng(self.order).permutation(joined.n_atoms)
        return Crystal(
            numbers=np.array(joined.numbers)[order].tolist(),
            frac_coords=(np.array(joined.frac_coords)[order] + self.shift).tolist(),
            lattice_A=(np.array(joined.lattice_A) @ Rotation.from_rotvec(self.rotation).as_matrix()).tolist(),
        )


vectors = st.tuples(*[st.floats(-np.pi, np.pi)] * 3)
seeds = st.integers(0, 2**32 - 1)


def disguises(most_cells: int = 2) -> st.SearchStrategy[Disguise]:
    """Disguises in up to so many cells."""
    cells = [m for m in CELLS if round(abs(np.linalg.det(m))) <= most_cells]
    return st.builds(Disguise, st.sampled_from(cells), vectors, vectors, seeds)


def hosts(*names: str) -> st.SearchStrategy[Prototype]:
    """Published electrodes."""
    return st.sampled_from(names or HOSTS).map(prototype)


def perturbed(crystal: Crystal, seed: int, amplitude_A: float = 0.1, strain: float = 0.03) -> Crystal:
    """Atoms moved and cell deformed at random."""
    rng = np.random.default_rng(seed)
    cell = np.array(crystal.lattice_A)
    shift = rng.normal(0, amplitude_A, (crystal.n_atoms, 3)) @ np.linalg.inv(cell)
    return Crystal(
        numbers=crystal.numbers,
        frac_coords=(np.array(crystal.frac_coords) + shift).tolist(),
        lattice_A=(cell @ (np.eye(3) + rng.normal(0, strain, (3, 3)))).tolist(),
    )
