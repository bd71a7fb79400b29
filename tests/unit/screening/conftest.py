from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from redoxa.data.records import Candidate, Crystal, Origin
from redoxa.data.tables.prototypes import prototype
from redoxa.data.tables.reference import Reference, ReferenceEntry, energy_scale
from redoxa.screening.base import Model, Subject, Surroundings
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.potentials.base import Potential, load_potential
from redoxa.screening.settings import ScreenSettings


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


TERNARY = {
    "Li": -1.9, "Fe": -8.4, "O2": -4.9, "Li2O": -4.8, "FeO": -6.4, "Fe2O3": -6.7, "Fe3O4": -6.75, "LiFeO2": -6.1,
    "Li5FeO4": -5.2, "Li2O2": -4.6, "LiFe5O8": -6.6,
}  # fmt: skip
"""Energies in eV/atom, made up."""

IRON_OXIDES = {"Li": -1.9, "Fe": -8.4, "O2": -4.9, "Li2O": -4.9, "FeO": -8.05, "Fe3O4": -7.95, "Fe2O3": -7.9}
"""Made up, so that every one of them lies on the hull."""


def around_of(energies: dict[str, float], settings: ScreenSettings | None = None) -> Surroundings:
    """Surroundings over a reference of these energies."""
    reference = reference_of(energies)
    return Surroundings(settings or ScreenSettings(), Model("chgnet-0.3.0", "s", 0.03), reference, Hulls(reference))


def state(numbers: list[int], energy_eV_per_atom: float) -> Relaxation:
    """A relaxed state of that composition and energy."""
    crystal = cubic(numbers, [[i / len(numbers), 0, 0] for i in range(len(numbers))], 4.0)
    return Relaxation(
        crystal=crystal, energy_eV=energy_eV_per_atom * len(numbers), converged=True, steps=1, force_calls=1,
        max_force_eV_A=0.0, max_stress_eV_A3=0.0, seconds=0.0,
    )  # fmt: skip


def subject_of(discharged: Relaxation, charged: Relaxation | None = None, ion: str = "Li") -> Subject:
    """A candidate with these states."""
    removed = 0
    if charged is not None:
        removed = discharged.crystal.composition[ion] - charged.crystal.composition.get(ion, 0)
    return Subject(candidate(discharged.crystal, ion), n_removed=removed, discharged=discharged, charged=charged)


METALS = {"Li": -1.8797, "Na": -1.2890}
"""CHGNet 0.3.0's energies of bcc Li and Na in eV/atom."""


@pytest.fixture(scope="session")
def shared() -> Path:
    root = Path(__file__).resolve().parents[3]
    folder = Path(os.environ.get("REDOXA_SHARED", root.parent / "shared"))
    if not (folder / "anchors").is_dir():
        pytest.skip(f"the shared crystal data is not beside the checkout ({folder})")
    return folder


def relaxed(name: str) -> Subject:
    """A candidate whose relaxed state is the published one."""
    found = from_library(name)
    state = Relaxation(
        crystal=found.crystal, energy_eV=-1.0, converged=True, steps=1, force_calls=1, max_force_eV_A=0.0,
        max_stress_eV_A3=0.0, seconds=0.0,
    )  # fmt: skip
    return Subject(found, discharged=state)


def turned_and_skewed(crystal: Crystal) -> tuple[Crystal, Crystal]:
    """The same crystal with another origin, orientation and order of atoms; and with c replaced by 2a + b + c."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    moved = Crystal(
        numbers=crystal.numbers[::-1],
        frac_coords=[[x + 0.313 for x in row] for row in crystal.frac_coords[::-1]],
        lattice_A=(np.array(crystal.lattice_A) @ turn).tolist(),
    )
    skew = Crystal(
        numbers=crystal.numbers,
        frac_coords=[[x - 2 * z, y - z, z] for x, y, z in crystal.frac_coords],
        lattice_A=(np.array([[1, 0, 0], [0, 1, 0], [2, 1, 1]]) @ np.array(crystal.lattice_A)).tolist(),
    )
    return moved, skew
