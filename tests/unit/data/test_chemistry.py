from __future__ import annotations

import math
from collections import Counter

import pytest
from pymatgen.core import Composition, Element, Species

from redoxa.data.chemistry import (
    OXIDATION_STATES,
    REDOX_ACTIVE,
    REDOX_WINDOW,
    ionic_radius_A,
    is_charge_balanced,
    oxidation_states,
    redox_capacity_electrons,
    removable_ions,
)


def counts(formula: str) -> dict[str, int]:
    return {str(e): int(n) for e, n in Composition(formula).items()}


STATES = [
    ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
    ("LiCoO2", {"Co": 3}),
    ("LiMn2O4", {"Mn": 3.5}),
    ("Fe3O4", {"Fe": 8 / 3}),
    ("Li2MnSiO4", {"Mn": 2, "Si": 4}),
    ("Na3V2(PO4)3", {"V": 3, "P": 5}),
    ("Mg2Mo6S8", {"Mo": 2, "S": -2}),
    ("Mo6S8", {"Mo": 16 / 6}),
    ("LiTiS2", {"Ti": 3}),
    ("LiTiO2", {"Ti": 3}),
    ("Li4Ti5O12", {"Ti": 4}),
    ("Li7Ti5O12", {"Ti": 3.4}),
    ("Li2NiMn3O8", {"Ni": 2, "Mn": 4}),
    ("Li3NiMnCoO6", {"Ni": 2, "Mn": 4, "Co": 3}),
    ("K2MnFe(CN)6", {"Mn": 2, "Fe": 2, "C": 2, "N": -3}),
    ("LiFeSO4F", {"Fe": 2, "S": 6, "F": -1}),
    ("Li2CO3", {"C": 4}),
    ("FeS2", {"Fe": 2, "S": -1}),
    ("Li2O2", {"O": -1}),
    ("KO2", {"O": -0.5}),
    ("Li3PS4", {"P": 5, "S": -2}),
    ("Li3N", {"N": -3}),
    ("LiC6", {"Li": 1, "C": -1 / 6}),
    ("KC8", {"K": 1, "C": -1 / 8}),
    ("LiH", {"H": -1}),
    ("LiOH", {"H": 1}),
    ("LiAl", {"Li": 0, "Al": 0}),
]


@pytest.mark.parametrize(("formula", "expected"), STATES, ids=[f for f, _ in STATES])
def test_states_of_known_compounds(formula: str, expected: dict[str, float]) -> None:
    found = oxidation_states(counts(formula))
    assert found is not None
    for element, state in expected.items():
        assert found[element] == pytest.approx(state)
    assert sum(found[e] * n for e, n in counts(formula).items()) == pytest.approx(0)


@pytest.mark.parametrize("formula", ["LiFeO4", "Li5FePO4", "NaCl2", "LiPO4", "Al2O4", "Mg3PO4", "CaF3", "Li2Mn"])
def test_unbalanced(formula: str) -> None:
    assert not is_charge_balanced(counts(formula))


def test_alloys_are_balanced_only_when_asked() -> None:
    assert not is_charge_balanced({"Li": 1, "Al": 1})
    assert is_charge_balanced({"Li": 1, "Al": 1}, alloys=True)
    assert not is_charge_balanced({"Fe": 2})


def test_balance_agrees_with_assignment_and_any_multiple() -> None:
    """Bit search and dynamic programming are two algorithms for one question."""
    seen = Counter()
    for metal in ("Ti", "Mn", "Ni", "Mo", "Zn", "Al"):
        for n_li in range(4):
            for n_o in range(1, 7):
                for n_p in range(3):
                    cell = {e: n for e, n in {"Li": n_li, metal: 2, "P": n_p, "O": n_o}.items() if n}
                    balanced = is_charge_balanced(cell)
                    seen[balanced] += 1
                    assert balanced == (oxidation_states(cell) is not None), cell
                    assert balanced == is_charge_balanced({e: 3 * n for e, n in cell.items()}), cell
    assert min(seen[True], seen[False]) > 100


CAPACITY = [
    ("LiFePO4", "Li", 1),  # one Li, though Fe could go to 4+
    ("LiCoO2", "Li", 1),
    ("LiMn2O4", "Li", 1),
    ("Li2MnSiO4", "Li", 2),  # Mn 2+ -> 4+
    ("Na3V2(PO4)3", "Na", 3),  # V 3+ -> 5+ pays for 4, the cell holds 3
    ("Mg2Mo6S8", "Mg", 2),
    ("LiTiS2", "Li", 1),
    ("LiTiO2", "Li", 1),
    ("Li4Ti5O12", "Li", 0),  # Ti4+ has nothing to give
    ("Li7Ti5O12", "Li", 3),
    ("LiAlO2", "Li", 0),
    ("K2MnFe(CN)6", "K", 2),
    ("LiC6", "Li", 1),
    ("KC8", "K", 1),
    ("MgMn2O4", "Mg", 1),
    ("Li2MnO3", "Li", 0),  # anion redox is not counted
]


@pytest.mark.parametrize(("formula", "ion", "ions"), CAPACITY, ids=[f for f, _, _ in CAPACITY])
def test_removable_ions(formula: str, ion: str, ions: float) -> None:
    assert removable_ions(counts(formula), ion) == pytest.approx(ions)
    doubled = {e: 2 * n for e, n in counts(formula).items()}
    assert removable_ions(doubled, ion) == pytest.approx(2 * ions)


def test_electrons_of_oxidation_and_reduction() -> None:
    assert redox_capacity_electrons(counts("Na3V2(PO4)3"), "Na") == pytest.approx(4)
    assert redox_capacity_electrons(counts("Na3V2(PO4)3"), "Na", "reduction") == pytest.approx(2)
    assert redox_capacity_electrons(counts("Li4Ti5O12"), "Li", "reduction") == pytest.approx(5)
    assert redox_capacity_electrons({"C": 12}, "Li", "reduction") == pytest.approx(2)
    assert redox_capacity_electrons(counts("LiPO4"), "Li") is None


def test_unknown_ion_is_refused() -> None:
    with pytest.raises(KeyError):
        removable_ions({"Rb": 1, "Co": 1, "O": 2}, "Rb")


def test_tables_hold_together() -> None:
    assert set(REDOX_WINDOW) < REDOX_ACTIVE <= set(OXIDATION_STATES)
    for element, (low, high) in REDOX_WINDOW.items():
        assert {low, high} <= set(OXIDATION_STATES[element]), element
    for z in range(1, 84):
        element = Element.from_Z(z)
        if not element.is_noble_gas and z != 84:
            assert OXIDATION_STATES[element.symbol], element
            # persulfide-like selenium pairs are the one state that pymatgen's table does not know
            known = set(element.oxidation_states) | ({-1} if element.symbol == "Se" else set())
            assert set(OXIDATION_STATES[element.symbol]) <= known, element


def test_radii_are_shannons() -> None:
    assert ionic_radius_A("Li", 1) == pytest.approx(0.76)
    assert ionic_radius_A("Li", 1, 4) == pytest.approx(0.59)
    assert ionic_radius_A("Na", 1) == pytest.approx(1.02)
    assert ionic_radius_A("O", -2) == pytest.approx(1.40)
    assert ionic_radius_A("Fe", 2) == pytest.approx(Species("Fe", 2).get_shannon_radius("VI", "High Spin", "ionic"))
    assert ionic_radius_A("P", 5, 4) == pytest.approx(0.17)
    # no Shannon entry for S in four-fold coordination: the nearest, six-fold
    assert ionic_radius_A("S", -2, 4) == pytest.approx(1.84)
    assert all(math.isfinite(ionic_radius_A(e, s)) for e, states in OXIDATION_STATES.items() for s in states)
