"""Hosts that stay, atoms that move to other sites, octahedra that stretch."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.base import Subject
from redoxa.screening.compute.relax import Relaxation, relax
from redoxa.screening.gates.topotaxy import MaxCationShift, Moves, same_host
from redoxa.screening.ions.removal import ion_sites, supercell, without
from redoxa.screening.properties.jahn_teller import JahnTellerDistortion, elongations
from tests.unit.screening.conftest import candidate, distorted
from tests.unit.screening.test_gates import AROUND


def state(crystal: Crystal) -> Relaxation:
    return Relaxation(
        crystal=crystal, energy_eV=0.0, converged=True, steps=0, force_calls=1, max_force_eV_A=0.0,
        max_stress_eV_A3=0.0, seconds=0.0,
    )  # fmt: skip


def moved(crystal: Crystal, site: int, shift: tuple[float, float, float], drift: float = 0.0) -> Crystal:
    frac = np.array(crystal.frac_coords) + drift
    frac[site] += shift
    return crystal.model_copy(update={"frac_coords": tuple(map(tuple, (frac % 1.0).tolist()))})


def test_the_host_is_recognised_whatever_its_volume_and_told_from_another():
    olivine, maricite = (prototype(n).crystal for n in ("olivine LiFePO4", "maricite NaFePO4"))
    empty = without(olivine, ion_sites(olivine, "Li"))
    assert same_host(olivine, empty, "Li")
    assert same_host(olivine, distorted(empty, 1, 0.03, 0.02), "Li")
    assert not same_host(olivine, without(maricite, ion_sites(maricite, "Na")), "Li")


def test_a_drift_of_all_atoms_is_no_move():
    full = prototype("olivine LiFePO4").crystal
    moves = Moves.between(full, moved(without(full, ion_sites(full, "Li")[:2]), 0, (0, 0, 0), drift=0.13), "Li")
    assert moves.host_shifts_A.max() < 1e-4
    assert moves.ion_shifts_A == pytest.approx([0, 0], abs=1e-4)
    assert moves.host.count("Fe") == 4


def test_a_cation_in_another_site_is_named():
    full = supercell(prototype("O3 LiCoO2").crystal, 8)
    empty = without(full, ion_sites(full, "Li"))
    cobalt = ion_sites(empty, "Co")[0]
    shift = np.linalg.solve(np.array(full.lattice_A).T, np.array([0, 0, 1.5]))  # towards the empty layer
    subject = Subject(candidate(full), discharged=state(full), charged=state(moved(empty, cobalt, tuple(shift))))
    subject.full_cell = full
    found = MaxCationShift().evaluate(subject, AROUND)
    assert found.estimate.value == pytest.approx(1.5 * 23 / 24, abs=0.01)  # 24 host atoms: the drift takes its part
    assert [r.code for r in found.reasons] == ["cation_moved"]
    assert "(Co)" in found.reasons[0].text


def test_ions_that_leave_their_sites_are_counted():
    full = supercell(prototype("O3 LiCoO2").crystal, 4)
    partly = without(full, ion_sites(full, "Li")[:2])
    ion = ion_sites(partly, "Li")[0]
    subject = Subject(candidate(full), discharged=state(full), charged=state(moved(partly, ion, (0.25, 0.25, 0.0))))
    subject.full_cell = full
    (reason,) = MaxCationShift().evaluate(subject, AROUND).reasons
    assert reason.code == "ion_moved"
    assert reason.text.startswith("1 of the Li")


def test_other_hosts_are_refused():
    with pytest.raises(ValueError, match="host atoms"):
        Moves.between(prototype("O3 LiCoO2").crystal, prototype("O3 LiNiO2").crystal, "Li")


def test_manganese_three_stretches_its_octahedra_and_manganese_four_does_not(chgnet):
    full = relax(prototype("O3' LiMnO2").crystal, chgnet)
    empty = relax(without(full.crystal, ion_sites(full.crystal, "Li")), chgnet)
    assert elongations(empty) == []
    # 2.32 and 1.95 A by diffraction: 19 % (Armstrong and Bruce, Nature 381, 499, 1996)
    assert elongations(full) == pytest.approx([0.19], abs=0.03)
    subject = Subject(candidate(full.crystal), discharged=full, charged=empty)
    found = JahnTellerDistortion().evaluate(subject, AROUND)
    assert found.estimate.value == pytest.approx(0.19, abs=0.03)
    assert "1 sites discharged" in found.notes["jahn_teller"]


def test_no_jahn_teller_ion_no_number():
    full = prototype("olivine LiFePO4").crystal
    empty = without(full, ion_sites(full, "Li"))
    found = JahnTellerDistortion().evaluate(
        Subject(candidate(full), discharged=state(full), charged=state(empty)), AROUND
    )
    assert found.estimate is None
