"""One training loop for every network: it can be killed at any moment and goes on exactly where it was.

What is learned comes from a `Task`: the network, the order of the data, the losses, and what is written for sampling.
Imports torch, numpy and safetensors only, so it runs on a bare training machine, on a CPU or a GPU unchanged.

The randomness of a step (the noise that the losses draw, dropout) follows from (seed, step, worker) alone. So a state
holds no random numbers, and a resumed run gives the weights of one that was never killed, to the last bit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from redoxa.data.errors import InputError
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.training.log import OnLog, Tally, append_line, cut_log
from redoxa.generators.training.workers import Worker, workers

N = TypeVar("N", bound=nn.Module)


class Task(Protocol[N]):
    """What a network learns, and from what.

    A batch is rows: the numbers of some crystals of the task's data, int64 [B]. The loop cuts them up among workers.

    Attributes:
        name: of the file for sampling, ``out/NAME.safetensors``.
        settings: what a state must agree with to be resumed (size of the network, say), by name; JSON.
    """

    name: str
    settings: dict[str, str]

    def network(self) -> N:
        """A new network on the CPU, its buffers fitted to the data; weights from torch's global randomness.

        Parameters that need no gradient stay as they are.
        """
        ...

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """The training data in batches; the order depends on (seed, epoch) alone."""
        ...

    def held_out(self) -> Sequence[torch.Tensor]:
        """The held-out data in batches; none, where nothing is held out."""
        ...

    def losses(self, network: N, rows: torch.Tensor, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Means over the batch, scalars by name: ``loss`` is minimised, the others are logged only.

        Args:
            network: in training mode; for held-out data, the averaged network in evaluation mode.
            rows: of the batch.
            step: optimiser steps done, for weights that change on the way.
            generator: source of noise, on the device where the network and everything computed must be.
        """
        ...

    def save(self, path: Path, network: N) -> None:
        """Write what samples; `network` holds the averaged weights."""
        ...


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    The learning rate warms up, stays, and falls linearly to a hundredth over the last `decay_steps` of `steps`; so a
    run may be resumed with other `steps`, to end it when the time is up.

    Attributes:
        out: folder for ``train.safetensors`` (everything needed to go on), ``NAME.safetensors`` and ``log.jsonl``.
        steps: optimiser steps in all.
        decay_steps: steps of the final decay.
        warmup_steps: steps of the first rise.
        rate: learning rate.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights, which are the ones that sample.
        seed: of weights, data order and noise.
        save_every: steps between saves and validations.
        log_every: steps between log lines.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        bf16: whether the losses are computed under bfloat16 autocast; None: on a GPU only. Weights stay float32.
        workers: processes, each with its share of every batch.
    """

    out: Path
    steps: int = 30000
    decay_steps: int = 6000
    warmup_steps: int = 500
    rate: float = 1e-3
    weight_decay: float = 0.03
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    save_every: int = 500
    log_every: int = 50
    device: str = "auto"
    bf16: bool | None = None
    workers: int = 1

    @property
    def state(self) -> Path:
        """File of everything needed to go on."""
        return self.out / "train.safetensors"

    @property
    def log(self) -> Path:
        """File of log lines."""
        return self.out / "log.jsonl"


def train(
    make_task: Callable[[], Task[N]], config: TrainConfig, on_log: OnLog | None = None, resume: bool = False
) -> Path:
    """Train to `config.steps` and return the file for sampling.

    Killing the process loses at most `save_every` steps; resuming then gives the same weights as a run that was never
    killed.

    Args:
        make_task: called once in every process, so it must be picklable where there are several: a class that needs no
            arguments, or a `partial` of one.
        config: how to train.
        on_log: called with each log line (also appended to ``out/log.jsonl``).
        resume: go on from ``out/train.safetensors`` where it exists; without it an existing one is an error.

    Raises:
        InputError: the data or the state cannot be read, or a state exists and `resume` is False.
    """
    if config.state.exists() and not resume:
        raise InputError(f"{config.state} exists: resume it, or choose another folder")
    task = make_task()
    config.out.mkdir(parents=True, exist_ok=True)
    with workers(config.workers, config.device, partial(_help, make_task, config)) as worker:
        Trainer(task, config, worker).run(on_log)
    return config.out / f"{task.name}.safetensors"


def _help(make_task: Callable[[], Task[N]], config: TrainConfig, worker: Worker) -> None:
    """What a worker other than the first does."""
    Trainer(make_task(), config, worker).run(None)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rate at a step: linear warm-up, constant, linear decay to a hundredth."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    fall = min(1.0, (config.steps - step) / max(config.decay_steps, 1))
    return config.rate * rise * max(fall, 0.01)


class Trainer(Generic[N]):
    """One worker's part of a training: the state that changes, and the steps that change it."""

    def __init__(self, task: Task[N], config: TrainConfig, worker: Worker) -> None:
        self.task, self.config, self.worker = task, config, worker
        torch.manual_seed(config.seed)
        self.network = task.network().to(worker.device).train()
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self.names, self.parameters = list(trained), tuple(trained.values())
        self.averages: list[torch.Tensor] = [self.average.get_parameter(name) for name in self.names]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=config.rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
        )
        self.generator = torch.Generator(worker.device)
        self.step = self.epoch = self.index = 0
        if config.state.exists():
            self._restore()

    def run(self, on_log: OnLog | None) -> None:
        """Steps, log lines and saves until the end."""
        config, first = self.config, self.worker.rank == 0
        if first:
            cut_log(config.log, self.step)
        tally = Tally()
        batches = self._batches()
        while self.step < config.steps:
            rows = next(batches)
            tally.add(self.advance(rows), len(rows))
            line: dict[str, float] = {}
            if self.step % config.log_every == 0:
                line = tally.line() | {"rate": learning_rate(self.step, config)}
                tally = Tally()
            if first and (self.step % config.save_every == 0 or self.step == config.steps):
                since = time.perf_counter()
                self.save()
                line |= self.held_out_losses()
                tally.pause(since)
            if first and line:
                line = {"step": self.step, "epoch": self.epoch, "unix_s": round(time.time(), 1)} | line
                append_line(config.log, line)
                if on_log is not None:
                    on_log(line)

    def advance(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """One optimiser step on a batch; returns the losses over all workers."""
        self._seed(self.config.seed, self.step, self.worker.rank)
        part, share = self.worker.share(rows)
        terms = self._losses(self.network, part)
        torch.autograd.backward(terms["loss"] * share)
        values = torch.stack([value.detach().float() for value in terms.values()]) * share
        for parameter in self.parameters:  # a parameter without part in the loss has a gradient of zero everywhere
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        self.worker.add_up([p.grad for p in self.parameters if p.grad is not None] + [values])
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        finite = torch.isfinite(norm)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        if bool(finite):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)
        return dict(zip(terms, values, strict=True)) | {"gradient": norm.detach(), "skipped": (~finite).float()}

    @torch.no_grad()
    def held_out_losses(self) -> dict[str, float]:
        """Losses of the averaged network on the held-out data, always at the same noise."""
        tally = Tally()
        for i, rows in enumerate(self.task.held_out()):
            self._seed(1, i, 0)
            losses = self._losses(self.average, rows)
            tally.add({f"held_out_{name}": value * len(rows) for name, value in losses.items()}, len(rows))
        return tally.means(tally.crystals)

    def save(self) -> None:
        """Write what is needed to go on, and what samples."""
        for mine, theirs in zip(self.average.buffers(), self.network.buffers(), strict=True):
            mine.copy_(theirs)
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        for name, parameter in zip(self.names, self.parameters, strict=True):
            tensors |= {f"optimiser.{key}.{name}": t for key, t in self.optimiser.state[parameter].items()}
        tensors["place"] = torch.tensor([self.step, self.epoch, self.index])
        write_tensors(self.config.state, tensors, {"settings": json.dumps(self.task.settings, sort_keys=True)})
        self.task.save(self.config.out / f"{self.task.name}.safetensors", self.average)

    def _restore(self) -> None:
        """Inverse of `save`."""
        tensors, header = read_tensors(self.config.state)
        mine, theirs = self.task.settings, json.loads(header.get("settings", "{}"))
        if other := [name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)]:
            raise InputError(f"{self.config.state} was trained with another {', '.join(sorted(other))}")
        groups: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = value.to(self.worker.device)
        self.network.load_state_dict(groups["network"])
        self.average.load_state_dict(groups["average"])
        for key, value in groups.get("optimiser", {}).items():
            kind, _, name = key.partition(".")
            self.optimiser.state[self.parameters[self.names.index(name)]][kind] = value
        self.step, self.epoch, self.index = tensors["place"].tolist()

    def _batches(self) -> Iterator[torch.Tensor]:
        """Go through the data from the present place on, epoch after epoch, keeping the place up to date."""
        while True:
            batches = self.task.epoch(self.config.seed, self.epoch)
            if not batches:
                raise InputError(f"{self.task.name}: nothing to train on is left beside what is held out")
            while self.index < len(batches):
                self.index += 1
                yield batches[self.index - 1]
            self.epoch, self.index = self.epoch + 1, 0

    def _losses(self, network: N, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """The task's losses, under autocast where that is asked for."""
        device = self.worker.device.type
        bf16 = device == "cuda" if self.config.bf16 is None else self.config.bf16
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            return self.task.losses(network, rows, self.step, self.generator)

    def _seed(self, *numbers: int) -> None:
        """Set both sources of randomness of a step."""
        own, common = np.random.SeedSequence(numbers).generate_state(2, np.uint64)
        self.generator.manual_seed(int(own) >> 1)
        torch.manual_seed(int(common) >> 1)
