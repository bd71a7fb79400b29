"""The energy model learns hull distances and an order from labels, and how well is said of held-out formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates, write_templates
from redoxa.data.tables.template_labels import StabilityLabel, write_stability_labels
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.graph import MASK
from redoxa.generators.orbits.decoration.decorator import Decorator, DecoratorConfig, load_decorator, save_decorator
from redoxa.generators.orbits.decoration.decorator_training import prepare_graphs
from redoxa.generators.orbits.foresight.energy_model import EnergyModel, energy_tensors, load_energy_model
from redoxa.generators.orbits.foresight.energy_training import EnergyTask, energy_config, judged, train_energy
from redoxa.generators.orbits.preference import Preference, preference_tensors
from redoxa.generators.orbits.training import with_decorator

ORBITS = shipped("orbits.safetensors")


def test_how_good_by_hand() -> None:
    energy = torch.tensor([0.0, 1.0, 6.0, 4.0])
    found = judged(torch.tensor([0.0, 0.05, 0.3, 0.2]), energy, torch.tensor([0.02, 0.15, 0.05, 0.35]))
    assert found.n == 4
    assert found.mae_eV_per_atom == pytest.approx((0.02 + 0.10 + 0.25 + 0.15) / 4, abs=1e-6)
    assert found.spread_eV_per_atom == pytest.approx((0.08 + 0.05 + 0.05 + 0.25) / 4, abs=1e-6)
    assert found.auc_near == pytest.approx(2 / 4)  # near: energies 0 and 6; far: 1 and 4
    assert found.rank == pytest.approx(0.4)


@pytest.fixture(scope="module")
def rock_salts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rock salts of made-up stability, by how far the atomic numbers are apart: templates, graphs and labels."""
    folder, whole = tmp_path_factory.mktemp("salts"), load_templates()
    rows = np.flatnonzero((whole.groups == 225) & (np.diff(whole.first_orbit) == 2)).tolist()
    write_templates(folder / "templates.parquet", [whole[i] for i in rows])
    table: TemplateTable = load_templates(folder / "templates.parquet")
    prepare_graphs(table, folder / "graphs.safetensors", holdout=0)
    labels = []
    for index in range(len(table)):
        a, b = (orbit.number for orbit in table[index].form.orbits)
        labels.append(StabilityLabel(index, (a, b), abs(a - b) / 200, 3, 1))
        labels.append(StabilityLabel(index, (b, a), abs(a - b) / 200, 3, 1))  # a new crystal
    write_stability_labels(folder / "labels.parquet", labels, table.sha256)
    return folder


def test_labels_are_learned_and_a_killed_training_ends_the_same(rock_salts: Path, tmp_path: Path) -> None:
    files = rock_salts / "templates.parquet", rock_salts / "graphs.safetensors", rock_salts / "labels.parquet"
    tensors, header, quality = train_energy(*files, ORBITS, energy_config(tmp_path / "whole", 240), lambda _: None)
    assert quality["new"].n > 20
    assert quality["new"].mae_eV_per_atom < 0.8 * quality["new"].spread_eV_per_atom
    assert quality["templates"].rank > 0.7
    assert quality["templates"].auc_near > 0.8
    write_tensors(tmp_path / "energy.safetensors", tensors, header)
    network = load_energy_model(tmp_path / "energy.safetensors")
    assert network is not None
    assert all(torch.equal(a, b) for a, b in zip(energy_tensors(network)[0].values(), tensors.values(), strict=True))

    class Killed(Exception):
        pass

    def kill(line: dict[str, float]) -> None:
        if line["step"] >= 120:
            raise Killed

    often = energy_config(tmp_path / "killed", 240)
    often = type(often)(**vars(often) | {"save_every": 100})
    with pytest.raises(Killed):
        train_energy(*files, ORBITS, often, kill)
    again = train_energy(*files, ORBITS, often, lambda _: None)
    assert again[2] == quality


def test_redrawn_crystals_differ_in_one_orbit_by_a_known_element(rock_salts: Path) -> None:
    task = EnergyTask(
        rock_salts / "templates.parquet", rock_salts / "graphs.safetensors", rock_salts / "labels.parquet", ORBITS
    )
    types, graphs = task.take(torch.arange(40), torch.device("cpu"))
    redrawn = task._redrawn(types, graphs, torch.Generator().manual_seed(0))
    assert ((redrawn != types).sum(1) == 1).all()
    assert (redrawn != MASK).all()
    known = {int(z) for template in load_templates(rock_salts / "templates.parquet") for z in template.composition}
    assert set(redrawn.flatten().tolist()) <= known
    held = {i for rows in task.held_out() for i in rows.tolist()}
    assert held.isdisjoint({i for rows in task.epoch(0, 0) for i in rows.tolist()})


def test_it_begins_with_the_messages_of_the_decorator() -> None:
    decorator = load_decorator(ORBITS)
    network = EnergyModel(decorator.config)
    network.begin_with(decorator)
    assert torch.equal(network.body.embedding.weight, decorator.embedding.weight)
    assert not any(name.startswith(("body.types", "body.volume")) for name, _ in network.named_parameters())


def test_another_decorator_leaves_the_judge_and_the_energy_model_as_they_are(tmp_path: Path) -> None:
    other = Decorator(DecoratorConfig(hidden=16, edge=16, layers=1))
    save_decorator(tmp_path / "decorator.safetensors", other)
    tensors, header = read_tensors(ORBITS)
    start = tmp_path / "start.safetensors"
    write_tensors(start, tensors | preference_tensors(Preference(torch.zeros(2, 4))), header)
    with_decorator(start, tmp_path / "decorator.safetensors", False, tmp_path / "orbits.safetensors")
    old, new = (read_tensors(path)[0] for path in (ORBITS, tmp_path / "orbits.safetensors"))
    assert {name.partition(".")[0] for name in new} == {"decorator", "judge", "energy"}
    assert all(torch.equal(old[name], t) for name, t in new.items() if not name.startswith("decorator."))
    assert torch.equal(new["decorator.types.weight"], other.types.weight.half())


def test_a_checkpoint_without_one_has_none(tmp_path: Path) -> None:
    write_tensors(tmp_path / "old.safetensors", {"x": torch.zeros(1)}, {})
    assert load_energy_model(tmp_path / "old.safetensors") is None
