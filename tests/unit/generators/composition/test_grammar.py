from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.symmetry.sequences import element_ranks
from redoxa.generators.base import Condition
from redoxa.generators.composition.grammar import Demand, Formula, Grammar, demand, formula_of, is_neutral
from redoxa.generators.composition.masks import Masks
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY

WHOLE = Grammar.of(range(1, 104))


def written(wish: Demand) -> set[Formula]:
    """Every formula that the masks let through, by going every way they leave open."""
    masks = Masks(wish)
    grammar = wish.grammar
    place = masks.start(1)
    ways = np.zeros((1, 0, 2), np.int64)
    for _ in range(grammar.slots):
        rows, element = np.nonzero(masks.elements(place))
        place, ways = type(place)(*(x[rows] for x in vars(place).values())), ways[rows]
        may = masks.atoms(place, element)
        assert may.any(1).all(), "an element that may have no count"
        rows, count = np.nonzero(may)
        place = masks.advance(type(place)(*(x[rows] for x in vars(place).values())), element[rows], count)
        ways = np.concatenate([ways[rows], np.stack([element[rows], count], 1)[:, None]], 1)
        assert masks.elements(place).any(1).all(), "a dead end"
    found = grammar.decode(ways)
    assert len(found) == len(set(found)), "one formula written in two ways"
    return set(found)


def test_a_formula_is_reduced_and_sorted_by_electronegativity() -> None:
    assert formula_of({8: 16, 15: 4, 26: 4, 3: 4}) == ((3, 1), (26, 1), (15, 1), (8, 4))


def test_elements_of_one_electronegativity_stand_by_atomic_number() -> None:
    from pymatgen.core import Element

    tied = [z for z in range(1, 95) if z not in (2, 10, 18) and Element.from_Z(z).X == 1.9]
    assert len(tied) > 1
    assert formula_of(dict.fromkeys(reversed(tied), 1)) == tuple((z, 1) for z in tied)
    assert len(set(element_ranks())) == 104


@pytest.mark.parametrize("content", [{}, {3: 0}, {3: -1, 8: 1}, {104: 1}, {0: 1}])
def test_what_is_no_cell_is_refused(content: dict[int, int]) -> None:
    with pytest.raises(InputError, match="no content of a cell"):
        formula_of(content)


def test_decoding_is_the_inverse_of_encoding() -> None:
    rng = np.random.default_rng(0)
    formulas = []
    while len(formulas) < 300:
        numbers = rng.choice(np.arange(1, 104), rng.integers(1, 7), replace=False).tolist()
        formula = formula_of(dict(zip(numbers, rng.integers(1, 6, len(numbers)).tolist(), strict=True)))
        if WHOLE.holds(formula):
            formulas.append(formula)
    assert WHOLE.decode(WHOLE.encode(formulas)) == formulas
    assert WHOLE.from_counts(WHOLE.counts(formulas)) == formulas
    slots = WHOLE.encode(formulas)
    assert (WHOLE.encode(WHOLE.decode(slots)) == slots).all()


@pytest.mark.parametrize(
    "formula",
    [(), ((8, 1), (3, 2)), ((3, 2), (8, 2)), ((3, 6), (8, 1)), ((3, 1), (3, 1)), ((11, 1), (8, 1)), ((3, 0), (8, 1))],
)
def test_what_is_outside_the_grammar_is_refused(formula: Formula) -> None:
    assert not TINY.holds(formula)
    with pytest.raises(InputError, match="not a formula of this grammar"):
        TINY.encode([formula])


def test_everything_is_everything() -> None:
    contents = [c for c in product(range(7), repeat=3) if 0 < sum(c) <= 6 and np.gcd.reduce(c) == 1]
    assert set(TINY.everything()) == {
        formula_of({z: n for z, n in zip((3, 26, 8), c, strict=True) if n}) for c in contents
    }


CONDITIONS = [
    Condition(),
    Condition(n_atoms=(5, 5)),
    Condition(n_atoms=(7, 7)),
    Condition(n_atoms=(4, 6), required=frozenset({26})),
    Condition(required=frozenset({8, 3})),
    Condition(allowed=frozenset({8, 3})),
    Condition(allowed=frozenset({8})),
    Condition(allowed=frozenset({8, 26}), required=frozenset({8, 26}), n_atoms=(3, 5)),
]


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_masks_let_through_exactly_what_is_accepted(condition: Condition, slots: int) -> None:
    grammar = Grammar.of([8, 3, 26, 9], max_atoms=6, slots=slots)
    if len(condition.required) > slots:
        with pytest.raises(GenerationError, match="elements are required"):
            demand(grammar, condition)
        return
    wish = demand(grammar, condition)
    accepted = {formula for formula in grammar.everything() if wish.accepts(formula)}
    if not accepted:
        with pytest.raises(GenerationError, match="no formula has"):
            Masks(wish)
        return
    assert written(wish) == accepted


@pytest.mark.parametrize("given", [{}, GIVEN, {8: 4}, {3: None}, {3: 2, 8: 4}, {3: 2, 26: 2}, {3: 1, 26: 2, 8: 3}])
def test_masks_let_through_exactly_what_holds_the_given_parts(given: dict[int, int | None]) -> None:
    wish = demand(TINY, None, given)
    accepted = {
        f for f in TINY.everything() if all(dict(f).get(z, 0) in ([n] if n else range(1, 7)) for z, n in given.items())
    }
    if accepted:
        assert written(wish) == accepted
    else:
        with pytest.raises(GenerationError, match="no formula has"):
            Masks(wish)


def test_a_size_is_of_the_cell_not_of_the_formula_unit() -> None:
    wish = demand(WHOLE, Condition(n_atoms=(8, 8)))
    assert wish.accepts(formula_of({3: 1, 26: 1, 8: 2}))
    assert not wish.accepts(formula_of({26: 2, 8: 3}))


def test_neutrality_is_asked_for() -> None:
    oxide, odd = formula_of({26: 2, 8: 3}), formula_of({3: 1, 8: 3})
    assert (is_neutral(oxide), is_neutral(odd)) == (True, False)
    wish = demand(TINY, CONDITION)
    assert [f for f in FORMULAS if wish.accepts(f)] == [formula_of({3: 2, 8: 1}), formula_of({3: 1, 26: 1, 8: 2})]


@pytest.mark.parametrize(
    ("condition", "given", "message"),
    [
        (Condition(required=frozenset({9})), {}, "element 9 is required"),
        (Condition(required=frozenset({8}), allowed=frozenset({3})), {}, "element 8 is required"),
        (None, {9: None}, "element 9 is required"),
        (None, {8: 7}, "7 atoms of element 8"),
    ],
)
def test_what_cannot_be_is_refused(condition: Condition | None, given: dict[int, int | None], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        demand(TINY, condition, given)
