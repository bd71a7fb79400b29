"""Training and sampling throughput of the generators' networks, beside the floor that the machine sets.

    python benchmarks/training.py                            # all networks, one thread, on the shared data
    python benchmarks/training.py --names orbits,vae --data data.safetensors --workers 2

The floor is the multiplications of the network's matrix products for a crystal (counted, not estimated), over the rate
at which this machine multiplies large float32 matrices on as many threads; what is not a matrix product is not in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.generation import condition_for, held_out_file
from redoxa.data.symmetry.sequences import prepare_sequences
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.tables.datasets import load
from redoxa.generators.base import generator_class
from redoxa.generators.noise.from_noise import FromNoise
from redoxa.generators.noise.training import NoiseTask
from redoxa.generators.orbits.decoration.decorator_training import DecoratorTask, prepare_graphs
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.training.loop import Task, TrainConfig, train
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.training import VaeTask
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.sequence import WyckoffModel
from redoxa.generators.wyckoff.training import WyckoffTask

NAMES = ("flow", "diffusion", "orbits", "vae", "wyckoff")

SOME = 1000
"""Crystals whose symmetric forms are worked out for the training of `vae` and `wyckoff`, some 50 ms each."""

MakeTask = Callable[[], Task[Any]]


def multiplications(work: Callable[[], object]) -> float:
    """Multiplications of all matrix products that a piece of work does, in this thread."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def multiplications_per_s(size: int = 1024, repeats: int = 20) -> float:
    """What this machine reaches in large float32 matrix products."""
    a, b = torch.rand(2, size, size)
    best = 0.0
    for _ in range(repeats):
        since = time.perf_counter()
        torch.mm(a, b)
        best = max(best, size**3 / (time.perf_counter() - since))
    return best


def task_for(name: str, data: Path, work: Path) -> MakeTask:
    """How a network is trained; what its training needs is made in the work folder, once."""
    if name == "orbits":
        graphs = work / "graphs.safetensors"
        if not graphs.exists():
            prepare_graphs(load_templates(), graphs)
        return partial(DecoratorTask, graphs)
    if name in ("vae", "wyckoff"):
        sequences = work / "sequences.safetensors"
        if not sequences.exists():
            crystals = load(data)
            prepare_sequences(crystals.subset(np.arange(len(crystals)) % -(-len(crystals) // SOME) == 0), sequences)
        return partial(VaeTask if name == "vae" else WyckoffTask, sequences)
    return partial(NoiseTask, name, data)


def training(make_task: MakeTask, steps: int, workers: int) -> tuple[float, float]:
    """Crystals per second over `steps` steps of the shipped recipe, and multiplications per crystal."""
    lines: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        every = steps // 2  # the first half warms up
        config = TrainConfig(
            Path(folder), steps=2 * every, log_every=every, save_every=2 * every, workers=workers, device="cpu"
        )
        train(make_task, config, lines.append)
    task = make_task()
    network, batches = task.network(), task.epoch(0, 0)[:50]
    generator = torch.Generator().manual_seed(0)

    def work() -> None:
        for rows in batches:
            torch.autograd.backward(task.losses(network, rows, 0, generator)["loss"])

    return lines[1]["crystals_per_s"], multiplications(work) / sum(map(len, batches))


def sampling(name: str, n: int) -> tuple[float, float]:
    """Samples per second of the shipped weights, and multiplications per sample."""
    if name in ("flow", "diffusion"):
        return sampling_from_noise(generator_class(name)(), n)
    draw = drawer(name)
    draw(4, 1)  # tables that are worked out once
    since = time.perf_counter()
    draw(n, 0)
    speed = n / (time.perf_counter() - since)
    few = max(1, n // 4)
    return speed, multiplications(partial(draw, few, 2)) / few


def drawer(name: str) -> Callable[[int, int], object]:
    """Draws a number of crystals by a seed, in this thread."""
    condition = condition_for("Li", 20)
    if name == "orbits":
        de_novo = OrbitsGenerator().de_novo
        return lambda n, seed: list(de_novo.draw(condition, n, np.random.default_rng(seed)))
    if name == "vae":
        vae = VaeGenerator()
        return lambda n, seed: vae.sample(n, condition, np.random.default_rng(seed))
    model = WyckoffModel.load()
    wish = Wish(condition.allowed, condition.required, atoms=condition.n_atoms, neutral=True)
    return lambda n, seed: model.crystals([wish] * n, np.random.default_rng(seed))


def sampling_from_noise(generator: FromNoise, n: int) -> tuple[float, float]:
    """The same for a network from noise; multiplications without those of compositions."""
    condition = condition_for("Li", 20)
    generator.sample(2, condition, np.random.default_rng(1))
    since = time.perf_counter()
    batch, _, report = generator.sample_with_report(n, condition, np.random.default_rng(0))
    speed = n / (time.perf_counter() - since)
    steps = generator.settings.sampler.steps * report.geometries / n
    sizes, counts = np.unique(np.bincount(batch.batch), return_counts=True)
    looks = [
        count * multiplications(partial(_look, generator, int(size))) for size, count in zip(sizes, counts, strict=True)
    ]
    return speed, steps * sum(looks) / n


def _look(generator: FromNoise, atoms: int) -> None:
    """One evaluation of the network for one crystal."""
    types = torch.full((1, atoms), 8)
    with torch.inference_mode():
        generator.network(types, torch.rand(1, atoms, 3), generator.network.reference(types), torch.zeros(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="prepared file; by default made from the shared data")
    parser.add_argument("--names", default=",".join(NAMES), help="generators, separated by commas")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("-n", type=int, default=200, help="samples")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that train, one thread each")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"), help="folder for what is prepared")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = options.data or held_out_file(options.work)
    rate = multiplications_per_s()
    print(f"{rate / 1e9:.0f} G multiplications/s on {options.threads} thread(s), training on {options.workers}")
    print(f"{'':28s}{'crystals/s':>12s}{'M mult. each':>14s}{'floor':>12s}{'of the floor':>14s}")
    for name in options.names.split(","):
        found = {"sampling": sampling(name, options.n)}
        if data is not None:
            found["training"] = training(task_for(name, data, options.work), options.steps, options.workers)
        for what, (speed, each) in found.items():
            floor = rate * (options.workers if what == "training" else 1) / each
            print(f"{name + ', ' + what:28s}{speed:12.1f}{each / 1e6:14.1f}{floor:12.0f}{speed / floor:14.2f}")
    if data is None:
        print("training: skipped, the shared data are not here")


if __name__ == "__main__":
    main()
