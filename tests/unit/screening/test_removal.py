"""Taking ions out: counts, supercells, how many ions leave how many cells."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.structures import to_structure
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.assess import partial_counts, profile_cells
from redoxa.screening.gates.redox import removal_plan
from redoxa.screening.ions.removal import ion_sites, remove_ions, supercell


def test_all_ions_leave_and_nothing_else_moves():
    full = prototype("olivine LiFePO4").crystal
    (empty,) = remove_ions(full, ion_sites(full, "Li"), 4)
    assert empty.composition == {"Fe": 4, "P": 4, "O": 16}
    assert empty.lattice_A == full.lattice_A
    assert set(empty.frac_coords) < set(full.frac_coords)


def test_only_the_sites_that_were_named_are_emptied():
    full = prototype("olivine LiFePO4").crystal
    sites = ion_sites(full, "Li")[:2]
    (left,) = remove_ions(full, sites, 2)
    assert set(full.frac_coords) - set(left.frac_coords) == {full.frac_coords[i] for i in sites}


@pytest.mark.parametrize("count", [0, 5])
def test_impossible_counts_are_refused(count):
    full = prototype("olivine LiFePO4").crystal
    with pytest.raises(ValueError, match="cannot leave"):
        remove_ions(full, ion_sites(full, "Li"), count)


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 6])
def test_supercell(cells):
    full = prototype("layered LiTiS2").crystal
    joined = supercell(full, cells)
    assert joined.n_atoms == cells * full.n_atoms
    assert joined.volume_A3 == pytest.approx(cells * full.volume_A3, rel=1e-5)
    from pymatgen.analysis.structure_matcher import StructureMatcher

    assert StructureMatcher().fit(to_structure(joined), to_structure(full))
    # the copies of an atom lie together, in the order of the atoms
    assert joined.numbers == tuple(z for z in full.numbers for _ in range(cells))


@pytest.mark.parametrize(
    ("able", "n_atoms", "max_atoms", "expected"),
    [
        (4.0, 28, 64, (1, 4)),
        (0.5, 8, 64, (2, 1)),
        (1.5, 8, 64, (2, 3)),
        (0.5, 40, 64, (1, 1)),
        (5.5, 8, 64, (1, 5)),
        (1 / 3, 8, 64, (3, 1)),
        (1.0 - 1e-9, 8, 64, (1, 1)),
    ],
)
def test_removal_plan(able, n_atoms, max_atoms, expected):
    assert removal_plan(able, n_atoms, max_atoms) == expected


def test_partial_counts():
    assert partial_counts(4, 3) == [1, 2, 3]
    assert partial_counts(4, 1) == [2]
    assert partial_counts(1, 3) == []
    assert partial_counts(2, 3) == [1]
    assert np.all(np.diff(partial_counts(24, 7)) > 0)


@pytest.mark.parametrize(
    ("moving", "n_atoms", "states", "cells"), [(1, 4, 3, 4), (4, 28, 3, 1), (3, 12, 3, 2), (1, 30, 3, 1), (1, 20, 7, 2)]
)
def test_a_profile_takes_as_many_cells_as_its_states_need_and_the_largest_cell_allows(moving, n_atoms, states, cells):
    assert profile_cells(moving, n_atoms, states) == cells
