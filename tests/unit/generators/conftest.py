from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from redoxa.data.symmetry.sequences import prepare_sequences
from redoxa.data.tables.datasets import LABELS, CrystalData, load
from redoxa.generators.backbone import BackboneConfig
from redoxa.generators.noise.training import NoiseTask
from redoxa.generators.training.loop import TrainConfig, train
from redoxa.generators.vae.network import VaeConfig
from redoxa.generators.vae.training import VaeTask, VaeWeights
from redoxa.generators.wyckoff.network import SequenceConfig
from redoxa.generators.wyckoff.training import WyckoffTask

TINY = BackboneConfig(hidden=24, edge=16, layers=2, harmonics=3, radials=8)

TINY_SEQUENCE = SequenceConfig(width=24, layers=2, heads=2, components=3, own=4, dropout=0.0)

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


@pytest.fixture(scope="session")
def tiny_sequences(tiny_file, tmp_path_factory) -> Path:
    """The made-up crystals as sequences; hundredths of their mean atomic number stand for distances to the hull."""
    path = tmp_path_factory.mktemp("data") / "sequences.safetensors"
    data = load(tiny_file)
    labels = data.labels.copy()
    labels[:, 1] = [numbers.mean() / 100 for numbers, _, _ in data]
    prepare_sequences(replace(data, labels=labels), path)
    return path


@pytest.fixture(scope="session")
def tiny_wyckoff(tiny_sequences, tmp_path_factory) -> Path:
    """A tiny sequence network after some steps."""
    out = tmp_path_factory.mktemp("run")
    config = TrainConfig(out, steps=150, decay_steps=50, warmup_steps=5, rate=5e-3, ema=0.9, save_every=150)
    return train(partial(WyckoffTask, tiny_sequences, TINY_SEQUENCE), config)


@pytest.fixture(scope="session")
def tiny_vae(tiny_sequences, tiny_wyckoff, tmp_path_factory) -> Path:
    """A tiny VAE after some steps, its decoder begun with the tiny sequence network."""
    out = tmp_path_factory.mktemp("run")
    vae = VaeConfig(replace(TINY_SEQUENCE, latent=4), width=16, layers=2, head=16)
    config = TrainConfig(out, steps=100, decay_steps=50, warmup_steps=5, rate=5e-3, ema=0.9, save_every=100)
    return train(partial(VaeTask, tiny_sequences, vae, VaeWeights(geometry=1.0), tiny_wyckoff), config)
