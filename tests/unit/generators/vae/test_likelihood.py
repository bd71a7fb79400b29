"""How likely `wyckoff`, `vae` and `orbits` hold real crystals to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from redoxa.data.records import Crystal
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.base import HasLikelihood, generator_class
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.wyckoff.likelihood import skeleton_nats

REAL = [prototype(name).crystal for name in ("O3 LiCoO2", "spinel LiMn2O4", "olivine LiFePO4", "layered LiTiS2")]


def exchanged(crystal: Crystal) -> Crystal:
    """Cations and anions change places, which no salt stands."""
    first, last = min(crystal.numbers), max(crystal.numbers)
    swap = {first: last, last: first, 8: 26, 16: 3}
    numbers = [swap.get(z, z) for z in crystal.numbers]
    return Crystal(numbers=numbers, frac_coords=crystal.frac_coords, lattice_A=crystal.lattice_A)


@pytest.mark.parametrize(
    ("name", "kind"), [("wyckoff", "log_skeleton"), ("vae", "log_skeleton"), ("orbits", "log_elements")]
)
def test_real_crystals_are_likelier_than_nonsense_and_the_unknown_has_none(name: str, kind: str) -> None:
    generator = generator_class(name)(None)
    assert isinstance(generator, HasLikelihood)
    assert generator.likelihood == kind
    unknown = Crystal(numbers=[3, 110], frac_coords=[[0, 0, 0], [0.5, 0.5, 0.5]], lattice_A=(4 * np.eye(3)).tolist())
    asked = [*REAL, *map(exchanged, REAL), unknown]
    found = generator.log_likelihood(asked, np.random.default_rng(0))
    assert (found[:4] > found[4:8] + 2).all()
    assert (found[:8] < 0).all()
    assert np.isnan(found[8])
    np.testing.assert_array_equal(found, generator.log_likelihood(asked, np.random.default_rng(0)))


def test_the_bound_of_vae_is_the_probability_where_nothing_is_encoded() -> None:
    """An encoder that says the prior gives the mean over vectors of the prior, each weighed alike."""
    generator = VaeGenerator()
    space, crystal = generator.space, REAL[0]
    form = canonical(symmetric(crystal))
    network = space.network
    network.prior = None
    network.latent_mean.zero_()
    network.latent_spread.copy_(torch.eye(len(network.latent_mean)))
    network.encoder.forward = lambda _: (torch.zeros(1, len(network.latent_mean)),) * 2  # type: ignore[method-assign]
    told = space.skeleton_bound(crystal, form, torch.Generator().manual_seed(3))
    noise = torch.randn(16, len(network.latent_mean), generator=torch.Generator().manual_seed(3))
    plain = skeleton_nats(network.decoder, form, noise).logsumexp(0) - np.log(16)
    assert told == pytest.approx(float(plain), abs=1e-3)
