from __future__ import annotations

import numpy as np

from redoxa.data.symmetry.positions import MOST_POSITIONS, N_FEATURES, position_table
from redoxa.data.symmetry.wyckoff import space_group


def test_the_table_holds_every_position_of_the_ita():
    table = position_table()
    assert len(table.atoms) == len(table.free) == len(table.features) == 1731
    assert table.features.shape[1] == N_FEATURES
    assert np.isfinite(table.features).all()
    assert np.diff(table.first).max() == MOST_POSITIONS
    assert np.diff(table.first)[1:].min() == 1


def test_sites_are_counted_in_the_primitive_cell():
    table = position_table()
    # Fm-3m: a and b hold one atom of the primitive cell, c two, the general position 48 (192 in the ITA's cell of four).
    assert table.atoms[table.of(225)].tolist()[:3] == [1, 1, 2]
    assert table.atoms[table.of(225)][-1] == 48
    assert table.free[table.of(225)][-1] == 3
    # R-3m: a, b one; c two with one free coordinate; three centrings.
    assert table.atoms[table.of(166)].tolist()[:3] == [1, 1, 2]
    assert table.free[table.of(166)].tolist()[:3] == [0, 0, 1]
    assert table.centring[166] == 3


def test_cells_have_as_many_free_numbers_as_their_system():
    table = position_table()
    counts = {g: (int(table.lengths[g]), int(table.angles[g])) for g in (2, 14, 62, 139, 166, 194, 225)}
    assert counts == {2: (3, 3), 14: (3, 1), 62: (3, 0), 139: (2, 0), 166: (2, 0), 194: (2, 0), 225: (1, 0)}


def test_letters_and_places_are_inverse():
    table = position_table()
    for number in (1, 47, 225):
        for position in space_group(number).positions:
            assert table.letter(table.index(number, position.letter)) == position.letter
