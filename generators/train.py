"""Training of the flow: one explicit loop that can be killed at any moment and goes on exactly where it was.

Imports torch, numpy and safetensors only (and our modules that need no more), so it runs on a bare training machine.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from data.datasets import CrystalData, load, prepare
from data.errors import InputError
from generators.backbone import Backbone, BackboneConfig
from generators.checkpoint import read_tensors, save_network, write_tensors
from generators.graph import MASK
from generators.paths import displacement, fit_volumes, lattice_to_log, mask_types, pair_same_type

__all__ = ["TrainConfig", "prepare", "train"]

OnLog = Callable[[dict[str, float]], None]
"""Called with one line of the log: step, losses, rate."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what training gives.

    The learning rate warms up, stays, and falls linearly to zero over the last `decay_steps` of `steps`; so a run may be
    resumed with other `steps`, to end it when the time is up.

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
        coords_weight: weight of the coordinate loss.
        types_weight: weight of the type loss.
        known_share: share of samples whose types are all given (structure prediction).
        blank_share: share of samples with hidden types at time 0 (composition without geometry).
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
    coords_weight: float = 36.0
    types_weight: float = 0.5
    known_share: float = 0.55
    blank_share: float = 0.2
    seed: int = 0
    save_every: int = 500
    log_every: int = 50
    backbone: BackboneConfig = field(default_factory=BackboneConfig)


@dataclass(frozen=True)
class Batch:
    """Crystals with equally many atoms: types [B,N], coordinates [B,N,3], log lattices [B,6]."""

    types: torch.Tensor
    coords: torch.Tensor
    lattice: torch.Tensor


class Buckets:
    """The data by number of atoms, and batches in an order that depends on (seed, epoch) alone."""

    def __init__(self, data: CrystalData, edges_per_batch: int) -> None:
        self.edges = edges_per_batch
        logs = lattice_to_log(torch.from_numpy(data.cells).double()).float()
        self.by_size: dict[int, Batch] = {}
        for n in np.unique(data.counts).tolist():
            rows = np.flatnonzero(data.counts == n)
            atoms = data.start[rows][:, None] + np.arange(n)
            self.by_size[n] = Batch(
                torch.from_numpy(data.numbers[atoms]), torch.from_numpy(data.frac_coords[atoms]), logs[rows]
            )

    def epoch(self, seed: int, epoch: int) -> list[Batch]:
        """Every crystal once, in batches of one size each, shuffled."""
        rng = np.random.default_rng([seed, epoch])
        batches = []
        for n, bucket in self.by_size.items():
            size = int(np.clip(self.edges // n**2, 16, 192))
            order = torch.from_numpy(rng.permutation(len(bucket.types)))
            for rows in order.split(size):
                batches.append(Batch(bucket.types[rows], bucket.coords[rows], bucket.lattice[rows]))
        return [batches[i] for i in rng.permutation(len(batches))]


def fit_buffers(network: Backbone, data: CrystalData) -> None:
    """Set the network's volumes and lattice statistics from the training data."""
    counts = torch.from_numpy(data.counts)
    batch = torch.repeat_interleave(torch.arange(len(data)), counts)
    cells = torch.from_numpy(data.cells).double()
    numbers = torch.from_numpy(data.numbers)
    network.volumes.copy_(fit_volumes(numbers, batch, torch.linalg.det(cells).abs()))
    logs = lattice_to_log(cells)
    guess = torch.zeros(len(data), dtype=torch.float64).index_add_(0, batch, network.volumes[numbers].double()).log()
    logs[:, 0] -= guess
    network.lattice_mean.copy_(logs.mean(0))
    network.lattice_std.copy_(logs.std(0))


def loss_terms(
    network: Backbone, batch: Batch, config: TrainConfig, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Losses of one batch at random times: coordinates and lattice (mean squares of the velocity), types (cross-entropy).

    A share of the samples has all types given, a share has hidden types and pure noise, the rest has both at independent
    times; so one network completes compositions, predicts structures, and fills in elements.
    """
    b, n = batch.types.shape

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    kind = uniform(b)
    all_known = kind < config.known_share
    blank = kind > 1 - config.blank_share
    visible = mask_types(batch.types, torch.where(all_known, 2.0, uniform(b)), generator)
    time_ = uniform(b).masked_fill(blank, 0.0)
    flip = torch.where(uniform(b, 1, 1) < 0.5, -1.0, 1.0)
    crystal = flip * batch.coords + uniform(b, 1, 3)
    noise = pair_same_type(uniform(b, n, 3), crystal, batch.types)
    way = displacement(noise, crystal)
    start = network.reference(visible) + network.lattice_std * torch.randn(b, 6, generator=generator)
    climb = batch.lattice - start
    guess = network(
        visible, noise + time_[:, None, None] * way, start + time_[:, None] * climb, time_
    )
    hidden = visible == MASK
    types = functional.cross_entropy(guess.types.flatten(0, 1), batch.types.flatten(), reduction="none").view(b, n)
    geometric = (~blank).float()
    share = geometric.sum().clamp_min(1.0)
    return {
        "coords": ((guess.coords - way).square().mean((1, 2)) * geometric).sum() / share,
        "lattice": (guess.lattice - climb / network.lattice_std).square().mean(),
        "types": (types * hidden).sum() / hidden.sum().clamp_min(1),
    }


def total_loss(terms: dict[str, torch.Tensor], config: TrainConfig) -> torch.Tensor:
    """Weighted sum of the losses."""
    return config.coords_weight * terms["coords"] + terms["lattice"] + config.types_weight * terms["types"]


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rate at a step: linear warm-up, constant, linear decay to a hundredth."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    fall = min(1.0, (config.steps - step) / max(config.decay_steps, 1))
    return config.rate * rise * max(fall, 0.01)


@torch.no_grad()
def validate(network: Backbone, buckets: Buckets, config: TrainConfig) -> dict[str, float]:
    """Losses on held-out crystals at fixed noise."""
    network.eval()
    generator = torch.Generator().manual_seed(1)
    sums: dict[str, float] = {}
    count = 0
    for bucket in buckets.epoch(1, 0):
        for name, value in loss_terms(network, bucket, config, generator).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(bucket.types)
        count += len(bucket.types)
    network.train()
    return {f"held_out_{name}": value / max(count, 1) for name, value in sums.items()}


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
        groups: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = value
        self.network.load_state_dict(groups["network"])
        self.average = [groups["average"][name] for name in self.names]
        for name, parameter in zip(self.names, self.parameters, strict=True):
            self.optimiser.state[parameter] = {
                key: groups["optimiser"][f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }
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
    terms = loss_terms(state.network, batch, config, state.noise)
    total_loss(terms, config).backward()
    norm = torch.nn.utils.clip_grad_norm_(state.parameters, config.clip)
    if bool(torch.isfinite(norm)):
        state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    decay = min(config.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(state.average, [p.detach() for p in state.parameters], 1 - decay)
    return {name: float(value.detach()) for name, value in terms.items()} | {"gradient": float(norm)}


def save(state: State, config: TrainConfig, sizes: torch.Tensor) -> None:
    """Write what is needed to go on, and the averaged weights for sampling."""
    settings = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in ("backbone", "data", "out")}
    header = {"backbone": json.dumps(asdict(config.backbone)), "config": json.dumps(settings)}
    write_tensors(config.out / "train.safetensors", state.tensors(), header)
    save_network(config.out / "flow.safetensors", state.network, state.averaged(), sizes)


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
    sizes = torch.bincount(torch.from_numpy(kept.counts))
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
    _loop(state, config, (buckets, held_out, sizes), on_log)
    return config.out / "flow.safetensors"


def _loop(
    state: State, config: TrainConfig, given: tuple[Buckets, Buckets, torch.Tensor], on_log: OnLog | None
) -> None:
    """Steps, log lines and saves until the end."""
    buckets, held_out, sizes = given
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
            save(state, config, sizes)
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
    return validate(network, held_out, config)


def _write(config: TrainConfig, line: dict[str, float], on_log: OnLog | None) -> None:
    """Append a line to the log and hand it on."""
    rounded = {k: v if isinstance(v, int) or not math.isfinite(v) else float(f"{v:.6g}") for k, v in line.items()}
    rounded["unix_s"] = round(line["unix_s"], 1)
    with (config.out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(rounded) + "\n")
    if on_log is not None:
        on_log(rounded)
