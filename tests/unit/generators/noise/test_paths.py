from __future__ import annotations

import numpy as np
import pytest
import torch

from redoxa.generators.graph import MASK
from redoxa.generators.log_lattice import lattice_to_log, log_to_lattice
from redoxa.generators.noise.paths import displacement, fit_volumes, mask_types, pair_same_type

GENERATOR = torch.Generator().manual_seed(0)


def lattices(count: int) -> torch.Tensor:
    return 5 * torch.eye(3, dtype=torch.float64) + torch.randn(count, 3, 3, generator=GENERATOR, dtype=torch.float64)


def test_log_lattice_returns_the_same_metric_and_ignores_rotation():
    cells = lattices(20)
    logs = lattice_to_log(cells)
    back = log_to_lattice(logs)
    assert torch.allclose(back @ back.transpose(1, 2), cells @ cells.transpose(1, 2), rtol=1e-8)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=GENERATOR, dtype=torch.float64))
    assert torch.allclose(lattice_to_log(cells @ rotation), logs, atol=1e-8)


def test_first_number_is_the_log_volume_and_a_cube_has_no_shape():
    log = lattice_to_log(4.0 * torch.eye(3).unsqueeze(0))
    assert log[0, 0].item() == pytest.approx(np.log(64.0), abs=1e-5)
    assert log[0, 1:].abs().max() < 1e-5


def test_volumes_of_elements_are_found_and_unknown_elements_get_the_mean():
    true = {3: 11.0, 8: 9.0, 26: 12.0}
    crystals = [[3, 8], [3, 3, 8], [26, 8], [26, 8, 8], [3, 26, 8, 8], [3], [26]] * 20
    numbers = torch.tensor([z for c in crystals for z in c])
    batch = torch.tensor([i for i, c in enumerate(crystals) for _ in c])
    volumes = torch.tensor([sum(true[z] for z in c) for c in crystals])
    fitted = fit_volumes(numbers, batch, volumes)
    for element, volume in true.items():
        assert fitted[element].item() == pytest.approx(volume, abs=0.05)
    mean = np.mean([sum(true[z] for z in c) / len(c) for c in crystals])
    assert fitted[MASK].item() == pytest.approx(mean, abs=1e-4)
    assert fitted[92].item() == pytest.approx(mean, abs=1e-4)


def test_masking_hides_the_stated_share():
    numbers = torch.full((2000, 10), 8)
    known = torch.tensor([0.0, 0.3, 2.0]).repeat_interleave(2000)[::3]
    hidden = (mask_types(numbers, known, GENERATOR) == MASK).float().mean(1)
    assert hidden[known == 0.0].min() == 1.0
    assert hidden[known == 2.0].max() == 0.0
    assert hidden[known == 0.3].mean().item() == pytest.approx(0.7, abs=0.02)


def test_pairing_permutes_within_elements_and_comes_near_the_hungarian_optimum():
    from scipy.optimize import linear_sum_assignment

    noise = torch.rand(30, 12, 3, generator=GENERATOR)
    coords = torch.rand(30, 12, 3, generator=GENERATOR)
    numbers = torch.tensor([3] * 4 + [8] * 8).expand(30, 12)
    paired = pair_same_type(noise, coords, numbers)
    ours = best = 0.0
    for a, b, c in zip(noise.numpy(), coords.numpy(), paired.numpy(), strict=True):
        for atoms in (slice(0, 4), slice(4, 12)):
            assert sorted(map(tuple, a[atoms])) == sorted(map(tuple, c[atoms]))
            delta = a[atoms][:, None] - b[atoms][None]
            cost = ((delta - np.round(delta)) ** 2).sum(-1)
            rows, columns = linear_sum_assignment(cost)
            best += cost[rows, columns].sum()
            own = c[atoms] - b[atoms]
            ours += ((own - np.round(own)) ** 2).sum()
    assert best <= ours <= 1.05 * best


def test_displacement_has_no_drift_and_ends_at_a_translate_of_the_crystal():
    noise, coords = torch.rand(5, 6, 3, generator=GENERATOR), torch.rand(5, 6, 3, generator=GENERATOR)
    way = displacement(noise, coords)
    assert way.mean(1).abs().max() < 1e-6
    shift = noise + way - coords
    shift = shift - shift[:, :1]
    assert (shift - shift.round()).abs().max() < 1e-5
