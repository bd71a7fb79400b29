"""Fine-tuning on found crystals: real data in every batch, and what was found becomes likelier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates, write_templates
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.generators.orbits.decoration.decorator import load_decorator, log_likelihood
from redoxa.generators.orbits.decoration.decorator_training import BATCH, prepare_graphs
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.self_training import FineTuning, SelfTrainingTask, fine_tune, prepare_found

FOUND = [
    SymmetricCrystal(225, (Orbit("a", z, ()), Orbit("b", 8, ())), (a_A,))
    for z, a_A in ((3, 4.1), (11, 4.8), (19, 5.3), (37, 5.6))
]
"""Alkali oxides in the rock-salt structure: nothing that nature makes."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[TemplateTable, Path]:
    """Rock salts and other crystals of two and three orbits as memory, and the graphs of these and of what was found."""
    folder = tmp_path_factory.mktemp("graphs")
    whole = load_templates()
    rows = [i for i in np.flatnonzero(whole.groups == 225).tolist() if np.diff(whole.first_orbit)[i] in (2, 3)][:300]
    write_templates(folder / "templates.parquet", [whole[i] for i in rows])
    table = load_templates(folder / "templates.parquet")
    prepare_graphs(table, folder / "memory.safetensors", holdout=20)
    prepare_found(folder / "memory.safetensors", FOUND, table, folder / "graphs.safetensors")
    return table, folder / "graphs.safetensors"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_at_least_half_of_every_batch_is_real(files: tuple[TemplateTable, Path], share: float) -> None:
    task = SelfTrainingTask(files[1], shipped("orbits.safetensors"), share)
    found = task.base.tensors["found"]
    assert int(found.sum()) == len(FOUND)
    batches = task.epoch(0, 0)
    shares = [float(found[rows].float().mean()) for rows in batches]
    assert max(shares) <= 0.5
    assert max(shares) > 0
    seen = torch.cat(batches)
    assert set(torch.nonzero(found).squeeze(1).tolist()) <= set(seen.tolist())
    assert not bool(task.base.tensors["held_out"][seen].any())
    assert all(len(rows) <= BATCH and len(set(task.base.counts[rows].tolist())) == 1 for rows in batches)
    assert task.real_share() == pytest.approx(1 - float(found[seen].float().mean()))
    assert [rows.tolist() for rows in task.epoch(0, 0)] == [rows.tolist() for rows in batches]
    assert [rows.tolist() for rows in task.epoch(0, 1)] != [rows.tolist() for rows in batches]


def test_graphs_of_both_stand_side_by_side(files: tuple[TemplateTable, Path]) -> None:
    table, graphs = files
    task = SelfTrainingTask(graphs, shipped("orbits.safetensors"), 0.5)
    batch, types = task.base.take(torch.tensor([len(table), len(table) + 3]), torch.device("cpu"))
    assert types.tolist() == [[3, 8], [37, 8]]
    assert torch.equal(batch.shells[1], GraphBatch.of([OrbitGraph.of(FOUND[3])]).shells[0])
    first = task.base.take(torch.tensor([0]), torch.device("cpu"))[1].tolist()[0]
    assert first == [orbit.number for orbit in table[0].form.orbits]


def test_what_was_found_becomes_likelier(files: tuple[TemplateTable, Path], tmp_path: Path) -> None:
    how = FineTuning(steps=20, rate=1e-3)
    weights, real = fine_tune(shipped("orbits.safetensors"), files[1], how, tmp_path, seed=0)
    assert 0.5 <= real < 1
    graphs = GraphBatch.of([OrbitGraph.of(form) for form in FOUND])
    types = torch.tensor([[orbit.number for orbit in form.orbits] for form in FOUND])
    scores = [
        log_likelihood(load_decorator(path), types, graphs, torch.Generator().manual_seed(0), orders=2).mean().item()
        for path in (shipped("orbits.safetensors"), weights)
    ]
    assert scores[1] > scores[0] + 0.1
