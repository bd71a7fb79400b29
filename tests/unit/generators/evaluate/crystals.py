"""Small crystals made here."""

from __future__ import annotations

import numpy as np

from redoxa.data.records import Crystal

FACE = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def cubic(numbers: list[int], fracs: np.ndarray | list[list[float]], a_A: float) -> Crystal:
    return Crystal(numbers=numbers, frac_coords=np.asarray(fracs).tolist(), lattice_A=(np.eye(3) * a_A).tolist())


def rocksalt(cation: int, anion: int, a_A: float) -> Crystal:
    return cubic([cation] * 4 + [anion] * 4, np.vstack([FACE, FACE + np.array([0.5, 0, 0])]), a_A)


def zincblende(cation: int, anion: int, a_A: float) -> Crystal:
    return cubic([cation] * 4 + [anion] * 4, np.vstack([FACE, FACE + 0.25]), a_A)


def caesium_chloride(cation: int, anion: int, a_A: float) -> Crystal:
    return cubic([cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]], a_A)


def shaken(crystal: Crystal, seed: int, amplitude_A: float) -> Crystal:
    """Moved atoms, another origin and another order."""
    rng = np.random.default_rng(seed)
    cell = np.array(crystal.lattice_A)
    moved = np.array(crystal.frac_coords) + rng.normal(0, amplitude_A, (crystal.n_atoms, 3)) @ np.linalg.inv(cell)
    order = rng.permutation(crystal.n_atoms)
    return Crystal(
        numbers=[crystal.numbers[i] for i in order],
        frac_coords=((moved + rng.random(3)) % 1.0)[order].tolist(),
        lattice_A=(cell * (1 + rng.normal(0, 0.005))).tolist(),
    )


def layers(cation: int, anion: int) -> Crystal:
    """Double layers of a square lattice, which no tolerance takes for rocksalt."""
    column = [[0, 0, 0], [0, 0, 0.25], [0, 0, 0.5], [0, 0, 0.75]]
    cell = np.diag([3.4, 3.4, 11.0]).tolist()
    return Crystal(numbers=[cation, cation, anion, anion], frac_coords=column, lattice_A=cell)
