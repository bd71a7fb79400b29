"""Fine-tuning of `orbits` on crystals that it drew itself and that screening found good, beside those of the memory.

Learning from one's own samples alone narrows what is drawn, round after round (Shumailov et al., Nature 631, 755, 2024,
doi:10.1038/s41586-024-07566-y); at least half of every batch is therefore real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from redoxa.data.provenance import sha256_of
from redoxa.data.symmetry.skeletons import TemplateTable
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.exchange.proposals import element_volumes
from redoxa.generators.orbits.decoration.decorator import Decorator, load_decorator
from redoxa.generators.orbits.decoration.decorator_training import BATCH, DecoratorTask, graph_tensors
from redoxa.generators.training.log import OnLog
from redoxa.generators.training.loop import TrainConfig, train

MOST_FOUND = 0.5
"""Largest share of found crystals in a batch."""


@dataclass(frozen=True)
class FineTuning:
    """How the network is fine-tuned.

    Attributes:
        steps: of the optimiser.
        rate: largest learning rate; a new network is trained with four times as much.
        share: of a batch that found crystals may take, 0.5 at most.
    """

    steps: int = 300
    rate: float = 5e-4
    share: float = 0.5

    def config(self, out: Path, seed: int) -> TrainConfig:
        """For the training loop."""
        return TrainConfig(
            out, steps=self.steps, decay_steps=self.steps // 2, warmup_steps=self.steps // 10, rate=self.rate, ema=0.98,
            weight_decay=0.05, seed=seed, save_every=max(50, self.steps // 4), log_every=max(1, self.steps // 10),
        )  # fmt: skip


def fine_tune(
    start: Path, graphs: Path, how: FineTuning, out: Path, seed: int, on_log: OnLog | None = None
) -> tuple[Path, float]:
    """Fine-tune the network of a checkpoint; killed and run again, it goes on.

    Args:
        start: checkpoint of `orbits`.
        graphs: of memory and found crystals (`prepare_found`).
        how: steps, rate and share.
        out: folder.
        seed: of order and noise.
        on_log: called with each log line.

    Returns:
        ``decorator.safetensors`` in the folder, and the share of real crystals in an epoch.
    """
    make = partial(SelfTrainingTask, graphs, start, how.share)
    return train(make, how.config(out, seed), on_log, resume=True), make().real_share()


def prepare_found(memory: Path, forms: Sequence[SymmetricCrystal], table: TemplateTable, out: Path) -> None:
    """Write the graphs of the memory and of found crystals as one file.

    Args:
        memory: the templates as graphs (`decorator_training.prepare_graphs`).
        forms: found crystals, relaxed.
        table: the templates of the memory.
        out: file to write.
    """
    real, header = read_tensors(memory)
    new = graph_tensors(forms, element_volumes(table))
    merged = {name: torch.cat([tensor, new[name]]) for name, tensor in real.items() if name in new and name != "first"}
    merged["first"] = torch.cat([real["first"], new["first"][1:] + real["first"][-1]])
    merged["found"] = torch.arange(len(merged["volumes"])) >= len(real["volumes"])
    merged["held_out"] = torch.cat([real["held_out"], torch.zeros(len(forms), dtype=torch.bool)])
    write_tensors(out, merged, header)


class SelfTrainingTask:
    """A `generators.training.loop.Task`: that of the decorator, from trained weights, on mixed batches.

    Args:
        data: file of `prepare_found`.
        start: checkpoint of `orbits`.
        share: of a batch that found crystals may take.
    """

    name = "decorator"

    def __init__(self, data: Path, start: Path, share: float) -> None:
        self.start, self.share = start, min(share, MOST_FOUND)
        self.base = DecoratorTask(data, load_decorator(start).config)
        self.settings = self.base.settings | {"start": sha256_of(start), "share": str(self.share)}

    def network(self) -> Decorator:
        """See `Task`."""
        return load_decorator(self.start)

    def epoch(self, seed: int, epoch: int) -> list[torch.Tensor]:
        """Every real crystal once; found ones of as many orbits beside them, in turn, as often as there is room."""
        rng = np.random.default_rng((seed, epoch))
        found = self.base.tensors["found"]
        real, counts = ~found & ~self.base.tensors["held_out"], self.base.counts
        batches = []
        for count in sorted(set(counts[real].tolist())):
            rows = _shuffled(real & (counts == count), rng)
            guests = _shuffled(found & (counts == count), rng)
            most = min(len(guests), int(self.share * BATCH))
            for place, hosts in enumerate(torch.split(rows, BATCH - most)):
                take = min(most, len(hosts))
                chosen = [guests[(place * most + i) % len(guests)] for i in range(take)]
                batches.append(torch.cat([hosts, torch.stack(chosen)]) if chosen else hosts)
        return [batches[i] for i in rng.permutation(len(batches))]

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return self.base.held_out()

    def losses(
        self, network: Decorator, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`."""
        return self.base.losses(network, rows, step, generator)

    def save(self, path: Path, network: Decorator) -> None:
        """See `Task`."""
        self.base.save(path, network)

    def real_share(self) -> float:
        """Share of real crystals in an epoch."""
        rows = torch.cat(self.epoch(0, 0))
        return float((~self.base.tensors["found"][rows]).float().mean())


def _shuffled(chosen: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    rows = torch.nonzero(chosen).squeeze(1)
    return rows[torch.from_numpy(rng.permutation(len(rows)))]
