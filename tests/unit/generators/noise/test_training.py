from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.generators.backbone import Backbone
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.noise.checkpoint import load_noise_network
from redoxa.generators.noise.objective import LossWeights, diffusion, loss_terms, straight_paths
from redoxa.generators.noise.training import NoiseTask
from redoxa.generators.training.batches import Batch
from redoxa.generators.training.loop import TrainConfig, train
from tests.unit.generators.conftest import TINY

ROOT = Path(__file__).parents[4]


def test_training_lowers_every_loss_and_logs_json_lines(tiny_file, tmp_path):
    lines: list[dict[str, float]] = []
    config = TrainConfig(tmp_path, steps=240, decay_steps=80, warmup_steps=2, save_every=240, log_every=60)
    train(partial(NoiseTask, "flow", tiny_file, TINY), config, lines.append)
    for name in ("lattice", "types"):
        assert lines[-1][name] < 0.9 * lines[0][name]
    assert lines[-1]["coords"] < lines[0]["coords"]
    assert {"held_out_coords", "held_out_lattice", "held_out_types"} <= lines[-1].keys()
    written = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert written == lines


def test_an_epoch_holds_every_crystal_that_is_not_held_out_once_in_batches_of_one_size(tiny_file):
    task = NoiseTask("flow", tiny_file, TINY, edges_per_batch=400)
    batches = [rows.tolist() for rows in task.epoch(0, 0)]
    assert sorted(row for rows in batches for row in rows) == np.flatnonzero(~task.data.held_out).tolist()
    assert all(len(set(task.data.counts[rows])) == 1 for rows in batches)
    assert batches == [rows.tolist() for rows in task.epoch(0, 0)]
    assert batches != [rows.tolist() for rows in task.epoch(0, 1)]
    assert sorted(torch.cat(list(task.held_out())).tolist()) == np.flatnonzero(task.data.held_out).tolist()


def test_larger_batches_hold_more_of_every_size_and_small_crystals_count_for_some_edges(tiny_file):
    def largest(edges: int) -> int:
        return max(len(rows) for rows in NoiseTask("flow", tiny_file, TINY, edges_per_batch=edges).epoch(0, 0))

    assert largest(400) == 400 // 24 == 16
    assert largest(432) == 432 // 24 == 18  # two atoms: four edges, which count for 24
    assert (
        NoiseTask("flow", tiny_file, TINY).settings != NoiseTask("flow", tiny_file, TINY, edges_per_batch=400).settings
    )


def test_statistics_of_the_lattice_are_standard_on_the_training_data(tiny_file):
    task = NoiseTask("flow", tiny_file, TINY)
    network = task.network()
    batches = [task.crystals.take(rows, torch.device("cpu")) for rows in task.epoch(0, 0)]
    rest = [(b.lattice - network.reference(b.types)) / network.lattice_std for b in batches]
    # The cells are cubes: only the first number (log volume) has a spread.
    assert torch.cat(rest)[:, 0].mean().abs() < 1e-3
    assert torch.cat(rest)[:, 0].std().item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("noising", [straight_paths, diffusion])
def test_losses_are_finite_for_single_atoms_and_blank_samples(noising):
    torch.manual_seed(0)
    network = Backbone(TINY)
    lattice, labels = torch.tensor([[3.0, 0, 0, 0, 0, 0]] * 2), torch.full((2, 4), torch.nan)
    batch = Batch(torch.tensor([[3], [26]]), torch.zeros(2, 1, 3), lattice, labels)
    for weights in (LossWeights(known_share=1.0, blank_share=0.0), LossWeights(known_share=0.0, blank_share=1.0)):
        terms = loss_terms(network, batch, weights, noising, torch.Generator().manual_seed(0))
        assert all(np.isfinite(float(t.detach())) for t in terms.values())


def test_checkpoint_reads_back_in_half_precision_and_rejects_others(tiny_checkpoint, tmp_path):
    network, statistics = load_noise_network(tiny_checkpoint, "flow")
    assert statistics.sizes.nonzero().flatten().tolist() == [2, 5, 8]
    assert int(statistics.elements[8]) > int(statistics.elements[22]) > 0
    assert network.volumes[8] > 2.0
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        path = tmp_path / "broken.safetensors"
        path.write_bytes(tiny_checkpoint.read_bytes()[:100])
        load_noise_network(path, "flow")
    with pytest.raises(InputError, match="format"):
        load_noise_network(tiny_checkpoint.with_name("train.safetensors"), "flow")
    with pytest.raises(InputError, match="redoxa-flow-1"):
        load_noise_network(tiny_checkpoint, "diffusion")


def test_training_needs_no_chemistry_packages(tiny_file, tmp_path):
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'pymatgen', 'ase', 'prefect', 'pydantic', 'chgnet', 'spglib', 'sqlalchemy', 'scipy'}}:
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Block())
from pathlib import Path
from redoxa.generators.backbone import BackboneConfig
from functools import partial
from redoxa.generators.noise.training import NoiseTask
from redoxa.generators.training.loop import TrainConfig, train
task = partial(NoiseTask, "flow", Path({str(tiny_file)!r}), BackboneConfig(hidden=8, edge=8, layers=1))
train(task, TrainConfig(Path({str(tmp_path)!r}), steps=2, save_every=2))
print('trained')
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "trained", done.stderr


def test_a_network_begins_with_another_ones_weights_but_not_with_its_heads(tiny_file, tiny_checkpoint):
    given, _ = load_noise_network(tiny_checkpoint, "flow")
    labelled = replace(TINY, labels=4)
    network = NoiseTask("diffusion", tiny_file, labelled, tiny_checkpoint).network()
    assert torch.equal(network.layers[1].out.weight, given.layers[1].out.weight)
    assert not torch.equal(network.coords_head.weight, given.coords_head.weight)
    further = NoiseTask("flow", tiny_file, TINY, tiny_checkpoint).network()
    assert torch.equal(further.coords_head.weight, given.coords_head.weight)
    with pytest.raises(InputError, match="of this size"):
        NoiseTask("flow", tiny_file, replace(TINY, hidden=32), tiny_checkpoint).network()


def test_only_the_parameters_that_are_asked_for_are_trained(tiny_file, tmp_path):
    make_task = partial(NoiseTask, "diffusion", tiny_file, replace(TINY, labels=4), only="labels.")
    torch.manual_seed(0)
    before = dict(make_task().network().named_parameters())
    train(make_task, TrainConfig(tmp_path, steps=3, warmup_steps=0, save_every=3, seed=0, device="cpu"))
    after = read_tensors(tmp_path / "train.safetensors")[0]
    changed = {name for name, p in before.items() if not torch.equal(p.detach(), after[f"network.{name}"])}
    assert changed == {name for name in before if name.startswith("labels.")}
