"""The objective, on a policy of three choices; and the guards."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from redoxa.generators.reinforcement.guards import Limits, Watched, collapse, distinct
from redoxa.generators.reinforcement.objective import Episodes, Objective, advantages, divergence, loss

FREE = Objective(kl_weight=0.0, entropy_weight=0.0)


def follow(start: list[float], how: Objective, rewards: list[float], steps: int = 60) -> torch.Tensor:
    """Probabilities after steps on samples [0, 1, 2] of a policy that began, and was drawn from, evenly."""
    logits = torch.tensor(start, requires_grad=True)
    even = torch.full((3,), -math.log(3))
    optimiser = torch.optim.SGD([logits], lr=0.5)
    for _ in range(steps):
        logs = logits.log_softmax(0)
        drawn = Episodes(logs.detach(), even, torch.tensor(rewards), torch.zeros(3, dtype=torch.long))
        entropy = -(logs.exp() * logs).sum().expand(3)
        optimiser.zero_grad()
        loss(how, logs, entropy, drawn).backward()
        optimiser.step()
    return logits.detach().softmax(0)


def test_the_better_choice_becomes_likelier() -> None:
    found = follow([0.0, 0.0, 0.0], FREE, [1.0, 0.0, 0.0])
    assert found[0] > 0.8
    assert found[1] == pytest.approx(float(found[2]), abs=1e-6)


def test_equal_rewards_teach_nothing() -> None:
    found = follow([0.3, 0.0, -0.3], FREE, [0.7, 0.7, 0.7])
    assert found.tolist() == pytest.approx(torch.tensor([0.3, 0.0, -0.3]).softmax(0).tolist(), abs=1e-6)


def test_advantages_are_of_each_group_alone() -> None:
    rewards, groups = torch.tensor([1.0, 0.0, 5.0, 5.0, 9.0]), torch.tensor([4, 4, 7, 7, 1])
    assert advantages(rewards, groups).tolist() == [1.0, -1.0, 0.0, 0.0, 0.0]


def test_the_prior_pulls_back() -> None:
    far = [2.0, 0.0, 0.0]
    free, held = (follow(far, replace(FREE, kl_weight=weight), [0.0, 0.0, 0.0]) for weight in (0.0, 1.0))
    assert held[0] < 0.6 < free[0]
    logs = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]).log()
    assert float((logs[0].exp() * divergence(logs[0], logs[1])).sum()) == pytest.approx(
        float((logs[0].exp() * (logs[0] - logs[1])).sum())
    )
    assert (divergence(logs[0], logs[1]) >= 0).all()


def test_a_sample_that_left_pushes_no_further() -> None:
    """Beyond the clip, neither what was good nor what was bad has a gradient."""
    for reward, ratio in (([1.0, 0.0], 1.3), ([0.0, 1.0], 0.7)):
        logs = torch.tensor([math.log(ratio), 0.0], requires_grad=True)
        drawn = Episodes(torch.zeros(2), torch.zeros(2), torch.tensor(reward), torch.zeros(2, dtype=torch.long))
        loss(FREE, logs, torch.ones(2), drawn).backward()
        assert logs.grad is not None
        assert logs.grad[0] == 0.0
        assert logs.grad[1] != 0.0


def test_the_floor_acts_below_it_only() -> None:
    even, narrow = [0.0, 0.0, 0.0], [4.0, 0.0, 0.0]
    how = replace(FREE, entropy_weight=1.0, entropy_floor=0.9)
    assert follow(narrow, how, [0.0, 0.0, 0.0])[0] < follow(narrow, FREE, [0.0, 0.0, 0.0])[0] - 0.1
    mild = [0.4, 0.0, 0.0]
    assert follow(mild, how, [0.0, 0.0, 0.0]).tolist() == pytest.approx(torch.tensor(mild).softmax(0).tolist())
    assert follow(even, how, [0.0, 0.0, 0.0]).tolist() == pytest.approx([1 / 3] * 3)


def test_a_collapse_is_told() -> None:
    prior, limits = Watched(0.9, 0.6, 1.5, 0.0), Limits(narrow=0.5, kl_nats=4.0)
    assert collapse(prior, Watched(0.5, 0.31, 0.2, 3.9), limits) is None
    assert "different formulas" in (collapse(prior, replace(prior, distinct_formulas=0.4), limits) or "")
    assert "different families" in (collapse(prior, replace(prior, distinct_families=0.29), limits) or "")
    assert "4.1 nats" in (collapse(prior, replace(prior, kl_nats=4.1), limits) or "")


def test_distinct_by_hand() -> None:
    assert distinct([]) == (0.0, 0.0)
    assert distinct(["LiCoO2", "LiNiO2", "LiCoO2", "LiF"]) == (3 / 4, 2 / 4)
