from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from redoxa.data.errors import InputError
from redoxa.data.synthesis.formula import molar_mass_g_mol, number_text, parse_formula


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LiFePO4", {"Li": 1, "Fe": 1, "P": 1, "O": 4}),
        ("Na3V2(PO4)3", {"Na": 3, "V": 2, "P": 3, "O": 12}),
        ("FeC2O4·2H2O", {"Fe": 1, "C": 2, "O": 6, "H": 4}),
        ("(NH4)2HPO4", {"N": 2, "H": 9, "P": 1, "O": 4}),
        ("Ca(B(OH)4)2", {"Ca": 1, "B": 2, "O": 8, "H": 8}),
        ("Li0.5CoO2", {"Li": Fraction(1, 2), "Co": 1, "O": 2}),
        ("S", {"S": 1}),
    ],
)
def test_formulas_are_read_exactly(text: str, expected: dict[str, Fraction]) -> None:
    assert parse_formula(text) == expected


@pytest.mark.parametrize("text", ["", "lifepo4", "Li(PO4", "Li)2", "Xx2", "Li-Fe", "2", "Li·", "LiFe O", "日本"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_formula(text)


@given(st.dictionaries(st.sampled_from(["Li", "Fe", "P", "O", "Si", "F", "Mn"]), st.integers(1, 30), min_size=1))
def test_agrees_with_pymatgen(counts: dict[str, int]) -> None:
    text = "".join(f"{e}{n}" for e, n in counts.items())
    assert {e: float(n) for e, n in parse_formula(text).items()} == Composition(text).as_dict()


def test_molar_mass_from_standard_atomic_weights() -> None:
    # 6.94 + 55.845 + 30.973762 + 4 * 15.999
    assert molar_mass_g_mol(parse_formula("LiFePO4")) == pytest.approx(157.754762, abs=1e-5)


def test_numbers_for_people() -> None:
    assert [number_text(x) for x in (Fraction(1), Fraction(1, 3), Fraction(3, 2), 2)] == ["", "0.3333 ", "1.5 ", "2 "]
