from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from data.datasets import LABELS, CrystalData
from generators.backbone import BackboneConfig
from generators.noise_training import NoiseTask
from generators.training import TrainConfig, train

TINY = BackboneConfig(hidden=24, edge=16, layers=2, harmonics=3, radials=8)

FACE = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def made_up_crystals() -> list[tuple[list[int], np.ndarray, float]]:
    """Rocksalts, perovskites and fluorites with edges from ionic radii: (numbers, frac_coords, edge in Angstrom)."""
    crystals = []
    for cation, a in ((3, 4.0), (11, 4.7), (12, 4.3), (26, 4.3), (25, 4.4), (28, 4.2)):
        for anion, extra in ((8, 0.0), (9, 0.1), (16, 0.9)):
            crystals.append(([cation] * 4 + [anion] * 4, np.vstack([FACE, FACE + np.array([0.5, 0, 0])]), a + extra))
            crystals.append(([cation, anion], np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), (a + extra) * 0.66))
    for a_site in (3, 11, 12):
        for b_site in (22, 23, 25, 26):
            sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
            crystals.append(([a_site, b_site, 8, 8, 8], sites, 3.9))
    return crystals


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory) -> Path:
    """A prepared data file of made-up crystals, four of them held out."""
    crystals = made_up_crystals()
    counts = [len(numbers) for numbers, _, _ in crystals]
    data = CrystalData(
        np.array([z for numbers, _, _ in crystals for z in numbers]),
        np.vstack([frac for _, frac, _ in crystals]).astype(np.float32) % 1.0,
        np.stack([edge * np.eye(3) for _, _, edge in crystals]).astype(np.float32),
        np.concatenate([[0], np.cumsum(counts)]),
        np.arange(len(crystals)) % 12 == 0,
        np.full((len(crystals), len(LABELS)), np.nan, dtype=np.float32),
    )
    arrays = {name: np.ascontiguousarray(value) for name, value in vars(data).items()}
    arrays["held_out"] = arrays["held_out"].astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "tiny.safetensors"
    save_file(arrays, path)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_file, tmp_path_factory) -> Path:
    """A tiny flow after a few steps: enough to run, not to be good."""
    out = tmp_path_factory.mktemp("run")
    config = TrainConfig(out, steps=40, decay_steps=10, warmup_steps=5, save_every=40)
    return train(partial(NoiseTask, "flow", tiny_file, TINY), config)
