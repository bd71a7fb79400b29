from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.reaction_calculator import Reaction as PymatgenReaction
from pymatgen.core import Composition

from redoxa.data.errors import RecipeError
from redoxa.data.synthesis.catalogue import CataloguePrecursor, default_catalogue
from redoxa.data.synthesis.reaction import Reaction, balance, solve_exact


def powders(*formulas: str) -> list[CataloguePrecursor]:
    return [default_catalogue().by_formula[f] for f in formulas]


def balanced(target: str, *formulas: str, gas: str | None = "O2") -> Reaction:
    reaction = balance(target, powders(*formulas), gas)
    assert reaction is not None
    return reaction


def test_spinel_gives_oxygen_off() -> None:
    # 0.5 Li2CO3 + 2 MnO2 -> LiMn2O4 + 0.5 CO2 + 0.25 O2
    reaction = balanced("LiMn2O4", "Li2CO3", "MnO2")
    assert [n for _, n in reaction.terms] == [Fraction(1, 2), 2]
    assert reaction.gases == {"CO2": Fraction(1, 2), "O2": Fraction(1, 4)}
    assert reaction.oxygen_uptake == Fraction(-1, 4)
    assert reaction.text == "0.5 Li2CO3 + 2 MnO2 -> LiMn2O4 + 0.5 CO2 + 0.25 O2"


def test_layered_cobaltate_takes_oxygen_up() -> None:
    reaction = balanced("LiCoO2", "Li2CO3", "Co3O4")
    assert reaction.oxygen_uptake == Fraction(1, 12)
    assert reaction.text == "0.5 Li2CO3 + 0.3333 Co3O4 + 0.0833 O2 -> LiCoO2 + 0.5 CO2"


@pytest.mark.parametrize(
    ("target", "sources", "gases"),
    [("LiMn2O4", ["Li2CO3", "MnO2"], ["O2", "CO2"]), ("NaCrO2", ["Na2CO3", "Cr2O3"], ["CO2"])],
)
def test_agrees_with_pymatgen(target: str, sources: list[str], gases: list[str]) -> None:
    other = PymatgenReaction([Composition(s) for s in sources], [Composition(x) for x in [target, *gases]])
    other.normalize_to(Composition(target))
    for precursor, n in balanced(target, *sources).terms:
        assert other.get_coeff(Composition(precursor.formula)) == pytest.approx(-float(n))


def test_a_set_that_does_not_balance_is_none() -> None:
    assert balance("LiCoO2", powders("Li2CO3"), "O2") is None
    assert balance("LiCoO2", powders("Li2CO3", "MnO2"), "O2") is None
    assert balance("LiFePO4", powders("Li3PO4", "FePO4·2H2O"), None) is None  # would need negative amounts or O2
    assert balance("LiCoO2", powders("Li2CO3", "LiOH·H2O", "Co3O4"), "O2") is None  # not unique


def test_reduction_by_hydrogen_stays_balanced() -> None:
    # V2O5 holds one O2 too much for V3+: it leaves as two H2O.
    reaction = balanced("Na3V2(PO4)3", "Na2CO3", "V2O5", "NH4H2PO4")
    assert reaction.oxygen_uptake == -1
    reduced = reaction.reduced_by_hydrogen()
    assert reduced.gases["H2"] == -2
    assert reduced.gases["H2O"] == reaction.gases["H2O"] + 2
    assert "O2" not in reduced.gases
    assert reaction.imbalance() == reduced.imbalance() == {}
    with pytest.raises(RecipeError):
        reduced.reduced_by_hydrogen()


small = st.integers(-6, 6).map(Fraction)


@given(
    st.lists(st.lists(small, min_size=3, max_size=3), min_size=3, max_size=5), st.lists(small, min_size=3, max_size=3)
)
def test_exact_solver_finds_the_solution_it_was_given(matrix: list[list[Fraction]], x: list[Fraction]) -> None:
    rows = [[*row, sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0))] for row in matrix]
    solution = solve_exact(rows)
    assert solution in (x, None)
    if solution is None:
        # None only where the columns hang together: some other solution exists, so the rank is below three.
        assert _rank([list(row) for row in matrix]) < 3


def _rank(rows: list[list[Fraction]]) -> int:
    rank = 0
    for column in range(3):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for i in range(rank + 1, len(rows)):
            factor = rows[i][column] / rows[rank][column]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[rank], strict=True)]
        rank += 1
    return rank


def test_contradicting_rows_have_no_solution() -> None:
    one, two = Fraction(1), Fraction(2)
    assert solve_exact([[one, one], [one, two]]) is None
