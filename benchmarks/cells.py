"""Nats of unit cells that no network has seen, by every kind of normalising flow.

python -m benchmarks.cells CELLS [--steps 1500] [--seeds 3] [--only "MAF, ends in mixtures"]

CELLS is what `redoxa train --generator cells` prepares. The numbers are smoothed by normal noise of 0.01, in evaluation
as in training; nats are log densities of them, the more the better.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from cyclopts import run

from redoxa.data.symmetry.cells import CellData, Floats, load_cells
from redoxa.generators.geometry.cells import CELL_NUMBERS, NOISE, UNKNOWN, CellConfig, load_cells_network
from redoxa.generators.geometry.cells_training import CellsTask
from redoxa.generators.training.loop import TrainConfig, train

KINDS = {
    "normal": CellConfig(steps=0, components=1),
    "autoregressive mixture": CellConfig(steps=0),
    "MAF": CellConfig(steps=2, components=0),
    "MAF, ends in mixtures": CellConfig(steps=2),
    "Glow": CellConfig("glow", steps=4, components=0),
    "Glow, ends in mixtures": CellConfig("glow", steps=4),
}
"""A normal is one whose centre and spreads follow from the context and from the numbers before."""

NOISES = 8
"""Draws of the noise for each cell."""

RESAMPLED = 2000


@dataclass(frozen=True)
class Run:
    """Mean nats over draws of the noise, of each held-out reduced and conventional cell; and what training took."""

    reduced: Floats
    conventional: Floats
    parameters: int
    cpu_s: float


def learn(data: CellData, config: CellConfig, steps: int, seed: int) -> Run:
    """Train and judge one network."""
    with TemporaryDirectory() as folder:
        how = TrainConfig(
            Path(folder), steps=steps, decay_steps=3 * steps // 5, warmup_steps=min(300, steps // 3), rate=2e-3,
            save_every=steps, seed=seed, device="cpu",
        )  # fmt: skip
        start = time.process_time()
        path = train(partial(CellsTask, data, config), how)
        spent = time.process_time() - start
        network = load_cells_network(path)
    task, noise = CellsTask(data, config), torch.Generator().manual_seed(1)
    held = torch.from_numpy(data.held_out)
    placed, nats = held & (task.groups > 0), list[Floats]()
    for numbers, rows, groups in (
        (task.reduced, held, torch.full_like(task.groups, UNKNOWN)),
        (task.conventional, placed, task.groups),
    ):
        given = task.content[rows].repeat(NOISES, 1), groups[rows].repeat(NOISES)
        smooth = numbers[rows].repeat(NOISES, 1)
        smooth = smooth + NOISE * torch.randn(len(smooth), CELL_NUMBERS, generator=noise)
        with torch.inference_mode():
            found = network.log_density(smooth, *given).view(NOISES, -1).mean(0)
        nats.append(found.double().numpy())
    return Run(nats[0], nats[1], sum(p.numel() for p in network.parameters()), spent)


def told(values: list[Floats]) -> str:
    """Mean of the first seed with its interval over crystals, and the deviation of the means over seeds."""
    rng, first = np.random.default_rng(0), values[0]
    means = first[rng.integers(len(first), size=(RESAMPLED, len(first)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    spread = f"{np.std([x.mean() for x in values], ddof=1):.2f}" if len(values) > 1 else ""
    return f"{first.mean():.2f} ({low:.2f} to {high:.2f}) | {spread}"


def main(cells: Path, steps: int = 1500, seeds: int = 3, only: str = "") -> None:
    """Measure, and print one table."""
    torch.set_num_threads(1)
    data = load_cells(cells)
    placed = data.held_out & (data.groups > 0)
    print(f"{int((~data.held_out).sum()):,} cells learned; held out {int(data.held_out.sum()):,} reduced ones", end="")
    print(f" and {int(placed.sum()):,} conventional ones\n")
    print("| flow | parameters | reduced, given content | sd | conventional, given content and group | sd | CPU s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, config in ({only: KINDS[only]} if only else KINDS).items():
        runs = [learn(data, config, steps, seed) for seed in range(seeds)]
        reduced, conventional = told([r.reduced for r in runs]), told([r.conventional for r in runs])
        cpu_s = np.mean([r.cpu_s for r in runs])
        print(f"| {name} | {runs[0].parameters:,} | {reduced} | {conventional} | {cpu_s:.0f} |", flush=True)


if __name__ == "__main__":
    run(main)
