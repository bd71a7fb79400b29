from __future__ import annotations

import numpy as np
import pytest
import torch

from redoxa.data.tables.datasets import LABELS, CrystalData
from redoxa.generators.graph import N_TYPES, pair_distances, wrap
from redoxa.generators.noise.sampling.repulsion import pair_targets, push_apart
from redoxa.generators.noise.statistics import closest_approach

BOX = 8.0 * torch.eye(3).unsqueeze(0)


def distance(coords: torch.Tensor) -> float:
    return float(pair_distances(coords, BOX)[0, 0, 1].min())


def test_two_atoms_part_to_the_target_across_the_boundary_and_their_middle_stays():
    coords = torch.tensor([[[0.98, 0.5, 0.5], [0.05, 0.5, 0.5]]])
    assert distance(coords) == pytest.approx(0.56, abs=1e-3)
    pushed = push_apart(coords, BOX, torch.full((1, 2, 2), 2.0), steps=3)
    assert distance(pushed) == pytest.approx(2.0, abs=1e-3)
    assert wrap(pushed - coords).sum(1).abs().max() < 1e-5
    assert pushed[0, :, 1:].tolist() == coords[0, :, 1:].tolist()


def test_atoms_that_are_far_enough_stay_to_the_last_bit():
    coords = torch.tensor([[[0.1, 0.1, 0.1], [0.6, 0.6, 0.6]]])
    assert torch.equal(push_apart(coords, BOX, torch.full((1, 2, 2), 2.0), steps=3), coords)


def test_crowded_atoms_end_without_close_contacts():
    generator = torch.Generator().manual_seed(0)
    coords = torch.rand(20, 12, 3, generator=generator)
    lattice = BOX.expand(20, 3, 3) + 0.5 * torch.randn(20, 3, 3, generator=generator)
    before = pair_distances(coords, lattice).amin((1, 2, 3))
    after = pair_distances(push_apart(coords, lattice, torch.full((20, 12, 12), 2.0), 30), lattice).amin((1, 2, 3))
    assert before.median() < 1.2
    assert after.min() > 1.9


def test_targets_come_from_the_data_and_else_from_covalent_radii():
    closest = torch.zeros(N_TYPES, N_TYPES)
    closest[3, 8] = closest[8, 3] = 1.85
    targets = pair_targets(torch.tensor([[3, 8, 8]]), closest, contact=0.8)[0]
    assert targets[0, 1].item() == pytest.approx(1.85)
    assert targets[1, 2].item() == pytest.approx(0.8 * 2 * 0.66)  # Cordero radius of oxygen


def test_closest_approach_is_a_quantile_over_crystals_with_images():
    edges = np.linspace(3.0, 4.0, 21)
    count = len(edges)
    data = CrystalData(
        np.array([3, 8] * count),
        np.array([[0, 0, 0], [0.5, 0.5, 0.5]] * count, dtype=np.float32),
        np.stack([edge * np.eye(3) for edge in edges]).astype(np.float32),
        np.arange(0, 2 * count + 1, 2),
        np.zeros(count, dtype=bool),
        np.full((count, len(LABELS)), np.nan, dtype=np.float32),
    )
    table = closest_approach(data, quantile=0.05, at_least=20)
    assert table[3, 8].item() == pytest.approx(3.05 * 3**0.5 / 2, abs=1e-3)
    assert table[3, 3].item() == pytest.approx(3.05, abs=1e-3)  # an atom and its own image
    assert closest_approach(data, at_least=count + 1)[3, 8] == 0.0
