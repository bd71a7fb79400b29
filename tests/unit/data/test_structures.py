"""Cells reduced to primitive ones."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure, primitive, to_structure
from redoxa.data.tables.prototypes import load_prototypes, prototype


@pytest.mark.parametrize("name", ["O3 LiCoO2", "olivine LiFePO4", "layered LiTiS2"])
@pytest.mark.parametrize("matrix", [(2, 1, 1), (2, 2, 1), [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]])
def test_a_supercell_is_reduced_to_the_same_crystal(name: str, matrix: object) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    cell = primitive(prototype(name).crystal)
    large = to_structure(cell)
    large.make_supercell(matrix)
    small = primitive(from_structure(large))
    assert small.n_atoms == cell.n_atoms
    assert small.volume_A3 == pytest.approx(cell.volume_A3, rel=1e-6)
    rms, _ = StructureMatcher(primitive_cell=False, scale=False).get_rms_dist(to_structure(small), to_structure(cell))
    assert rms < 1e-4


def test_a_primitive_cell_stays_as_it_is() -> None:
    for entry in load_prototypes():
        cell = primitive(entry.crystal)
        assert primitive(cell) is cell


def test_a_moved_atom_keeps_the_supercell() -> None:
    large = to_structure(primitive(prototype("O3 LiCoO2").crystal))
    large.make_supercell(2)
    large.translate_sites([0], [0.2, 0.0, 0.0], frac_coords=False)
    crystal = from_structure(large)
    assert primitive(crystal) is crystal


def test_overlapping_atoms_do_not_end_the_program() -> None:
    crystal = Crystal(numbers=[3, 3], frac_coords=[[0, 0, 0], [0, 0, 1e-6]], lattice_A=(4 * np.eye(3)).tolist())
    assert primitive(crystal) is crystal
