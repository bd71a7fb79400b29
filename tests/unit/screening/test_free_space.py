"""Room between hard spheres: closed forms, published bottlenecks, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.chemistry import ionic_radius_A
from redoxa.data.errors import InputError
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.ions.removal import supercell
from redoxa.screening.mobility.free_space import STEP_A, Room, host_radii_A, room
from tests.unit.screening.conftest import cubic, turned_and_skewed


def room_of(name: str) -> Room:
    return room(prototype(name).crystal, prototype(name).working_ion)


def test_simple_cubic_spheres_leave_what_geometry_says():
    a_A, anion_A = 4.0, ionic_radius_A("F", -1)
    found = room(cubic([3, 9], [[0.5, 0.5, 0.5], [0, 0, 0]], a_A), "Li")
    assert found.largest_A == pytest.approx(a_A * 3**0.5 / 2 - anion_A, abs=1e-6)  # the centre is a point of the grid
    # through the middle of a face of the cube, whose corners are anions
    assert [found.radius_A(d) for d in (1, 2, 3)] == pytest.approx([a_A / 2**0.5 - anion_A] * 3, abs=STEP_A)


def test_olivine_has_the_published_bottlenecks_along_b_alone():
    found = room_of("olivine LiFePO4")
    # documented by bvlain 0.25 for LiFePO4, from Shannon radii too: 0.3943 A in 1D, 0.2957 A in 2D
    assert found.radius_A(1) == pytest.approx(0.394, abs=0.05)
    assert found.radius_A(2) == pytest.approx(0.296, abs=0.04)
    lattice_A = np.array(prototype("olivine LiFePO4").crystal.lattice_A)
    b_A = lattice_A[np.argsort(np.linalg.norm(lattice_A, axis=1))[1]]  # Pnma: 10.33, 6.01, 4.69 A
    (channel,) = found.bottlenecks[1].directions(lattice_A)
    assert abs(channel @ b_A) == pytest.approx(np.linalg.norm(b_A))


def test_layers_are_wide_and_closed_against_one_another():
    found = room_of("O3 NaCoO2")
    assert found.radius_A(2) > 0.4 > 0.15 > found.radius_A(3)
    assert found.radius_A(1) - found.radius_A(2) < 0.04


def test_a_larger_ion_lives_where_there_is_more_room():
    widths_A = [room_of(f"O3 {name}").radius_A(1) for name in ("LiCrO2", "NaCrO2", "KCrO2")]
    assert np.diff(widths_A).min() > 0.15


def test_cell_origin_orientation_and_order_change_little():
    crystal = prototype("olivine LiFePO4").crystal
    moved, skew = turned_and_skewed(crystal)
    once = room(crystal, "Li")
    for other in (moved, skew, supercell(crystal, 2)):
        again = room(other, "Li")
        assert [again.radius_A(d) for d in (1, 2, 3)] == pytest.approx([once.radius_A(d) for d in (1, 2, 3)], abs=0.04)
        assert again.largest_A == pytest.approx(once.largest_A, abs=0.04)
    assert room(skew, "Li").bottlenecks[1].network == once.bottlenecks[1].network  # b is an axis of both


def test_radii_are_those_of_the_charged_atoms():
    radii_A, assumed = host_radii_A({"Li": 1, "Fe": 1, "P": 1, "O": 4}, "Li")
    assert radii_A == pytest.approx({"Fe": 0.78, "P": 0.38, "O": 1.40})  # Shannon, six-fold, high spin
    assert assumed == ()


def test_neutral_carbon_is_as_large_as_in_graphite():
    radii_A, assumed = host_radii_A({"Li": 1, "C": 6}, "Li")
    assert radii_A["C"] == pytest.approx(1.77)  # Alvarez 2013
    assert assumed == ()
    layers = room_of("graphite KC8")
    assert layers.radius_A(2) > 0.8 > 0 > layers.radius_A(3)


def test_what_does_not_balance_gets_usual_charges_and_says_so():
    radii_A, assumed = host_radii_A({"Na": 1, "Ca": 1, "Cl": 7}, "Na")
    assert assumed == ("Ca", "Cl")
    assert radii_A == pytest.approx({"Ca": 1.00, "Cl": 1.81})


def test_without_ion_or_without_host_there_is_nothing_to_measure():
    for crystal in (cubic([9], [[0, 0, 0]], 3.0), cubic([3], [[0, 0, 0]], 3.5)):
        with pytest.raises(InputError, match="no host that holds Li"):
            room(crystal, "Li")
