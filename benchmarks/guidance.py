"""Asked against obtained: does `diffusion` propose lithium compounds of the voltage that it is asked for?

    python benchmarks/guidance.py --data data.safetensors       # prepared with hosts=li_electrodes.parquet

Obtained is what a ridge regression on element shares, fitted to the training labels, says of the compositions: a rough
judge, but one that knows nothing of the network. Its own error on held-out crystals is printed first.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from redoxa.data.tables.datasets import LABELS, CrystalData, load
from redoxa.generators.base import Condition, Target
from redoxa.generators.graph import N_TYPES
from redoxa.generators.noise.diffusion import DiffusionGenerator
from redoxa.generators.noise.from_noise import NoiseSettings
from redoxa.generators.noise.sampling.samplers import SamplerSettings

Floats = npt.NDArray[np.float64]
RANGES = ((1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0))


def shares(numbers: Sequence[int] | npt.NDArray[np.int64]) -> Floats:
    """Share of each element, and 1."""
    return np.append(np.bincount(numbers, minlength=N_TYPES) / len(numbers), 1.0)


def fit(data: CrystalData, label: str, pull: float = 0.1) -> tuple[Floats, float, float]:
    """Weights of the regression, and its mean error and correlation on the held-out crystals that have the label."""
    x = np.array([shares(numbers) for numbers, _, _ in data])
    y = data.labels[:, list(LABELS).index(label)].astype(float)
    train, test = (np.isfinite(y) & part for part in (~data.held_out, data.held_out))
    weights = np.linalg.solve(x[train].T @ x[train] + pull * np.eye(x.shape[1]), x[train].T @ y[train])
    said = x[test] @ weights
    return weights, float(np.abs(said - y[test]).mean()), float(np.corrcoef(said, y[test])[0, 1])


def obtained(weight: float, n: int, condition: Condition, judge: Floats, checkpoint: Path | None) -> Floats:
    """What the judge says of n samples."""
    plain = DiffusionGenerator.defaults
    # One try and one step: types come first, so the geometry does not matter here.
    settings = NoiseSettings(
        plain.method, tries=1, symmetry_tolerances_A=(), guidance=weight, sampler=SamplerSettings(steps=1)
    )
    batch, _ = DiffusionGenerator(checkpoint, settings).sample(n, condition, np.random.default_rng(0))
    return np.array([shares(crystal.numbers) @ judge for crystal in batch])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    judge, error, correlation = fit(load(options.data), "voltage_Li_V")
    print(f"judge: mean error {error:.2f} V, correlation {correlation:.2f} on held-out crystals")
    base = Condition(required=frozenset({3}), n_atoms=(4, 20), charge_neutral=True)
    for weight in (0.0, 1.0, 2.0):
        print(f"\nguidance weight {weight:g}")
        for low, high in RANGES:
            targets = (Target("average_voltage", low, high),)
            volts = obtained(weight, options.n, replace(base, targets=targets), judge, options.checkpoint)
            inside = np.mean((volts >= low) & (volts <= high))
            print(f"{low:g} to {high:g} V: mean {volts.mean():.2f} V, inside {inside:.2f}")
    volts = obtained(0.0, options.n, base, judge, options.checkpoint)
    told = ", ".join(f"{np.mean((volts >= low) & (volts <= high)):.2f} in {low:g} to {high:g}" for low, high in RANGES)
    print(f"\nasked for nothing: mean {volts.mean():.2f} V, {told}")


if __name__ == "__main__":
    main()
