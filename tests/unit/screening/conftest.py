from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from data.prototypes import prototype
from data.records import Candidate, Crystal, Origin
from data.reference import Reference, ReferenceEntry, energy_scale
from screening.potential import Potential, load_potential


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def chgnet() -> Potential:
    return load_potential("chgnet")


def distorted(crystal: Crystal, seed: int, amplitude_A: float = 0.08, strain: float = 0.02) -> Crystal:
    """Atoms moved and cell strained at random, so that nothing is zero by symmetry."""
    rng = np.random.default_rng(seed)
    cell = np.array(crystal.lattice_A)
    shift = rng.normal(0, amplitude_A, (crystal.n_atoms, 3)) @ np.linalg.inv(cell)
    random = rng.normal(0, strain, (3, 3))
    return Crystal(
        numbers=crystal.numbers,
        frac_coords=(np.array(crystal.frac_coords) + shift).tolist(),
        lattice_A=(cell @ (np.eye(3) + (random + random.T) / 2)).tolist(),
    )


def cubic(numbers: list[int], fracs: list[list[float]], a_A: float) -> Crystal:
    return Crystal(numbers=numbers, frac_coords=fracs, lattice_A=(np.eye(3) * a_A).tolist())


def candidate(crystal: Crystal, ion: str = "Li") -> Candidate:
    return Candidate(crystal=crystal, working_ion=ion, origin=Origin(generator="test", seed=0))


def from_library(name: str) -> Candidate:
    entry = prototype(name)
    return candidate(entry.crystal, entry.working_ion)


def reference_of(energies: dict[str, float], scale: str | None = None) -> Reference:
    """A reference on CHGNet's scale unless told otherwise; energies in eV/atom by formula."""
    entries = [ReferenceEntry(f, e, f, "test", "relaxed") for f, e in energies.items()]
    return Reference(entries, scale or energy_scale("MP2020-corrected PBE/PBE+U", "chgnet-0.3.0"))


METALS = {"Li": -1.8797, "Na": -1.2890}
"""CHGNet 0.3.0's energies of bcc Li and Na in eV/atom."""


@pytest.fixture(scope="session")
def shared() -> Path:
    root = Path(__file__).resolve().parents[3]
    folder = Path(os.environ.get("REDOXA_SHARED", root.parent / "shared"))
    if not (folder / "anchors").is_dir():
        pytest.skip(f"the shared crystal data is not beside the checkout ({folder})")
    return folder
