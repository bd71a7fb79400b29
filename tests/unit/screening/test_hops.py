"""Hops of the ion sublattice: which are equal, where they lead, and cells to compute them in."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.ions.removal import supercell
from redoxa.screening.mobility.hop_cell import Hop, make_hop, supercell_matrix
from redoxa.screening.mobility.hops import Edge, HopKind, connecting_sets, hop_kinds, network, percolation_levels
from tests.unit.screening.conftest import cubic


def kinds_of(name: str) -> tuple[HopKind, ...]:
    return hop_kinds(prototype(name).crystal, prototype(name).working_ion)


def ways(kind: HopKind) -> tuple[int, tuple[tuple[int, int, int], ...]]:
    found = network(kind.edges)
    return found.dimension, found.axes


def test_the_shortest_hops_of_olivine_run_along_b_alone():
    crystal = prototype("olivine LiFePO4").crystal
    lengths = np.linalg.norm(np.array(crystal.lattice_A), axis=1)
    shortest = kinds_of("olivine LiFePO4")[0]
    dimension, (axis,) = ways(shortest)
    assert dimension == 1
    # Pnma: 10.33, 6.01, 4.69 A; the channel runs along the middle one, hops of half of it (Islam 2005)
    assert sorted(lengths)[1] == pytest.approx(lengths[np.flatnonzero(axis)[0]])
    assert shortest.distance_A == pytest.approx(sorted(lengths)[1] / 2, abs=0.1)


@pytest.mark.parametrize(
    ("name", "dimension"), [("O3 LiCoO2", 2), ("layered LiTiS2", 2), ("spinel LiMn2O4", 3), ("spinel MgMn2O4", 3)]
)
def test_how_far_the_shortest_hops_lead(name, dimension):
    assert ways(kinds_of(name)[0])[0] == dimension


def test_a_supercell_an_origin_and_a_rotation_change_nothing():
    crystal = prototype("olivine LiFePO4").crystal
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    other = Crystal(
        numbers=crystal.numbers[::-1],
        frac_coords=[[x + 0.31 for x in row] for row in crystal.frac_coords[::-1]],
        lattice_A=(np.array(crystal.lattice_A) @ turn).tolist(),
    )
    once, again, double = (hop_kinds(c, "Li") for c in (crystal, other, supercell(crystal, 2)))
    for found, cells in ((again, 1), (double, 2)):
        assert [k.distance_A for k in found] == pytest.approx([k.distance_A for k in once], abs=1e-4)
        assert [len(k.edges) for k in found] == [cells * len(k.edges) for k in once]
        assert [ways(k)[0] for k in found] == [ways(k)[0] for k in once]


def test_hops_through_an_atom_are_left_out():
    open_, closed = (cubic([3, z], [[0, 0, 0], [0.5, 0, y]], 4.0) for z, y in ((8, 0.5), (8, 0.0)))
    assert {round(k.distance_A, 2) for k in hop_kinds(open_, "Li", 4.1)} == {4.0}
    along = hop_kinds(closed, "Li", 4.1)
    assert sum(len(k.edges) for k in along) == 2  # x is blocked by the oxygen in its middle


def test_a_crystal_without_the_ion_is_refused():
    with pytest.raises(StructureError, match="holds no Na"):
        hop_kinds(prototype("O3 LiCoO2").crystal, "Na")


def chain(*images: tuple[int, int, int]) -> list[Edge]:
    return [Edge(0, 0, image) for image in images]


@pytest.mark.parametrize(
    ("edges", "dimension", "axes"),
    [
        ([Edge(0, 1, (0, 0, 0))], 0, ()),
        (chain((1, 0, 0)), 1, ((1, 0, 0),)),
        (chain((2, 0, 0), (4, 0, 0)), 1, ((1, 0, 0),)),
        (chain((1, 0, 0), (1, 1, 0)), 2, ((0, 0, 1),)),
        (chain((1, 0, 0), (0, 1, 0), (0, 0, 1)), 3, ()),
        ([Edge(0, 1, (0, 0, 0)), Edge(1, 0, (0, 1, 0))], 1, ((0, 1, 0),)),
    ],
)
def test_dimensions_are_ranks_of_cycles(edges, dimension, axes):
    found = network(edges)
    assert (found.dimension, found.axes) == (dimension, axes)


def test_the_lowest_way_by_dimension():
    along_x, along_y, apart = (HopKind(3.0, (Edge(0, 0, i),), True) for i in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    levels = percolation_levels((along_x, along_y, apart), {0: (0.2, 0.2), 1: (0.5, 0.5), 2: (0.9, 0.9)})
    assert {d: level.barrier_eV for d, level in levels.items()} == {1: 0.2, 2: 0.5, 3: 0.9}
    assert levels[1].network.axes == ((1, 0, 0),)
    assert percolation_levels((along_x, along_y), {1: (0.5, 0.5)}).keys() == {1}


def test_a_way_over_two_kinds_of_sites_costs_its_highest_saddle_above_its_best_site():
    # a valley 0.3 eV deeper than the other site: 0.5 up from it, 0.2 back
    up, onward = HopKind(2.0, (Edge(0, 1, (0, 0, 0)),), False), HopKind(2.5, (Edge(1, 0, (1, 0, 0)),), False)
    levels = percolation_levels((up, onward), {0: (0.5, 0.2), 1: (0.4, 0.7)})
    assert levels[1].barrier_eV == pytest.approx(0.7)


def test_sets_of_hops_that_connect():
    kinds = tuple(HopKind(3.0, (Edge(0, 0, i),), True) for i in ((1, 0, 0), (0, 1, 0), (1, 1, 0)))
    assert connecting_sets(kinds, 1) == [(0,), (1,), (2,)]
    assert connecting_sets(kinds, 2) == [(0, 1), (0, 2), (1, 2)]
    assert connecting_sets(kinds, 3) == []


@pytest.mark.parametrize("name", ["O3 LiCoO2", "spinel LiMn2O4", "olivine LiFePO4"])
def test_a_vacancy_hop_keeps_its_images_apart_and_moves_one_ion(name):
    crystal = prototype(name).crystal
    (kind, *_) = kinds_of(name)
    hop = make_hop(crystal, "Li", kind.edges[0])
    assert hop.start.numbers == hop.end.numbers
    assert hop.start.n_atoms % crystal.n_atoms == crystal.n_atoms - 1  # one vacancy
    assert hop.separation_A >= 8.5 or hop.start.n_atoms > 100
    moved = np.flatnonzero(np.any(np.array(hop.start.frac_coords) != np.array(hop.end.frac_coords), axis=1))
    assert moved.tolist() == [hop.mover]
    assert np.linalg.norm(hop.vector_A) == pytest.approx(kind.distance_A, abs=1e-3)
    assert Hop.model_validate_json(hop.model_dump_json()) == hop


def test_in_the_dilute_limit_one_ion_is_left():
    crystal = prototype("layered LiTiS2").crystal
    hop = make_hop(crystal, "Li", kinds_of("layered LiTiS2")[0].edges[0], "dilute")
    assert hop.start.composition["Li"] == 1
    assert hop.start.composition["S"] == 2 * hop.start.composition["Ti"]


def test_the_smallest_supercell_that_keeps_a_distance():
    matrix, shortest_A = supercell_matrix(np.diag([3.0, 6.0, 9.0]), 8.5, 20)
    assert shortest_A >= 8.5
    assert round(abs(np.linalg.det(matrix))) <= 6  # three along a, two along b; a skew cell may need fewer
    vectors = matrix @ np.diag([3.0, 6.0, 9.0])
    assert np.linalg.norm(vectors, axis=1).min() == pytest.approx(shortest_A, abs=1e-6)
    small, reached_A = supercell_matrix(np.diag([3.0, 6.0, 9.0]), 8.5, 2)
    assert round(abs(np.linalg.det(small))) <= 2
    assert reached_A < 8.5
