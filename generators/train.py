"""Training of the flow: one explicit loop that can be killed at any moment and goes on exactly where it was.

Imports torch, numpy and safetensors only (and our modules that need no more), so it runs on a bare training machine.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from data.datasets import CrystalData, load, prepare
from data.errors import InputError
from generators.backbone import Backbone, BackboneConfig
from generators.checkpoint import read_tensors, save_network, write_tensors
from generators.objective import (
    Batch,
    Buckets,
    LossWeights,
    fit_buffers,
    loss_terms,
    total_loss,
    validate,
)
from generators.statistics import DataStatistics, count_statistics

__all__ = ["TrainConfig", "prepare", "train"]

OnLog = Callable[[dict[str, float]], None]
"""Called with one line of the log: step, losses, rate."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what training gives.

    The learning rate warms up, stays, and falls linearly to zero over the last `decay_steps` of `steps`; so a run
    may be resumed with other `steps`, to end it when the time is up.

    Attributes:
        data: prepared file (`data.datasets.prepare`).
        out: folder for `train.safetensors` (everything needed to go on), `flow.safetensors` and `log.jsonl`.
        steps: optimiser steps in all.
        decay_steps: steps of the final decay.
        warmup_steps: steps of the first rise.
        rate: learning rate.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are the ones that sample.
        edges_per_batch: a batch of N-atom crystals holds about this many edges.
        weights: of the losses and tasks.
        seed: of weights, data order and noise.
        save_every: steps between saves and validations.
        log_every: steps between log lines.
        backbone: size of the network.
    """

    data: Path
    out: Path
    steps: int = 30000
    decay_steps: int = 6000
    warmup_steps: int = 500
    rate: float = 1e-3
    weight_decay: float = 0.03
    clip: float = 1.0
    ema: float = 0.999
    edges_per_batch: int = 4608
    weights: LossWeights = field(default_factory=LossWeights)
    seed: int = 0
    save_every: int = 500
    log_every: int = 50
    backbone: BackboneConfig = field(default_factory=BackboneConfig)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rate at a step: linear warm-up, constant, linear decay to a hundredth."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    fall = min(1.0, (config.steps - step) / max(config.decay_steps, 1))
    return config.rate * rise * max(fall, 0.01)


class State:
    """Everything that training changes: network, averaged weights, optimiser, randomness, place in the data."""

    def __init__(self, config: TrainConfig, data: CrystalData) -> None:
        torch.manual_seed(config.seed)
        self.network = Backbone(config.backbone)
        fit_buffers(self.network, data)
        self.names = [name for name, _ in self.network.named_parameters()]
        self.parameters = [p for _, p in self.network.named_parameters()]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=config.rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
        )
        self.noise = torch.Generator().manual_seed(config.seed + 1)
        self.step = self.epoch = self.index = 0

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it as named tensors."""
        out = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        out |= {f"average.{name}": t for name, t in zip(self.names, self.average, strict=True)}
        for name, parameter in zip(self.names, self.parameters, strict=True):
            for key, value in self.optimiser.state[parameter].items():
                out[f"optimiser.{key}.{name}"] = value
        out["rng.noise"] = self.noise.get_state()
        out["rng.global"] = torch.get_rng_state()
        out["place"] = torch.tensor([self.step, self.epoch, self.index])
        return out

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `tensors`."""
        groups: dict[str, dict[str, torch.Tensor]] = {"optimiser": {}}
        for key, value in tensors.items():
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = value
        self.network.load_state_dict(groups["network"])
        self.average = [groups["average"][name] for name in self.names]
        for name, parameter in zip(self.names, self.parameters, strict=True):
            kept = {key: groups["optimiser"].get(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            self.optimiser.state[parameter] = {key: value for key, value in kept.items() if value is not None}
        self.noise.set_state(groups["rng"]["noise"])
        torch.set_rng_state(groups["rng"]["global"])
        self.step, self.epoch, self.index = tensors["place"].tolist()

    def averaged(self) -> dict[str, torch.Tensor]:
        """The averaged weights by name."""
        return dict(zip(self.names, self.average, strict=True))


def batches(state: State, buckets: Buckets, seed: int) -> Iterator[Batch]:
    """Go through the data from the state's place on, epoch after epoch, keeping the place up to date."""
    while True:
        order = buckets.epoch(seed, state.epoch)
        while state.index < len(order):
            state.index += 1
            yield order[state.index - 1]
        state.epoch, state.index = state.epoch + 1, 0


def advance(state: State, batch: Batch, config: TrainConfig) -> dict[str, float]:
    """One optimiser step; returns the losses."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(state.step, config)
    terms = loss_terms(state.network, batch, config.weights, state.noise)
    torch.autograd.backward(total_loss(terms, config.weights))
    norm = torch.nn.utils.clip_grad_norm_(state.parameters, config.clip)
    finite = bool(torch.isfinite(norm))
    if finite:
        state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    decay = min(config.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(state.average, [p.detach() for p in state.parameters], 1 - decay)
    return {name: float(value.detach()) for name, value in terms.items()} | {
        "gradient": float(norm),
        "skipped": float(not finite),
    }


def save(state: State, config: TrainConfig, statistics: DataStatistics) -> None:
    """Write what is needed to go on, and the averaged weights for sampling."""
    header = {"backbone": json.dumps(asdict(config.backbone))}
    write_tensors(config.out / "train.safetensors", state.tensors(), header)
    save_network(config.out / "flow.safetensors", state.network, state.averaged(), statistics)


def train(config: TrainConfig, on_log: OnLog | None = None, resume: bool = False) -> Path:
    """Train to `config.steps` and return the checkpoint for sampling.

    Killing the process loses at most `save_every` steps; resuming then gives the same weights as a run that was never
    killed.

    Args:
        config: what to train.
        on_log: called with each log line (also appended to `out/log.jsonl`).
        resume: go on from `out/train.safetensors` where it exists; without it an existing one is an error.

    Raises:
        InputError: the data or the state cannot be read, or a state exists and `resume` is False.
    """
    data = load(config.data)
    kept = data.subset(~data.held_out)
    buckets = Buckets(kept, config.edges_per_batch)
    held_out = Buckets(data.subset(data.held_out), config.edges_per_batch)
    statistics = count_statistics(kept)
    state = State(config, kept)
    saved = config.out / "train.safetensors"
    if saved.exists():
        if not resume:
            raise InputError(f"{saved} exists: resume it, or choose another folder")
        tensors, header = read_tensors(saved)
        if json.loads(header["backbone"]) != asdict(config.backbone):
            raise InputError(f"{saved} was trained with another size of network: {header['backbone']}")
        state.restore(tensors)
    config.out.mkdir(parents=True, exist_ok=True)
    _loop(state, config, (buckets, held_out, statistics), on_log)
    return config.out / "flow.safetensors"


def _loop(
    state: State, config: TrainConfig, given: tuple[Buckets, Buckets, DataStatistics], on_log: OnLog | None
) -> None:
    """Steps, log lines and saves until the end."""
    buckets, held_out, statistics = given
    running: dict[str, float] = {}
    since, crystals = time.perf_counter(), 0
    stream = batches(state, buckets, config.seed)
    state.network.train()
    while state.step < config.steps:
        batch = next(stream)
        for name, value in advance(state, batch, config).items():
            running[name] = running.get(name, 0.0) + value
        crystals += len(batch.types)
        line: dict[str, float] = {}
        if state.step % config.log_every == 0:
            seconds = time.perf_counter() - since
            line = {name: value / config.log_every for name, value in running.items()}
            line |= {"rate": learning_rate(state.step, config), "crystals_per_s": crystals / seconds}
            running, since, crystals = {}, time.perf_counter(), 0
        if state.step % config.save_every == 0 or state.step == config.steps:
            save(state, config, statistics)
            line |= _validate_average(state, held_out, config)
        if line:
            _write(config, {"step": state.step, "epoch": state.epoch, "unix_s": time.time(), **line}, on_log)


def _validate_average(state: State, held_out: Buckets, config: TrainConfig) -> dict[str, float]:
    """Held-out losses of the averaged weights."""
    if not held_out.by_size:
        return {}
    with torch.random.fork_rng(devices=[]):  # validation must not move the randomness of the training
        network = Backbone(config.backbone)
    network.load_state_dict(state.network.state_dict() | state.averaged())
    return validate(network, held_out, config.weights)


def _write(config: TrainConfig, line: dict[str, float], on_log: OnLog | None) -> None:
    """Append a line to the log and hand it on."""
    rounded = {k: v if isinstance(v, int) or not math.isfinite(v) else float(f"{v:.6g}") for k, v in line.items()}
    rounded["unix_s"] = round(line["unix_s"], 1)
    with (config.out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(rounded) + "\n")
    if on_log is not None:
        on_log(rounded)
