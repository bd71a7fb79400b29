"""What is followed: group-relative policy gradients (GRPO; Shao et al., arXiv:2402.03300), held near the prior.

A sample counts as a whole: its choices share one reward, so that the ratio of probabilities is of the sample too. All
logarithms are natural, all entropies and divergences in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

EQUAL = 1e-6
"""Deviation of the rewards of a group below which they count as equal."""


@dataclass(frozen=True)
class Objective:
    """How strongly what is followed.

    Attributes:
        clip: how far the ratio of new to old probability may leave 1 before a sample pushes no further.
        kl_weight: of the divergence from the prior, per nat of a sample.
        entropy_floor: mean entropy of a choice, in nats, below which a penalty sets in.
        entropy_weight: of that penalty, per nat missing.
    """

    clip: float = 0.2
    kl_weight: float = 0.1
    entropy_floor: float = 0.3
    entropy_weight: float = 1.0


@dataclass(frozen=True)
class Episodes:
    """What was drawn and what it earned; all [n].

    Attributes:
        log_drawn: log-probability under the policy that drew.
        log_prior: log-probability under the prior.
        rewards: any scale: they are compared within a group only.
        groups: number of the group of each, drawn from one skeleton or under one condition.
    """

    log_drawn: torch.Tensor
    log_prior: torch.Tensor
    rewards: torch.Tensor
    groups: torch.Tensor


def advantages(rewards: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Rewards [n] less the mean of their group, over its deviation; 0 in groups whose rewards are equal."""
    found = torch.zeros_like(rewards)
    for group in sorted(set(groups.tolist())):
        rows = groups == group
        deviation = rewards[rows].std(correction=0)
        if deviation > EQUAL:
            found[rows] = (rewards[rows] - rewards[rows].mean()) / deviation
    return found


def divergence(log_policy: torch.Tensor, log_prior: torch.Tensor) -> torch.Tensor:
    """KL divergence of a policy from the prior, by its own samples, in nats [n].

    Never negative, unbiased where the policy itself drew (k3 of Schulman, http://joschu.net/blog/kl-approx.html).
    """
    gap = log_prior - log_policy
    return gap.exp() - gap - 1.0


def loss(how: Objective, log_policy: torch.Tensor, entropies: torch.Tensor, episodes: Episodes) -> torch.Tensor:
    """What a step makes smaller.

    Args:
        how: weights and limits.
        log_policy: log-probability of each sample under the policy that learns, with gradient [n].
        entropies: mean entropy of the choices of each sample, likewise [n].
        episodes: what was drawn.
    """
    ratios = (log_policy - episodes.log_drawn).exp()
    gains = advantages(episodes.rewards, episodes.groups)
    clipped = ratios.clamp(1.0 - how.clip, 1.0 + how.clip)
    gained = torch.minimum(ratios * gains, clipped * gains).mean()
    missing = (how.entropy_floor - entropies.mean()).clamp_min(0.0)
    return how.kl_weight * divergence(log_policy, episodes.log_prior).mean() + how.entropy_weight * missing - gained
