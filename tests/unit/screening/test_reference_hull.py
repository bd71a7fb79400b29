"""Mixtures of lowest energy by hand; atoms are kept, reactions are told in whole numbers."""

from __future__ import annotations

import pytest

from redoxa.screening.physics.hull_energy import (
    Competitors,
    Reservoir,
    chemical_potential,
    formula_atoms,
    reaction_text,
)
from tests.unit.screening.conftest import IRON_OXIDES, reference_of

PHASES = Competitors(reference_of(IRON_OXIDES).entries({"Li", "Fe", "O"}))


def atoms_of(units: dict[str, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for formula, n in units.items():
        for element, count in formula_atoms(formula).items():
            total[element] = total.get(element, 0.0) + n * count
    return total


@pytest.mark.parametrize("atoms", [{"Fe": 1, "O": 2}, {"Li": 3, "Fe": 2, "O": 5}, {"Li": 0.1, "O": 7}])
def test_a_mixture_has_the_atoms_and_the_energy_of_its_phases(atoms):
    found = PHASES.mixture(atoms)
    assert atoms_of(found.units) == pytest.approx({e: n for e, n in atoms.items() if n})
    energy_eV = sum(n * IRON_OXIDES[f] * sum(formula_atoms(f).values()) for f, n in found.units.items())
    assert found.energy_eV == pytest.approx(energy_eV)


def test_what_no_phase_holds_has_no_mixture():
    assert PHASES.mixture({"Na": 1, "O": 1}) is None
    assert Competitors([]).mixture({"Li": 1}) is None


def test_a_reservoir_gives_what_pays_and_takes_what_is_left_over():
    rich = PHASES.mixture({"Fe": 1, "O": 1}, Reservoir({"Li": 1.0}, mu_eV=-2.0, lowest=0.0))
    assert rich.units == pytest.approx({"Fe": 1.0, "Li2O": 1.0})
    assert rich.taken == pytest.approx(2.0)
    poor = PHASES.mixture({"Fe": 2, "O": 4}, Reservoir({"O": 1.0}, mu_eV=-4.95))
    assert poor.units == pytest.approx({"Fe2O3": 1.0})
    assert poor.taken == pytest.approx(-1.0)
    endless = Reservoir({"Li": 1.0}, mu_eV=-1.0)  # richer than the metal: every portion pays
    assert PHASES.mixture({"Fe": 1, "O": 1}, endless) is None


def test_oxygen_leaves_step_by_step_at_rising_cost():
    atoms, start = {"Fe": 6.0, "O": 12.0}, PHASES.mixture({"Fe": 6.0, "O": 12.0})
    assert start.units == pytest.approx({"Fe2O3": 3.0, "O2": 1.5})
    seen, potentials = [], []
    while (end := PHASES.next_mixture(atoms, start, "O", -12.0)) is not None:
        seen.append(set(end.units))
        potentials.append(chemical_potential(start, end))
        start = end
    assert seen == [{"Fe2O3"}, {"Fe3O4"}, {"FeO"}, {"Fe"}]
    assert potentials[0] == pytest.approx(IRON_OXIDES["O2"])
    # 3 Fe2O3 -> 2 Fe3O4 + O
    assert potentials[1] == pytest.approx(15 * IRON_OXIDES["Fe2O3"] - 14 * IRON_OXIDES["Fe3O4"])
    assert potentials == sorted(potentials, reverse=True)


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        ({"FeO2": 1.0}, {"Fe2O3": 0.5, "O2": 0.25}, "4 FeO2 -> 2 Fe2O3 + O2"),
        ({"Fe2O3": 1.0, "Li": 6.0}, {"Fe": 2.0, "Li2O": 3.0}, "Fe2O3 + 6 Li -> 2 Fe + 3 Li2O"),
        ({"A2": 2.0, "B": 1e-6}, {"A": 4.0}, "A2 -> 2 A"),
        ({"X": 1.0}, {"Y": 1 / 113, "Z": 1 / 107}, "X -> 0.00885 Y + 0.00935 Z"),
    ],
)
def test_reactions_are_told_in_whole_numbers_where_these_are_small(left, right, text):
    assert reaction_text(left, right) == text
