"""Voltages on CHGNet's scale, and weights to go on from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.datasets import LABELS, CrystalData
from redoxa.data.tables.template_labels import read_electrode_labels
from redoxa.generators.base import Condition, Target
from redoxa.generators.noise.sampling.guidance import LABELS_BELOW_CHGNET_V
from redoxa.generators.vae.checkpoint import is_vae, load_vae
from redoxa.generators.vae.electrodes import COLUMNS, electrodes_for, fit_scale, on_scale, pairs
from redoxa.generators.vae.generator import VaeGenerator, _capacity
from redoxa.generators.vae.latent import LatentSpace, goals_for
from redoxa.generators.vae.latent_map import build_map, load_map, save_map
from redoxa.generators.vae.network import PROPERTIES, VaeConfig
from redoxa.generators.vae.training import VaeTask
from redoxa.generators.wyckoff.sequence import Drawn
from tests.unit.generators.conftest import TINY_SEQUENCE

ROCKSALT = Crystal(numbers=(3, 27, 8, 8), frac_coords=((0, 0, 0), (0, 0, 0.5), (0.5, 0.5, 0.25), (0.5, 0.5, 0.75)),
                   lattice_A=((2.9, 0, 0), (0, 2.9, 0), (0, 0, 5.0)))  # fmt: skip


def as_data(crystals: list[Crystal], voltages: list[float], held_out: list[bool]) -> CrystalData:
    labels = np.full((len(crystals), len(LABELS)), np.nan, dtype=np.float32)
    labels[:, COLUMNS[3]] = voltages
    return CrystalData(
        np.concatenate([np.array(c.numbers) for c in crystals]),
        np.concatenate([np.array(c.frac_coords) for c in crystals]).astype(np.float32),
        np.array([c.lattice_A for c in crystals]).astype(np.float32),
        np.concatenate([[0], np.cumsum([c.n_atoms for c in crystals])]),
        np.array(held_out),
        labels,
    )


def test_a_line_is_found_again_and_too_few_pairs_give_the_known_shift():
    theirs = np.linspace(0, 5, 30)
    assert fit_scale(np.stack([theirs, 0.9 * theirs + 0.4], axis=1)) == pytest.approx((0.9, 0.4))
    assert fit_scale(np.array([[1.0, 3.0]])) == (1.0, LABELS_BELOW_CHGNET_V)


def test_only_voltages_are_brought_to_the_scale():
    labels = np.ones((1, len(PROPERTIES)), dtype=np.float32)
    found = on_scale(labels, (2.0, 0.5))
    assert [float(x) for x in found[0]] == [2.5 if "voltage" in name else 1.0 for name in PROPERTIES]
    assert float(labels.max()) == 1.0


def test_a_crystal_with_both_labels_is_paired_and_a_held_out_one_is_not():
    table = load_templates()
    known = [
        label for label in read_electrode_labels(shipped("electrode_labels.parquet"), table.sha256) if label.ion == 3
    ]
    crystals = [table[label.template].form.to_crystal() for label in known[:2]]
    data = as_data(crystals, [1.0, 2.0], [False, True])
    assert pairs(data, table, known[:2]).tolist() == [[1.0, pytest.approx(known[0].voltage_V)]]
    swollen = crystals[0].model_copy(update={"lattice_A": tuple((1.1 * np.array(crystals[0].lattice_A)).tolist())})
    assert len(pairs(as_data([swollen], [1.0], [False]), table, known[:1])) == 0


def test_templates_of_held_out_formulas_are_held_out():
    table = load_templates()
    first = next(
        label for label in read_electrode_labels(shipped("electrode_labels.parquet"), table.sha256) if label.ion == 3
    )
    crystal = table[first.template].form.to_crystal()
    found = electrodes_for(as_data([crystal, ROCKSALT], [np.nan, np.nan], [True, False]))
    assert 1 <= found.held_out.sum() < 10
    assert len(found.graphs) == len(found.labels) == len(found.held_out) > 500
    assert bool((found.labels.isfinite().sum(1) == 1).all())
    assert float(found.labels[found.labels.isfinite()].max()) < 6.0


def test_training_goes_on_from_a_vae_and_begins_with_its_weights(tiny_sequences, tiny_vae, tiny_wyckoff):
    config = VaeConfig(replace(TINY_SEQUENCE, latent=4), width=16, layers=2, head=16)
    assert is_vae(tiny_vae)
    assert not is_vae(tiny_wyckoff)
    task = VaeTask(tiny_sequences, config, start=tiny_vae)
    assert task.weights.alone == 0
    given = load_vae(tiny_vae)
    for name, parameter in task.network().named_parameters():
        assert torch.equal(parameter, given.get_parameter(name)), name
    other = VaeTask(tiny_sequences, replace(config, width=24), start=tiny_vae)
    with pytest.raises(InputError, match="size"):
        other.network()


def test_goals_are_on_the_scale_of_the_screening():
    goal = goals_for([Target("average_voltage", 3.0, 3.6)], frozenset({3}))[0]
    assert (goal.low, goal.high) == (3.0, 3.6)


def test_the_capacity_is_that_of_the_required_ion():
    assert _capacity(ROCKSALT, frozenset({3})) == pytest.approx(273.8, abs=0.1)  # LiCoO2
    mixed = Crystal(numbers=(3, 11, 27, 8, 8), frac_coords=np.arange(15).reshape(5, 3) / 16, lattice_A=5 * np.eye(3))
    assert _capacity(mixed, frozenset({3})) == pytest.approx(_capacity(mixed, frozenset({11})))  # one ion each
    assert _capacity(mixed, frozenset({3, 11})) == _capacity(mixed, frozenset({3}))
    assert np.isnan(_capacity(ROCKSALT.model_copy(update={"numbers": (12, 27, 8, 8)}), frozenset()))


def test_crystals_that_have_the_capacity_come_before_those_that_the_heads_prefer(tiny_vae):
    generator, goals = VaeGenerator(tiny_vae), goals_for([Target("capacity_grav", 250.0)], frozenset({3}))
    form = canonical(symmetric(ROCKSALT))
    poor = ROCKSALT.model_copy(update={"numbers": (3, 92, 8, 8)})
    drawn = [Drawn(form, crystal, 0.0) for crystal in (poor, ROCKSALT, poor, ROCKSALT)]
    best = generator._best(drawn, 2, goals, Condition(required=frozenset({3})))
    assert [one.crystal for one in best] == [ROCKSALT, ROCKSALT]


def test_a_map_comes_back_from_its_file(tiny_vae, tmp_path):
    space = LatentSpace(load_vae(tiny_vae))
    crystals = [ROCKSALT, *(ROCKSALT.model_copy(update={"numbers": (3, z, 8, 8)}) for z in (25, 26, 28))]
    found = build_map(space, "abc", crystals)
    save_map(tmp_path / "map.safetensors", found)
    again = load_map(tmp_path / "map.safetensors")
    assert again.checkpoint_sha256 == "abc"
    assert again.share == pytest.approx(found.share, abs=1e-4)
    assert torch.allclose(again.plane(space.encode(crystals)), found.known, atol=1e-5)
    with pytest.raises(InputError, match="format"):
        load_map(tiny_vae)
