from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.datasets import load
from data.errors import InputError
from generators.backbone import Backbone
from generators.checkpoint import load_network, read_tensors
from generators.objective import Buckets, LossWeights, fit_buffers, loss_terms
from generators.train import TrainConfig, learning_rate, train
from tests.unit.generators.conftest import TINY

ROOT = Path(__file__).parents[3]


class KilledError(Exception):
    """Stands for the end of the process."""


def config_for(data: Path, out: Path, **changes) -> TrainConfig:
    short = TrainConfig(data, out, steps=12, decay_steps=6, warmup_steps=2, save_every=4, log_every=1, backbone=TINY)
    return replace(short, **changes)


@pytest.mark.parametrize("killed_at", [1, 6, 8, 11])
def test_a_killed_and_resumed_run_gives_the_same_weights_to_the_last_bit(tiny_file, tmp_path, killed_at):
    train(config_for(tiny_file, tmp_path / "whole"))

    def kill(line: dict[str, float]) -> None:
        if line["step"] == killed_at:
            raise KilledError

    broken = config_for(tiny_file, tmp_path / "broken")
    with pytest.raises(KilledError):
        train(broken, kill)
    torch.manual_seed(99)
    train(broken, resume=True)
    for name in ("train.safetensors", "flow.safetensors"):
        whole, _ = read_tensors(tmp_path / "whole" / name)
        resumed, _ = read_tensors(tmp_path / "broken" / name)
        assert whole.keys() == resumed.keys()
        for key, tensor in whole.items():
            assert torch.equal(tensor, resumed[key]), key


def test_training_lowers_every_loss_and_logs_json_lines(tiny_file, tmp_path):
    lines: list[dict[str, float]] = []
    train(config_for(tiny_file, tmp_path, steps=150, decay_steps=50, save_every=150, log_every=30), lines.append)
    for name in ("lattice", "types"):
        assert lines[-1][name] < 0.9 * lines[0][name]
    assert lines[-1]["coords"] < lines[0]["coords"]
    assert {"held_out_coords", "held_out_lattice", "held_out_types"} <= lines[-1].keys()
    written = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert written == lines


def test_a_run_is_not_overwritten_by_accident(tiny_file, tmp_path):
    config = config_for(tiny_file, tmp_path, steps=1, save_every=1)
    train(config)
    with pytest.raises(InputError, match="resume"):
        train(config)
    with pytest.raises(InputError, match="another size"):
        train(replace(config, backbone=replace(TINY, hidden=32)), resume=True)


def test_learning_rate_rises_stays_and_falls():
    config = TrainConfig(Path(), Path(), steps=100, decay_steps=20, warmup_steps=10, rate=1.0)
    assert learning_rate(0, config) == pytest.approx(0.1)
    assert learning_rate(9, config) == learning_rate(50, config) == 1.0
    assert learning_rate(90, config) == pytest.approx(0.5)
    assert learning_rate(100, config) == pytest.approx(0.01)


def test_an_epoch_holds_every_crystal_once_in_batches_of_one_size(tiny_file):
    data = load(tiny_file)
    buckets = Buckets(data, 400)
    batches = buckets.epoch(0, 0)
    assert sum(len(b.types) for b in batches) == len(data)
    assert sorted(z for b in batches for z in b.types.flatten().tolist()) == sorted(data.numbers.tolist())
    first = [b.types.tolist() for b in batches]
    assert first == [b.types.tolist() for b in buckets.epoch(0, 0)]
    assert first != [b.types.tolist() for b in buckets.epoch(0, 1)]


def test_statistics_of_the_lattice_are_standard_on_the_training_data(tiny_file):
    data = load(tiny_file)
    network = Backbone(TINY)
    fit_buffers(network, data)
    rest = [(b.lattice - network.reference(b.types)) / network.lattice_std for b in Buckets(data, 400).epoch(0, 0)]
    # The cells are cubes: only the first number (log volume) has a spread.
    assert torch.cat(rest)[:, 0].mean().abs() < 1e-3
    assert torch.cat(rest)[:, 0].std().item() == pytest.approx(1.0, abs=0.01)


def test_losses_are_finite_for_single_atoms_and_blank_samples():
    torch.manual_seed(0)
    network = Backbone(TINY)
    from generators.objective import Batch

    batch = Batch(torch.tensor([[3], [26]]), torch.zeros(2, 1, 3), torch.tensor([[3.0, 0, 0, 0, 0, 0]] * 2))
    for weights in (LossWeights(known_share=1.0, blank_share=0.0), LossWeights(known_share=0.0, blank_share=1.0)):
        terms = loss_terms(network, batch, weights, torch.Generator().manual_seed(0))
        assert all(np.isfinite(float(t.detach())) for t in terms.values())


def test_checkpoint_reads_back_in_half_precision_and_rejects_others(tiny_checkpoint, tmp_path):
    network, statistics = load_network(tiny_checkpoint)
    assert statistics.sizes.nonzero().flatten().tolist() == [2, 5, 8]
    assert int(statistics.elements[8]) > int(statistics.elements[22]) > 0
    assert network.volumes[8] > 2.0
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        path = tmp_path / "broken.safetensors"
        path.write_bytes(tiny_checkpoint.read_bytes()[:100])
        load_network(path)
    with pytest.raises(InputError, match="format"):
        load_network(tiny_checkpoint.with_name("train.safetensors"))


def test_training_needs_no_chemistry_packages(tiny_file, tmp_path):
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'pymatgen', 'ase', 'prefect', 'pydantic', 'chgnet', 'spglib', 'sqlalchemy', 'scipy'}}:
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Block())
from pathlib import Path
from generators.backbone import BackboneConfig
from generators.train import TrainConfig, prepare, train
train(TrainConfig(Path({str(tiny_file)!r}), Path({str(tmp_path)!r}), steps=2, save_every=2,
      backbone=BackboneConfig(hidden=8, edge=8, layers=1)))
print('trained')
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "trained", done.stderr
