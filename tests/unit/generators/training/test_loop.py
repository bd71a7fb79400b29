from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.noise.training import NoiseTask
from redoxa.generators.training.loop import TrainConfig, learning_rate, train
from redoxa.generators.training.workers import Worker
from tests.unit.generators.conftest import TINY
from tests.unit.generators.toy_task import LineTask

SHORT = TrainConfig(Path(), steps=12, decay_steps=6, warmup_steps=2, save_every=4, log_every=1, device="cpu")


class KilledError(Exception):
    """Stands for the end of the process."""


def run_killed(make_task, config: TrainConfig, killed_at: int) -> None:
    """Train, be killed after a step, resume with other randomness around."""

    def kill(line: dict[str, float]) -> None:
        if line["step"] == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        train(make_task, config, kill)
    torch.manual_seed(99)
    train(make_task, config, resume=True)


def assert_same(one: Path, other: Path, *, exactly: bool = True) -> None:
    mine, theirs = read_tensors(one)[0], read_tensors(other)[0]
    assert mine.keys() == theirs.keys()
    for key, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[key], msg=key, **({"rtol": 0, "atol": 0} if exactly else {}))


def without_clock(log: Path) -> list[dict[str, float]]:
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("unix_s", "crystals_per_s")} for line in lines]


@pytest.mark.parametrize("killed_at", [1, 6, 8, 11])
def test_a_killed_and_resumed_run_gives_the_same_weights_and_log_to_the_last_bit(tiny_file, tmp_path, killed_at):
    whole, broken = replace(SHORT, out=tmp_path / "whole"), replace(SHORT, out=tmp_path / "broken")
    make_task = partial(NoiseTask, "flow", tiny_file, TINY)
    train(make_task, whole)
    run_killed(make_task, broken, killed_at)
    assert_same(whole.state, broken.state)
    assert_same(whole.out / "flow.safetensors", broken.out / "flow.safetensors")
    assert without_clock(whole.log) == without_clock(broken.log)


def test_two_processes_train_to_the_weights_of_one_and_resume_exactly(tmp_path):
    one, two, broken = (replace(SHORT, out=tmp_path / name) for name in ("one", "two", "broken"))
    two, broken = replace(two, workers=2), replace(broken, workers=2)
    train(LineTask, one)
    train(LineTask, two)
    assert_same(one.state, two.state, exactly=False)
    assert not torch.distributed.is_initialized()
    run_killed(LineTask, broken, 6)
    assert_same(two.state, broken.state)
    for mine, theirs in zip(without_clock(one.log), without_clock(two.log), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("rows", [7, 4, 3])
def test_workers_share_a_batch_fairly_and_one_without_rows_still_takes_part(rows):
    batch = torch.arange(10, 10 + rows)
    parts = [Worker(rank, 4, torch.device("cpu")).share(batch) for rank in range(4)]
    assert sorted(row for part, share in parts if share for row in part.tolist()) == batch.tolist()
    assert sum(share for _, share in parts) == pytest.approx(1)
    assert all(len(part) for part, _ in parts)


def test_the_average_follows_and_held_out_points_are_learned_too(tmp_path):
    lines: list[dict[str, float]] = []
    train(LineTask, replace(SHORT, out=tmp_path, steps=400, decay_steps=100, save_every=400, rate=0.03), lines.append)
    assert lines[-1]["held_out_loss"] < 0.02 < lines[0]["loss"]
    assert lines[-1]["crystals_per_s"] > 0


def test_bfloat16_is_an_option_that_leaves_the_weights_in_full_precision(tiny_file, tmp_path):
    make_task = partial(NoiseTask, "flow", tiny_file, TINY)
    full, half = replace(SHORT, out=tmp_path / "full"), replace(SHORT, out=tmp_path / "half", bf16=True)
    train(make_task, full)
    train(make_task, half)
    mine, theirs = read_tensors(full.state)[0], read_tensors(half.state)[0]
    assert theirs["network.embedding.weight"].dtype == torch.float32
    assert not torch.equal(mine["network.embedding.weight"], theirs["network.embedding.weight"])
    last = without_clock(full.log)[-1]["held_out_loss"]
    assert without_clock(half.log)[-1]["held_out_loss"] == pytest.approx(last, rel=0.05)


def test_a_run_is_not_overwritten_by_accident(tmp_path):
    config = replace(SHORT, out=tmp_path, steps=1)
    train(LineTask, config)
    with pytest.raises(InputError, match="resume"):
        train(LineTask, config)
    with pytest.raises(InputError, match="another slope"):
        train(partial(LineTask, 3.0), config, resume=True)


def test_learning_rate_rises_stays_and_falls():
    config = replace(SHORT, steps=100, decay_steps=20, warmup_steps=10, rate=1.0)
    assert learning_rate(0, config) == pytest.approx(0.1)
    assert learning_rate(9, config) == learning_rate(50, config) == 1.0
    assert learning_rate(90, config) == pytest.approx(0.5)
    assert learning_rate(100, config) == pytest.approx(0.01)


class NothingLeft(LineTask):
    """All data are held out."""

    def epoch(self, seed: int, epoch: int) -> list[torch.Tensor]:
        del seed, epoch
        return []


def test_a_training_on_nothing_is_refused_and_never_hangs(tmp_path):
    with pytest.raises(InputError, match="nothing to train on is left"):
        train(NothingLeft, TrainConfig(tmp_path, steps=5))
