"""Percolation of periodic fields, held against closed forms and against what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redoxa.screening.mobility.hops import Network
from redoxa.screening.mobility.percolation import Threshold, percolation


def waves(*sizes: int) -> np.ndarray:
    """2 cos x + cos y + 0.3 cos z: lowest along z, then also along y, then everywhere."""
    x, y, z = np.meshgrid(*[2 * np.pi * np.arange(n) / n for n in sizes], indexing="ij")
    return 2 * np.cos(x) + np.cos(y) + 0.3 * np.cos(z)


def walled(shape: tuple[int, int, int], *cells: tuple[int, int, int]) -> np.ndarray:
    """0 in the given points, infinite elsewhere."""
    field = np.full(shape, np.inf)
    for cell in cells:
        field[cell] = 0.0
    return field


def test_saddle_points_of_a_sum_of_cosines():
    found = percolation(waves(24, 16, 20))
    # on the way along an axis its own cosine reaches +1, the others stay at -1
    assert [found[d].level for d in (1, 2, 3)] == pytest.approx([0.3 - 3, 1 - 2.3, 2 - 1.3])
    assert [found[d].network for d in (1, 2, 3)] == [Network(1, ((0, 0, 1),)), Network(2, ((1, 0, 0),)), Network(3)]


def test_the_order_of_the_axes_goes_with_them():
    field = waves(12, 10, 14)
    turned = percolation(field.transpose(2, 0, 1))
    assert {d: t.level for d, t in turned.items()} == {d: t.level for d, t in percolation(field).items()}
    assert turned[1].network.axes == ((1, 0, 0),)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(*[st.integers(2, 6)] * 3),
    shift=st.tuples(*[st.integers(0, 9)] * 3),
    times=st.sampled_from([(2, 1, 1), (1, 3, 1), (1, 2, 2), (2, 2, 2)]),
)
def test_origin_and_supercell_do_not_matter(seed, shape, shift, times):
    rng = np.random.default_rng(seed)
    field = np.where(rng.random(shape) < 0.7, rng.random(shape), np.inf)
    levels = {d: t.level for d, t in percolation(field).items()}
    assert {d: t.level for d, t in percolation(np.roll(field, shift, (0, 1, 2))).items()} == levels
    assert {d: t.level for d, t in percolation(np.tile(field, times)).items()} == levels


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.tuples(*[st.integers(2, 6)] * 3))
def test_levels_rise_with_the_dimension_and_belong_to_it(seed, shape):
    field = np.random.default_rng(seed).random(shape)
    found = percolation(field)
    assert sorted(found) == [1, 2, 3]  # at its highest value everything is open
    assert found[1].level <= found[2].level <= found[3].level
    assert all(t.network.dimension >= d and t.level in field for d, t in found.items())


def test_a_channel_that_winds_through_several_cells_is_one_channel():
    # From (0,0,0) along the diagonal of x and 2y: the image it meets is [120].
    cells = [(i, (2 * i) % 8, 0) for i in range(8)] + [(i, (2 * i + 1) % 8, 0) for i in range(8)]
    assert percolation(walled((8, 8, 8), *cells)) == {1: Threshold(0.0, Network(1, ((1, 2, 0),)))}


def test_channels_that_pass_one_another_make_no_plane():
    along_x = [(i, 0, 0) for i in range(6)]
    along_y = [(0, i, 3) for i in range(6)]
    apart = percolation(walled((6, 6, 6), *along_x, *along_y))
    assert apart == {1: Threshold(0.0, Network(1, ((1, 0, 0), (0, 1, 0))))}
    field = walled((6, 6, 6), *along_x, *along_y)
    field[0, 0, 1:3] = 1.0  # a bridge makes them one net
    assert percolation(field)[2] == Threshold(1.0, Network(2, ((0, 0, 1),)))


def test_a_closed_cage_leads_nowhere():
    assert percolation(walled((6, 6, 6), (2, 2, 2), (2, 2, 3), (3, 3, 3))) == {}
    assert percolation(np.full((4, 4, 4), np.inf)) == {}


def test_directions_come_in_the_axes_that_are_asked_for():
    # The field's own c axis is a + c of the crystal; the plane normal to its x is (100) in both.
    axes = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    found = percolation(waves(12, 10, 14), axes)
    assert found[1].network.axes == ((1, 0, 1),)
    lattice_A = np.diag([3.0, 4.0, 5.0])
    assert found[1].directions(lattice_A) == pytest.approx(np.array([[3.0, 0.0, 5.0]]) / 34**0.5)
    ((normal,), plane) = found[2].directions(lattice_A), found[2].network.axes
    assert plane == ((1, 0, -1),)
    # the plane is spanned by the field's y and z axes
    assert normal @ (axes @ lattice_A)[1:].T == pytest.approx([0.0, 0.0])
    assert found[3].directions(lattice_A).shape == (0, 3)
