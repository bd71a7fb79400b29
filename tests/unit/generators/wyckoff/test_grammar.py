from __future__ import annotations

import random

import pytest

from redoxa.data.symmetry.positions import position_table
from redoxa.generators.wyckoff.grammar import END, Draft, Grammar, Wish, can_fill, most_orbits

LI, O, P, FE, CO = 3, 8, 15, 26, 27
ANY = frozenset({LI, O, P, FE, CO})

WISHES = {
    "free": Wish(ANY, atoms=(2, 20)),
    "required": Wish(ANY, frozenset({LI, P, FE}), atoms=(6, 9)),
    "one size": Wish(ANY, frozenset({LI}), atoms=(13, 13)),
    "olivine": Wish(ANY, content={LI: 4, FE: 4, P: 4, O: 16}),
    "layered": Wish(ANY, content={LI: 1, CO: 1, O: 2}),
    "groups": Wish(ANY, content={LI: 1, CO: 1, O: 2}, groups=frozenset({166, 225, 62})),
}


def written(grammar: Grammar, group: int, rng: random.Random) -> Draft:
    """A crystal of random choices among those that the grammar leaves."""
    draft = Draft(group)
    while True:
        elements = grammar.elements(draft)
        assert elements, f"stuck in {draft}"
        element = rng.choice(elements)
        if element == END:
            return draft
        positions = grammar.positions(draft, element)
        assert positions, f"no position for {element} in {draft}"
        draft.positions.append(rng.choice(positions))
        draft.numbers.append(element)


@pytest.mark.parametrize("name", WISHES)
def test_random_choices_always_end_in_a_crystal_that_meets_the_wish(name):
    table, wish, rng = position_table(), WISHES[name], random.Random(0)
    grammar = Grammar(table, wish)
    groups = grammar.groups()
    for group in rng.sample(groups, min(40, len(groups))):
        draft = written(grammar, group, rng)
        sites: dict[int, int] = {}
        for position, number in zip(draft.positions, draft.numbers, strict=True):
            assert position in range(table.of(group).start, table.of(group).stop)
            sites[number] = sites.get(number, 0) + int(table.atoms[position])
        single = [p for p in draft.positions if table.free[p] == 0]
        assert len(single) == len(set(single))
        if wish.content is not None:
            assert sites == wish.content
        else:
            assert wish.atoms[0] <= sum(sites.values()) <= wish.atoms[1]
            assert wish.required <= sites.keys() <= wish.allowed


def test_groups_are_those_that_can_hold_the_content():
    table = position_table()
    # Rock salt cells: two atoms of different kinds in Fm-3m; three kinds of one atom each do not fit its a and b.
    assert 225 in Grammar(table, Wish(ANY, content={LI: 1, O: 1})).groups()
    assert 225 not in Grammar(table, Wish(ANY, content={LI: 1, O: 1, FE: 1})).groups()
    assert Grammar(table, WISHES["groups"]).groups() == [166, 225]
    # Pnma has four atoms on every position at least.
    assert 62 not in Grammar(table, Wish(ANY, atoms=(2, 3))).groups()
    assert 62 in Grammar(table, Wish(ANY, atoms=(2, 4))).groups()


def test_more_required_elements_than_places_are_refused():
    assert 225 not in Grammar(position_table(), Wish(ANY, frozenset({LI, O, FE}), atoms=(1, 3))).groups()
    assert 225 in Grammar(position_table(), Wish(ANY, frozenset({LI, O, FE}), atoms=(1, 4))).groups()


def test_can_fill_by_hand():
    # Two single places of one site, and pairs without end: one odd element more than singles cannot be served.
    assert can_fill(((1, 2),), (2,), (3, 3, 2))
    assert not can_fill(((1, 2),), (2,), (3, 3, 1))
    assert not can_fill((), (2, 4), (3,))
    assert can_fill(((3, 1),), (), (3,))
    assert not can_fill(((3, 1),), (), (3, 3))


def test_most_orbits_by_hand():
    # Singles 1, 1, 2 and threes without end: 7 = 1 + 3 + 3 (three) or 1 + 1 + 2 + 3 (four).
    assert most_orbits(((1, 2), (2, 1)), (3,), 7) == (0, 1, 2, 2, 3, 3, 3, 4)
    assert most_orbits((), (2,), 3) == (0, -1, 1, -1)
    assert most_orbits((), (2,), -1) == ()
