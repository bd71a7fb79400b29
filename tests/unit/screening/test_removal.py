"""Taking ions out: counts, orderings, supercells."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from data.prototypes import prototype
from data.structures import to_structure
from screening.assess import partial_counts
from screening.redox import removal_plan
from screening.removal import pair_energies, remove_ions, supercell
from tests.unit.screening.conftest import cubic


def test_all_ions_leave_and_nothing_else_moves():
    full = prototype("olivine LiFePO4").crystal
    empty = remove_ions(full, "Li", 4)
    assert empty.composition == {"Fe": 4, "P": 4, "O": 16}
    assert empty.lattice_A == full.lattice_A
    assert set(empty.frac_coords) < set(full.frac_coords)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_chosen_ordering_has_the_lowest_ewald_energy(count):
    from pymatgen.analysis.ewald import EwaldSummation

    full = supercell(prototype("O3 LiCoO2").crystal, 4)
    sites = [i for i, z in enumerate(full.numbers) if z == 3]

    def ewald(gone: tuple[int, ...]) -> float:
        structure = to_structure(full)
        structure.add_oxidation_state_by_element({"Li": 1, "Co": 3, "O": -2})
        structure.remove_sites(gone)
        return float(EwaldSummation(structure).total_energy)

    left = remove_ions(full, "Li", count)
    chosen = tuple(i for i in sites if full.frac_coords[i] not in left.frac_coords)
    lowest = min(ewald(gone) for gone in combinations(sites, count))
    # the neutralising background of the charged cell is the same for every ordering
    assert ewald(chosen) == pytest.approx(lowest, abs=1e-4)


def test_ordering_without_known_charges_keeps_ions_apart():
    # four ions on a line in an unknown host: every second one leaves
    line = cubic([3] * 4 + [28], [[i / 4, 0, 0] for i in range(4)] + [[0.5, 0.5, 0.5]], 12.0)
    left = remove_ions(line, "Li", 2)
    positions = sorted(x for (x, _, _), z in zip(left.frac_coords, left.numbers, strict=True) if z == 3)
    assert positions[1] - positions[0] == pytest.approx(0.5)


def test_greedy_removal_of_many_orderings():
    full = supercell(prototype("O3 LiCoO2").crystal, 24)
    assert remove_ions(full, "Li", 12).composition == {"Li": 12, "Co": 24, "O": 48}


@pytest.mark.parametrize("count", [0, 5])
def test_impossible_counts_are_refused(count):
    with pytest.raises(ValueError, match="cannot leave"):
        remove_ions(prototype("olivine LiFePO4").crystal, "Li", count)


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 6])
def test_supercell(cells):
    full = prototype("layered LiTiS2").crystal
    joined = supercell(full, cells)
    assert joined.n_atoms == cells * full.n_atoms
    assert joined.volume_A3 == pytest.approx(cells * full.volume_A3, rel=1e-5)
    from pymatgen.analysis.structure_matcher import StructureMatcher

    assert StructureMatcher().fit(to_structure(joined), to_structure(full))


def test_pair_energies_sum_to_the_total():
    from pymatgen.analysis.ewald import EwaldSummation

    full = prototype("O3 LiCoO2").crystal
    structure = to_structure(full)
    structure.add_oxidation_state_by_element({"Li": 1, "Co": 3, "O": -2})
    assert pair_energies(full, "Li").sum() == pytest.approx(EwaldSummation(structure).total_energy, abs=1e-6)


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
