"""The flow prior finds what one Gaussian does not say, is part of the file, and stays away where it cannot help."""

from __future__ import annotations

import math

import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.vae.checkpoint import begin_vae_with, load_vae, save_vae
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.latent import BOUND_DRAWS
from redoxa.generators.vae.network import Vae
from redoxa.generators.vae.prior import LEAST, Encoded, FlowPrior, PriorSize, fit_prior, standard_log_density
from redoxa.generators.vae.training import VaeTask, encoded
from redoxa.generators.wyckoff.likelihood import skeleton_nats

SMALL = PriorSize(hidden=16, steps=2, components=4)


def two_clouds(count: int) -> Encoded:
    """Crystals in two clouds: along the first axis at -0.95 and 0.95, which has variance 1 with the noise of 0.3."""
    generator = torch.Generator().manual_seed(2)
    means = torch.randn(count, 2, generator=generator) * torch.tensor([0.0, 0.95])
    means[:, 0] = (torch.arange(count) % 2) * 1.9 - 0.95
    return Encoded(means, torch.full((count, 2), 0.6), 0.5 * torch.eye(2))


def shaken(latent: int) -> FlowPrior:
    """With random weights: a fresh flow hardly differs from one Gaussian."""
    torch.manual_seed(3)
    prior = FlowPrior(latent, SMALL)
    for parameter in prior.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return prior.eval().requires_grad_(False)


def test_a_flow_finds_clouds_that_one_gaussian_does_not_and_comes_out_the_same_again() -> None:
    clouds = two_clouds(2000)
    before = torch.random.get_rng_state()
    prior, again = fit_prior(clouds, SMALL), fit_prior(clouds, SMALL)
    assert torch.equal(before, torch.random.get_rng_state())
    assert prior is not None
    assert again is not None
    for name, tensor in prior.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    drawn = clouds.draw(torch.arange(2000), torch.Generator().manual_seed(9))
    gained = float((prior.log_density(drawn) - standard_log_density(drawn)).mean())
    assert 0.3 < gained < math.log(1 / 0.3) - math.log(2) + 0.1  # the best there is: narrower, and one of two
    sampled = prior.sample(2000, torch.Generator().manual_seed(0))
    assert float((sampled[:, 0].abs() < 0.3).float().mean()) < 0.08  # of one Gaussian: 0.24
    assert sampled.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=0.1)


def test_few_crystals_and_a_plain_gaussian_keep_the_gaussian() -> None:
    assert fit_prior(two_clouds(LEAST - 1), SMALL) is None
    normal = torch.randn(LEAST, 2, generator=torch.Generator().manual_seed(1))
    exact = Encoded(normal, torch.zeros(LEAST, 2), torch.eye(2))
    assert fit_prior(exact, PriorSize(hidden=256, steps=4, components=16)) is None


def test_draws_are_the_encoder_s_whitened() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    whitening = torch.linalg.inv(spread)
    one = Encoded(torch.ones(1, 2), torch.tensor([[0.3, 0.1]]), whitening)
    drawn = one.draw(torch.zeros(40_000, dtype=torch.long), generator)
    expected = whitening @ torch.tensor([0.09, 0.01]).diag() @ whitening.T
    assert torch.allclose(torch.cov(drawn.T), expected, rtol=0.05, atol=1e-3)
    assert torch.allclose(drawn.mean(0), torch.ones(2), atol=0.01)


def test_the_file_keeps_the_prior_and_a_network_begun_with_it_has_none(tiny_vae, tmp_path) -> None:
    plain = load_vae(tiny_vae)
    assert plain.prior is None  # so few crystals
    path = tmp_path / "vae.safetensors"
    save_vae(path, plain.with_prior(shaken(4)))
    assert plain.prior is None
    network = load_vae(path)
    assert network.prior is not None
    assert network.prior.size == SMALL
    drawn, again = (network.from_prior(50, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(drawn, again)
    assert torch.allclose(
        network.prior.sample(50, torch.Generator().manual_seed(1)), network.whitened(drawn), atol=1e-4
    )
    fresh = Vae(plain.config, VaeGenerator(tiny_vae).model.sampler.table)
    begin_vae_with(fresh, path)
    assert fresh.prior is None
    assert torch.equal(fresh.latent_mean, network.latent_mean)
    tensors, header = read_tensors(path)
    write_tensors(path, {n: t for n, t in tensors.items() if "prior.flow.end" not in n}, header)
    with pytest.raises(InputError, match="weights do not fit"):
        load_vae(path)


def test_the_density_of_the_prior_sums_to_one_and_is_that_of_its_draws(tiny_vae) -> None:
    """Over draws of a Gaussian wide enough for its tails, the mean of the ratios of densities is one."""
    plain = load_vae(tiny_vae)
    network = plain.with_prior(shaken(4))
    wide = torch.distributions.MultivariateNormal(plain.latent_mean, scale_tril=2.5 * plain.latent_spread)
    torch.manual_seed(0)
    drawn = wide.sample((200_000,))
    with torch.no_grad():
        ratios = (network.log_prior(drawn) - wide.log_prob(drawn)).exp()
        own = network.from_prior(200_000, torch.Generator().manual_seed(0))
    assert float(ratios.mean()) == pytest.approx(1.0, abs=0.03)
    white, mine = plain.whitened(drawn), plain.whitened(own)
    for place in range(4):  # shares of the vectors beyond a plane, by the density and by the draws
        share = float((ratios * (white[:, place] > 0.5)).mean())
        assert share == pytest.approx(float((mine[:, place] > 0.5).float().mean()), abs=0.02)
    gaussian = torch.distributions.MultivariateNormal(plain.latent_mean, scale_tril=plain.latent_spread)
    assert torch.allclose(plain.log_prior(drawn[:9]), gaussian.log_prob(drawn[:9]), atol=1e-4)


def test_the_bound_is_under_the_prior_that_samples_come_from(tiny_vae) -> None:
    """An encoder that draws from the Gaussian gives the mean over its draws, weighed by prior over Gaussian."""
    generator = VaeGenerator(tiny_vae)
    crystal = prototype("O3 LiCoO2").crystal
    crystal = crystal.model_copy(update={"numbers": tuple(26 if z == 27 else z for z in crystal.numbers)})
    form, network = canonical(symmetric(crystal)), generator.space.network
    network.latent_mean.zero_()
    network.latent_spread.copy_(torch.eye(4))
    network.encoder.forward = lambda _: (torch.zeros(1, 4),) * 2  # type: ignore[method-assign]
    network.prior = shaken(4)
    told = generator.space.skeleton_bound(crystal, form, torch.Generator().manual_seed(3))
    noise = torch.randn(BOUND_DRAWS, 4, generator=torch.Generator().manual_seed(3))
    weights = network.prior.log_density(noise) - standard_log_density(noise)
    plain = (skeleton_nats(network.decoder, form, noise) + weights).logsumexp(0) - math.log(BOUND_DRAWS)
    assert told == pytest.approx(float(plain), abs=1e-3)


def test_a_training_encodes_its_crystals_as_the_whitened_space_has_them(tiny_sequences, tiny_vae) -> None:
    task, network = VaeTask(tiny_sequences, load_vae(tiny_vae).config, start=tiny_vae), load_vae(tiny_vae)
    rows = torch.arange(len(task.data))
    found = encoded(network, task.graphs)
    drawn = torch.cat([found.draw(rows, torch.Generator().manual_seed(i)) for i in range(200)])
    assert drawn.shape[1] == 4
    assert torch.allclose(torch.cov(drawn.T), torch.eye(4), atol=0.35)


def test_a_training_writes_the_prior_and_goes_on_without_it(tiny_sequences, tiny_vae, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("redoxa.generators.vae.training.fit_prior", lambda _: shaken(4))
    network = load_vae(tiny_vae)
    names = list(network.state_dict())
    VaeTask(tiny_sequences, network.config, start=tiny_vae).save(tmp_path / "vae.safetensors", network)
    assert list(network.state_dict()) == names  # what is kept of a training to go on with
    assert load_vae(tmp_path / "vae.safetensors").prior is not None
