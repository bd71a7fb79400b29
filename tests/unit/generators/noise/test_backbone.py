from __future__ import annotations

import pytest
import torch

from redoxa.generators.backbone import Backbone, BackboneConfig, element_features
from redoxa.generators.graph import fourier, pair_distances, periodic_offsets, radial, wrap
from redoxa.generators.log_lattice import lattice_to_log

SMALL = BackboneConfig(hidden=24, edge=16, layers=2, harmonics=3, radials=6)


def state(b: int = 3, n: int = 5) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(4)
    cells = 5 * torch.eye(3) + 0.5 * torch.randn(b, 3, 3, generator=generator)
    return (
        torch.randint(0, 90, (b, n), generator=generator),
        torch.rand(b, n, 3, generator=generator),
        lattice_to_log(cells),
        torch.rand(b, generator=generator),
    )


@pytest.fixture(scope="module")
def network() -> Backbone:
    torch.manual_seed(0)
    return Backbone(SMALL).eval()


def test_distances_agree_with_pymatgen():
    from pymatgen.core import Lattice, Structure

    generator = torch.Generator().manual_seed(1)
    cell = 4 * torch.eye(3, dtype=torch.float64) + 0.6 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    frac = torch.rand(6, 3, generator=generator, dtype=torch.float64)
    ours = pair_distances(frac[None], cell[None]).amin(-1)[0]
    theirs = torch.from_numpy(Structure(Lattice(cell.numpy()), ["O"] * 6, frac.numpy()).distance_matrix.copy())
    off = ~torch.eye(6, dtype=torch.bool)
    assert torch.allclose(ours[off], theirs[off], atol=1e-6)
    assert torch.allclose(ours.diagonal(), torch.linalg.norm(cell, dim=1).min().expand(6), atol=0.5)


def test_radial_basis_counts_the_twelve_neighbours_of_a_close_packed_atom():
    primitive = torch.tensor([[[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]]])
    nearest = 8.0**0.5
    shells = radial(pair_distances(torch.zeros(1, 1, 3), primitive), torch.tensor([nearest, nearest + 0.5]))
    assert shells[0, 0, 0, 0].item() == pytest.approx(12.0, abs=1e-3)


def test_offsets_are_the_27_translations_with_the_zero_first():
    offsets = periodic_offsets()
    assert offsets[0].tolist() == [0.0, 0.0, 0.0]
    assert len({tuple(o) for o in offsets.tolist()}) == 27


def test_fourier_features_are_periodic_and_wrap_is_shortest():
    delta = torch.tensor([[0.3, -0.2, 0.9]])
    assert torch.allclose(fourier(delta, 4), fourier(delta + torch.tensor([1.0, -2.0, 3.0]), 4), atol=1e-5)
    assert torch.allclose(wrap(delta), torch.tensor([[0.3, -0.2, -0.1]]))


def test_network_ignores_origin_and_periodic_images(network):
    types, coords, lattice, time = state()
    plain = network(types, coords, lattice, time)
    moved = network(
        types, coords + torch.tensor([0.31, 0.77, -0.4]) + torch.randint(-2, 3, coords.shape), lattice, time
    )
    assert torch.allclose(plain.coords, moved.coords, atol=1e-4)
    assert torch.allclose(plain.lattice, moved.lattice, atol=1e-4)
    assert torch.allclose(plain.types, moved.types, atol=1e-4)


def test_network_follows_a_permutation_of_the_atoms(network):
    types, coords, lattice, time = state()
    order = torch.tensor([3, 0, 4, 1, 2])
    plain = network(types, coords, lattice, time)
    permuted = network(types[:, order], coords[:, order], lattice, time)
    assert torch.allclose(plain.coords[:, order], permuted.coords, atol=1e-5)
    assert torch.allclose(plain.types[:, order], permuted.types, atol=1e-5)
    assert torch.allclose(plain.lattice, permuted.lattice, atol=1e-5)


def test_coordinate_velocity_has_no_drift_and_sees_geometry_types_and_time(network):
    types, coords, lattice, time = state()
    plain = network(types, coords, lattice, time)
    assert plain.coords.mean(1).abs().max() < 1e-6
    changed = coords.clone()
    changed[:, 0] += 0.1
    for other in (
        network(types, changed, lattice, time),
        network((types + 1).clamp_max(100), coords, lattice, time),
        network(types, coords, lattice + 0.2, time),
        network(types, coords, lattice, 1 - time),
    ):
        assert (other.coords - plain.coords).abs().max() > 1e-6


def test_periodic_table_places_elements():
    table = element_features()
    group = table[:, 7:25].argmax(1) + 1
    period = table[:, :7].argmax(1) + 1
    known = {
        1: (1, 1),
        2: (1, 18),
        3: (2, 1),
        8: (2, 16),
        15: (3, 15),
        26: (4, 8),
        30: (4, 12),
        57: (6, 3),
        79: (6, 11),
    }
    for z, (p, g) in known.items():
        assert (int(period[z]), int(group[z])) == (p, g)
    assert table[60, 25] == 1.0
    assert table[72, 25] == 0.0
    assert int(group[72]) == 4
