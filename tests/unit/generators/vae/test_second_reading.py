"""Crystals of a search are read twice, and the worse reading counts."""

from __future__ import annotations

import pytest
import torch

from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.generators.base import Condition, Target
from redoxa.generators.orbits.foresight.surrogate import PROPERTIES as FORESEEN
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.latent import goals_for
from redoxa.generators.vae.network import PROPERTIES
from redoxa.generators.vae.second_reading import SecondReader
from redoxa.generators.wyckoff.sequence import Drawn

VOLTAGE, HULL = PROPERTIES.index("voltage_Li_V"), PROPERTIES.index("hull_distance_eV_per_atom")


def layered(ion: int, metal: int) -> SymmetricCrystal:
    """An O3 oxide of known geometry (LiCoO2: R-3m, a = 2.82 A, c = 14.05 A, z = 0.24)."""
    return SymmetricCrystal(166, (Orbit("a", ion, ()), Orbit("b", metal, ()), Orbit("c", 8, (0.24,))), (2.82, 14.05))


def test_the_second_reader_knows_electrodes_and_only_what_it_has_learned() -> None:
    assert "voltage_V" in FORESEEN
    salt = SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("b", 17, ())), (5.64,))
    found = SecondReader().properties([layered(3, 27), salt, layered(3, 22)])
    cobalt, sodium, titanium = found
    assert cobalt[VOLTAGE] == pytest.approx(3.5, abs=0.5)  # CHGNet: 3.48 V
    assert cobalt[VOLTAGE] > titanium[VOLTAGE] + 1.0
    assert torch.isnan(sodium[VOLTAGE])
    assert torch.isfinite(sodium[PROPERTIES.index("voltage_Na_V")])
    assert torch.isfinite(found[:, HULL]).all()
    assert torch.isnan(found[:, PROPERTIES.index("capacity_mAh_g")]).all()


def test_what_either_reading_finds_outside_comes_last(tiny_vae, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = VaeGenerator(tiny_vae)
    forms = [layered(3, z) for z in (27, 25)] * 2
    drawn = [Drawn(form, form.to_crystal(), 0.0) for form in forms]
    goals = goals_for([Target("average_voltage", 3.0, 3.6)], frozenset({3}))
    own, other = (torch.full((4, len(PROPERTIES)), torch.nan) for _ in range(2))
    own[:, VOLTAGE] = torch.tensor([3.3, 3.3, 4.6, 3.4])
    other[:, VOLTAGE] = torch.tensor([4.6, 3.3, 3.3, torch.nan])  # no second reading of the last
    monkeypatch.setattr(generator.space, "properties", lambda latent: own)
    monkeypatch.setattr(SecondReader, "properties", lambda self, crystals: other)
    best = generator._best(drawn, 2, goals, Condition(required=frozenset({3})))
    assert best == [drawn[1], drawn[3]]
