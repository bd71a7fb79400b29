"""Training and sampling throughput of the networks from noise, beside the floor that the machine sets.

    python benchmarks/training.py                            # flow and diffusion, one thread, on the shared data
    python benchmarks/training.py --data data.safetensors --workers 2

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

import numpy as np
import torch
from generation import condition_for, held_out_file
from torch.utils.flop_counter import FlopCounterMode

from data.registry import load as load_kind
from generators import GENERATORS
from generators.noise.from_noise import FromNoise
from generators.noise.training import NoiseTask
from generators.training.loop import TrainConfig, train

NAMES = ("flow", "diffusion")


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


def training(name: str, data: Path, steps: int, workers: int) -> tuple[float, float]:
    """Crystals per second over `steps` steps of the shipped recipe, and multiplications per crystal."""
    make_task = partial(NoiseTask, name, data)
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
    """Samples per second of the shipped weights, and multiplications per sample, but for those of compositions."""
    kind: type[FromNoise] = load_kind(GENERATORS, "generator", name)
    generator, condition = kind(), condition_for("Li", 20)
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
    for name in NAMES:
        found = {"sampling": sampling(name, options.n)}
        if data is not None:
            found["training"] = training(name, data, options.steps, options.workers)
        for what, (speed, each) in found.items():
            floor = rate * (options.workers if what == "training" else 1) / each
            print(f"{name + ', ' + what:28s}{speed:12.1f}{each / 1e6:14.1f}{floor:12.0f}{speed / floor:14.2f}")
    if data is None:
        print("training: skipped, the shared data are not here")


if __name__ == "__main__":
    main()
