"""Relaxation in the symmetric subspace: as low as a full one that keeps the symmetry, at a fraction of the calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from redoxa.data.errors import PotentialError
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, symmetric
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.compute.relax import RelaxSettings, relax
from redoxa.screening.compute.symmetric_relax import relax_symmetric
from redoxa.screening.compute.symmetric_walk import SymmetricRelaxSettings
from redoxa.screening.workers.pool import relax_many

NAMES = ("O3 LiCoO2", "O3 NaCrO2", "lithiated spinel Li7Ti5O12")


def swollen(name: str) -> SymmetricCrystal:
    """A prototype in symmetric form, 3 % too large in each direction."""
    form = canonical(symmetric(prototype(name).crystal))
    return replace(form, lengths_A=tuple(1.03 * x for x in form.lengths_A))


@pytest.mark.parametrize("name", NAMES[:2])
def test_as_low_as_a_full_relaxation_with_fewer_calls(name, chgnet):
    form = swollen(name)
    here, full = relax_symmetric(form, chgnet), relax(form.to_crystal(), chgnet, RelaxSettings())
    assert here.converged
    assert here.energy_eV_per_atom < full.energy_eV_per_atom + 0.004
    assert here.start_energy_eV == pytest.approx(full.start_energy_eV, abs=1e-4)
    assert here.force_calls < full.force_calls
    assert symmetric(here.crystal).group == form.group


def test_unfinished_and_impossible_say_why(chgnet):
    short = relax_symmetric(swollen(NAMES[2]), chgnet, SymmetricRelaxSettings(max_calls=1))
    assert not short.converged
    assert "meV/atom is left after 1 calls" in short.reason
    crowded = SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("a", 17, ())), (5.64,))
    with pytest.raises(PotentialError, match="one place"):
        relax_symmetric(crowded, chgnet)


def test_a_cell_without_room_is_refused(chgnet):
    tiny = SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("b", 17, ())), (0.9,))
    with pytest.raises(PotentialError, match="no crystal"):
        relax_symmetric(tiny, chgnet)


def test_in_worker_processes(chgnet):
    forms = [swollen(name) for name in NAMES[:2]]
    there = {i: finished.relaxation for i, finished in relax_many(forms, workers=2)}
    for i, form in enumerate(forms):
        assert there[i].energy_eV == pytest.approx(relax_symmetric(form, chgnet).energy_eV, abs=1e-4)
