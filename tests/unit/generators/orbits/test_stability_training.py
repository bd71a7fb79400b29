"""Hull distances are learned from labels, and how well is said of formulas that were held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates, write_templates
from redoxa.data.tables.template_labels import StabilityLabel
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.orbits.decorator import Decorator, DecoratorConfig, load_decorator
from redoxa.generators.orbits.decorator_training import prepare_graphs
from redoxa.generators.orbits.stability_training import foresight, train_stability
from redoxa.generators.orbits.training import with_decorator


def test_how_good_by_hand() -> None:
    found = foresight(torch.tensor([0.0, 0.05, 0.3, 0.2]), torch.tensor([0.02, 0.15, 0.05, 0.35]))
    assert found.n == 4
    assert found.mae_eV_per_atom == pytest.approx((0.02 + 0.10 + 0.25 + 0.15) / 4, abs=1e-6)
    assert found.spread_eV_per_atom == pytest.approx((0.08 + 0.05 + 0.05 + 0.25) / 4, abs=1e-6)
    assert found.auc_near == pytest.approx(2 / 4)  # near: 0.0 and 0.3; far: 0.05 and 0.2
    assert found.rank == pytest.approx(0.4)


def test_labels_are_learned(tmp_path: Path) -> None:
    """Rock salts of made-up stability: by how far the atomic numbers are apart."""
    whole = load_templates()
    rows = np.flatnonzero((whole.groups == 225) & (np.diff(whole.first_orbit) == 2)).tolist()
    write_templates(tmp_path / "templates.parquet", [whole[i] for i in rows])
    table = load_templates(tmp_path / "templates.parquet")
    prepare_graphs(table, tmp_path / "graphs.safetensors", holdout=0)
    labels = []
    for index in range(len(table)):
        a, b = (orbit.number for orbit in table[index].form.orbits)
        labels.append(StabilityLabel(index, (a, b), abs(a - b) / 200, 3, 1))
        labels.append(StabilityLabel(index, (b, a), abs(a - b) / 200, 3, 1))  # a new crystal
    torch.manual_seed(0)
    network, quality = train_stability(
        table, tmp_path / "graphs.safetensors", labels, load_decorator(shipped("orbits.safetensors"))
    )
    assert quality["new"].n > 20
    assert quality["new"].mae_eV_per_atom < 0.8 * quality["new"].spread_eV_per_atom
    assert quality["templates"].rank > 0.7
    assert len(network.members) > 1


def test_another_decorator_leaves_the_judge_as_it_is(tmp_path: Path) -> None:
    from redoxa.generators.orbits.decorator import save_decorator

    other = Decorator(DecoratorConfig(hidden=16, edge=16, layers=1))
    save_decorator(tmp_path / "decorator.safetensors", other)
    with_decorator(
        shipped("orbits.safetensors"), tmp_path / "decorator.safetensors", None, tmp_path / "orbits.safetensors"
    )
    old, new = (read_tensors(path)[0] for path in (shipped("orbits.safetensors"), tmp_path / "orbits.safetensors"))
    assert {name.partition(".")[0] for name in new} == {"decorator", "judge"}
    assert all(torch.equal(old[name], tensor) for name, tensor in new.items() if name.startswith("judge."))
    assert torch.equal(new["decorator.types.weight"], other.types.weight.half())
