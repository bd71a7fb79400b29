"""Exact densities: steps undo themselves, densities are those of the draws and sum to one, and both kinds learn."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from redoxa.generators.normalising_flow import (
    Autoregressive,
    Coupling,
    Linear,
    Masked,
    NormalisingFlow,
    glow,
    masked_autoregressive,
)

D, C, B = 5, 3, 7
STEPS: dict[str, Callable[[], torch.nn.Module]] = {
    "forwards": lambda: Autoregressive(D, C, 16, backwards=False),
    "backwards": lambda: Autoregressive(D, C, 16, backwards=True),
    "coupling": lambda: Coupling(D, C, 16),
    "linear": lambda: Linear(D),
}
FLOWS: dict[str, Callable[[int], NormalisingFlow]] = {
    "MAF": lambda k: masked_autoregressive(2, 1, 32, 2, k),
    "Glow": lambda k: glow(2, 1, 32, 2, k),
    "mixtures": lambda k: masked_autoregressive(2, 1, 32, 0, max(k, 1)),
}


def shaken(module: torch.nn.Module, by: float = 0.3) -> torch.nn.Module:
    """With random weights: fresh steps are identities, which any mistake leaves right."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data += by * torch.randn(parameter.shape, generator=generator)
    return module.requires_grad_(False)


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_undone_by_their_inverse_and_say_their_stretch(name: str) -> None:
    torch.manual_seed(0)
    step = shaken(STEPS[name]()).double()
    x, context = torch.randn(B, D).double(), torch.randn(B, C).double()
    z, stretch = step(x, context)
    assert torch.allclose(step.inverse(z, context), x, atol=1e-9)  # type: ignore[operator]
    for row, given, said in zip(x, context, stretch, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda r, c=given: step(r[None], c[None])[0][0], row)
        assert math.isclose(float(torch.linalg.slogdet(jacobian)[1]), float(said), abs_tol=1e-9)


def test_outputs_of_a_number_do_not_see_it_nor_those_after_it() -> None:
    network = shaken(Masked(D, C, 16, 2))
    x, context = torch.randn(1, D), torch.randn(1, C)
    jacobian = torch.autograd.functional.jacobian(lambda r: network(r[None], context)[0].sum(1), x[0])
    assert torch.equal(jacobian.triu(), torch.zeros(D, D))
    assert (jacobian.tril(-1) != 0).sum() == D * (D - 1) // 2


@pytest.mark.parametrize("components", [0, 3])
@pytest.mark.parametrize("name", FLOWS)
def test_density_sums_to_one_and_is_that_of_the_draws(name: str, components: int) -> None:
    torch.manual_seed(0)
    flow = FLOWS[name](components)
    shaken(flow, 0.1)
    edges = torch.linspace(-12, 12, 481)
    grid = torch.cartesian_prod(edges, edges)
    density = flow.log_density(grid, torch.full((len(grid), 1), 0.5)).exp() * (edges[1] - edges[0]) ** 2
    assert math.isclose(float(density.sum()), 1.0, abs_tol=0.01)
    drawn = flow.sample(torch.full((20_000, 1), 0.5), torch.Generator().manual_seed(0))
    mean = (density.unsqueeze(1) * grid).sum(0)
    error = drawn.std(0) / math.sqrt(len(drawn))
    assert ((drawn.mean(0) - mean).abs() < 4.5 * error + 0.01).all()
    entropy = -(density * density.clamp_min(1e-30).div((edges[1] - edges[0]) ** 2).log()).sum()
    nats = -flow.log_density(drawn, torch.full((len(drawn), 1), 0.5))
    assert abs(float(nats.mean() - entropy)) < 4.5 * float(nats.std()) / math.sqrt(len(drawn)) + 0.02


@pytest.mark.parametrize("name", ["MAF", "Glow"])
def test_an_end_of_mixtures_learns_a_thin_sheet_that_a_normal_does_not(name: str) -> None:
    """Half the points lie on a line of width 0.01, and the context says on which side."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(2)
    side = torch.randint(2, (1024, 1), generator=generator).float() * 2 - 1
    thin = torch.rand(1024, 1, generator=generator) < 0.5
    noise = torch.randn(1024, 2, generator=generator)
    x = torch.cat([noise[:, :1], torch.where(thin, 0.01 * noise[:, 1:], side + 0.3 * noise[:, 1:])], dim=1)
    reached = {}
    for components in (0, 6):
        torch.manual_seed(0)
        flow = FLOWS[name](components)
        optimiser = torch.optim.Adam(flow.parameters(), lr=0.01)
        for _ in range(250):
            optimiser.zero_grad()
            loss = -flow.log_density(x, side).mean()
            torch.autograd.backward(loss)
            optimiser.step()
        reached[components] = -float(loss.detach())
    assert reached[6] > reached[0] + 0.3
