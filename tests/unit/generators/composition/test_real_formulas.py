"""What the grammar says of formulas of real crystals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pyarrow import parquet

from redoxa.data.tables.datasets import shared_dir
from redoxa.generators.composition.grammar import Formula, Grammar, demand, formula_of
from redoxa.generators.composition.masks import Masks


@pytest.fixture(scope="module")
def formulas() -> list[Formula]:
    """Of every ninth cell of the MP-20 training table, and of the one with seven elements."""
    folder = shared_dir()
    if folder is None:
        pytest.skip("the shared crystal data is not beside the checkout")
    cells = parquet.read_table(folder / "datasets" / "mp20_train_compositions.parquet")["atomic_numbers"].to_pylist()
    assert len(cells) == 27136
    some = [numbers for i, numbers in enumerate(cells) if i % 9 == 0 or len(set(numbers)) > 6]
    return sorted({formula_of(dict(Counter(numbers))) for numbers in some})


def test_real_formulas_are_of_the_grammar_but_for_one_of_seven_elements(formulas: list[Formula]) -> None:
    grammar = Grammar.of({z for formula in formulas for z, _ in formula})
    assert [len(formula) for formula in formulas if not grammar.holds(formula)] == [7]
    ours = [formula for formula in formulas if grammar.holds(formula)]
    assert grammar.decode(grammar.encode(ours)) == ours


def test_the_masks_let_real_formulas_through(formulas: list[Formula]) -> None:
    grammar = Grammar.of({z for formula in formulas for z, _ in formula})
    slots = grammar.encode([formula for formula in formulas if grammar.holds(formula)])
    masks, n = Masks(demand(grammar)), np.arange(len(slots))
    place = masks.start(len(slots))
    for element, count in slots.transpose(1, 2, 0):
        assert masks.elements(place)[n, element].all()
        assert masks.atoms(place, element)[n, count].all()
        place = masks.advance(place, element, count)
