from __future__ import annotations

import numpy as np
import pytest
import spglib

from redoxa.generators.noise.sampling.symmetry import symmetrise


def rocksalt(noise_A: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    cell = 4.2 * np.eye(3) + noise_A * rng.normal(size=(3, 3)) / 2
    face = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    frac = np.vstack([face, face + np.array([0.5, 0, 0])]) + noise_A * rng.normal(size=(8, 3)) / 4.2
    return cell, frac, np.array([3] * 4 + [8] * 4)


def test_a_disturbed_rocksalt_becomes_one_again():
    cell, frac, numbers = rocksalt(0.04)
    assert spglib.get_symmetry_dataset((cell, frac, numbers), symprec=1e-3).number == 1
    found = symmetrise(cell, frac, numbers)
    assert found is not None
    assert found.number == 225
    assert 0 < found.moved_A < 0.3
    # The averaged crystal holds its symmetry to far tighter than the tolerance it was found with.
    again = spglib.get_symmetry_dataset((found.lattice, found.frac_coords, numbers), symprec=1e-4)
    assert again.number == 225
    assert np.linalg.det(found.lattice) == pytest.approx(np.linalg.det(cell), rel=0.02)


def test_a_random_crystal_is_left_alone():
    rng = np.random.default_rng(1)
    cell = np.diag([4.1, 5.3, 6.7]) + 0.4 * rng.normal(size=(3, 3))
    assert symmetrise(cell, rng.random((7, 3)), np.array([3, 3, 8, 8, 8, 26, 15])) is None


def test_nothing_moves_further_than_the_tolerance():
    cell, frac, numbers = rocksalt(0.08, seed=2)
    for tolerance in (0.3, 0.1, 0.05):
        found = symmetrise(cell, frac, numbers, (tolerance,))
        assert found is None or found.moved_A <= tolerance
