"""Targets: capacities are arithmetic, voltages are foreseen as the labelled templates have them, and samples lie inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.chemistry import theoretical_capacity_mAh_g
from redoxa.data.errors import GenerationError, InputError
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.prototypes import prototype
from redoxa.data.tables.template_labels import ElectrodeLabel, read_electrode_labels, write_electrode_labels
from redoxa.generators.base import Condition, Target
from redoxa.generators.orbits.decoration.decorator import load_decorator
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.foresight.surrogate import PROPERTIES, load_surrogate
from redoxa.generators.orbits.foresight.surrogate_training import train_surrogate
from redoxa.generators.orbits.foresight.targets import Sieve
from redoxa.generators.orbits.generator import OrbitsGenerator

LI, O, TI, CO = 3, 8, 22, 27


@pytest.fixture(scope="module")
def sieve() -> Sieve:
    decorator = load_decorator(shipped("orbits.safetensors"))
    surrogate = load_surrogate(shipped("orbits.safetensors"), decorator.config.hidden)
    return Sieve(Condition(required=frozenset({LI}), targets=(Target("average_voltage", 3.0),)), decorator, surrogate)


def graphs(name: str) -> tuple[torch.Tensor, GraphBatch]:
    form = symmetric(prototype(name).crystal)
    return torch.tensor([[orbit.number for orbit in form.orbits]]), GraphBatch.of([OrbitGraph.of(form)])


def test_capacities_are_theory() -> None:
    assert theoretical_capacity_mAh_g({"Li": 1, "Fe": 1, "P": 1, "O": 4}, "Li") == pytest.approx(169.9, abs=0.1)
    assert theoretical_capacity_mAh_g({"Li": 2, "Fe": 1, "Si": 1, "O": 4}, "Li") == pytest.approx(331.3, abs=0.5)
    assert theoretical_capacity_mAh_g({"Mg": 1, "O": 1}, "Mg") == 0.0  # nothing to oxidise


def test_high_and_low_voltage_hosts_are_told_apart(sieve: Sieve) -> None:
    assert sieve.met(*graphs("olivine LiCoPO4")) == [True]  # measured 4.8 V
    assert sieve.met(*graphs("layered LiTiS2")) == [False]  # measured 2.1 V


def test_samples_lie_in_the_ranges_as_foreseen() -> None:
    generator = OrbitsGenerator()
    condition = Condition(
        frozenset({LI, O, TI, CO, 9, 25, 28}), frozenset({LI}), charge_neutral=True,
        targets=(Target("average_voltage", 3.5, 4.5), Target("capacity_grav", 120.0)),
    )  # fmt: skip
    batch, _ = generator.sample(8, condition, np.random.default_rng(0))
    for crystal in batch.to_crystals():
        assert theoretical_capacity_mAh_g(crystal.composition, "Li") >= 120.0


def test_targets_need_a_working_ion_and_a_property_that_can_be_foreseen() -> None:
    generator, rng = OrbitsGenerator(), np.random.default_rng(0)
    with pytest.raises(GenerationError, match="require one working ion"):
        generator.sample(1, Condition(targets=(Target("average_voltage", 3.0),)), rng)
    with pytest.raises(GenerationError, match="cannot aim at stability_charge"):
        wanted = Condition(required=frozenset({LI}), targets=(Target("stability_charge", None, 0.1),))
        generator.sample(1, wanted, rng)
    surrogate = load_surrogate(shipped("orbits.safetensors"), generator.de_novo.network.config.hidden)
    hull = Condition(targets=(Target("stability_discharge", None, 0.1),))
    with pytest.raises(GenerationError, match="these weights cannot aim at stability_discharge"):
        Sieve(hull, generator.de_novo.network, replace(surrogate, stability=None))


def test_a_hull_distance_needs_no_ion_and_goes_with_the_others() -> None:
    generator = OrbitsGenerator()
    alone = Condition(frozenset({O, TI, 12, 20, 38}), targets=(Target("stability_discharge", None, 0.05),))
    together = Condition(
        frozenset({LI, O, TI, CO, 9, 25, 28}), frozenset({LI}), charge_neutral=True,
        targets=(
            Target("stability_discharge", None, 0.05), Target("average_voltage", 3.0), Target("capacity_grav", 120.0)
        ),
    )  # fmt: skip
    network = generator.de_novo.network
    surrogate = load_surrogate(shipped("orbits.safetensors"), network.config.hidden)
    for condition in (alone, together):
        for found in generator.de_novo.draw(condition, 5, np.random.default_rng(0)):
            seen = GraphBatch.of([OrbitGraph.of(found.template.form)])
            assert Sieve(condition, network, surrogate).met(torch.tensor([found.numbers]), seen) == [True]


def test_crystals_of_the_memory_are_foreseen_nearer_than_scrambled_ones() -> None:
    table, decorator = load_templates(), load_decorator(shipped("orbits.safetensors"))
    stability = load_surrogate(shipped("orbits.safetensors"), decorator.config.hidden).stability
    assert stability is not None
    rows = [i for i in np.flatnonzero(table.compositions[:, O]).tolist() if np.diff(table.first_orbit)[i] == 4][:60]
    types = torch.tensor([[orbit.number for orbit in table[i].form.orbits] for i in rows])
    batch = GraphBatch.of([OrbitGraph.of(table[i].form) for i in rows])
    with torch.inference_mode():
        real, scrambled = (stability(t, batch) for t in (types, types.roll(1, 1)))
    assert real.distance_eV_per_atom.mean() < 0.05
    for ours, theirs in zip(real, scrambled, strict=True):
        assert (ours < theirs).float().mean() > 0.7


def test_the_surrogate_learns_and_says_how_well() -> None:
    table = load_templates()
    labels = [
        label for label in read_electrode_labels(shipped("electrode_labels.parquet"), table.sha256) if label.ion == LI
    ][::2]
    network, errors = train_surrogate(table, labels, load_decorator(shipped("orbits.safetensors")), holdout=0.2)
    spread = float(np.mean(np.abs(np.array([x.voltage_V for x in labels]) - np.median([x.voltage_V for x in labels]))))
    assert set(errors) == set(PROPERTIES)
    assert errors["voltage_V"] < 0.5 * spread  # half of what always saying the median would err
    assert len(network.members) > 1


def test_labels_of_other_templates_are_refused(tmp_path: Path) -> None:
    labels = [ElectrodeLabel(3, LI, 3.4, -0.06), ElectrodeLabel(1, LI, 2.0, 0.0)]
    write_electrode_labels(tmp_path / "labels.parquet", labels, "abc")
    read = read_electrode_labels(tmp_path / "labels.parquet", "abc")
    assert [label.template for label in read] == [1, 3]
    assert read[1].voltage_V == pytest.approx(3.4)
    with pytest.raises(InputError, match="other templates"):
        read_electrode_labels(tmp_path / "labels.parquet", "def")
