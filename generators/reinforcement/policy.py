"""What draws and learns: the Protocol of policies, and the steps by which one follows its rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal, Record
from redoxa.generators.choice import Choice, Foreseen
from redoxa.generators.reinforcement.objective import Episodes, Objective, loss


class Episode(Record):
    """The choices by which a crystal came about; each kind of policy adds its own.

    Attributes:
        log_probability: under the policy that drew, in nats.
        group: episodes of one group are compared: they had the same to choose from.
    """

    log_probability: float
    group: int


E = TypeVar("E", bound=Episode)


@dataclass(frozen=True)
class Drawn(Generic[E]):
    """A round of draws.

    Attributes:
        episodes: what may be screened.
        crystals: of each, as drawn, unrelaxed.
        foreseen: of each, where the policy foresees anything; else empty.
        formulas: reduced ones of all draws in their order, those of refused ones too.
    """

    episodes: list[E] = field(default_factory=list)
    crystals: list[Crystal] = field(default_factory=list)
    foreseen: list[Foreseen] = field(default_factory=list)
    formulas: list[str] = field(default_factory=list)


class Policy(Protocol[E]):
    """Draws crystals by choices whose probability it knows."""

    name: str
    """Of the generator that takes its weights."""
    file: str
    """What its weights are called."""
    episode: type[E]
    """What it gives, to be read back from files."""
    foresees: bool
    """Whether it can choose the best of several, and imagine."""

    def draw(self, n: int, rng: np.random.Generator, choice: Choice | None = None) -> Drawn[E]:
        """At most n new crystals.

        Raises:
            GenerationError: nothing at all suits what is asked for.
        """
        ...

    def imagine(self, n: int, rng: np.random.Generator, /) -> tuple[list[E], list[Foreseen | None]]:
        """Draws of which no crystal is made, and what is foreseen of them; None of what would be refused.

        Raises:
            GenerationError: nothing at all suits what is asked for, or this policy foresees nothing.
        """
        ...

    def log_probability(self, episodes: Sequence[E]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability of the choices of each, and their mean entropy; nats, with gradient [n]."""
        ...

    def log_prior(self, episodes: Sequence[E]) -> torch.Tensor:
        """Log-probability under the weights that learning began with, without gradient [n]."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What learns."""
        ...

    def save(self, path: Path) -> None:
        """Write weights that generators take."""
        ...

    def load(self, path: Path) -> None:
        """Go on with such weights.

        Raises:
            InputError: not weights of this policy.
        """
        ...


@dataclass(frozen=True)
class Steps:
    """How a policy learns from one round.

    Attributes:
        steps: of the optimiser, each on all episodes.
        rate: learning rate.
        objective: what is followed.
    """

    steps: int = 8
    rate: float = 1e-2
    objective: Objective = field(default_factory=Objective)


def learn(
    policy: Policy[E], episodes: Sequence[E], rewards: Sequence[float], how: Steps, on_step: OnStep
) -> list[float]:
    """Let a policy follow the rewards of what it drew; returns the loss before each step.

    Where the loss is no number any more, fewer steps are done.

    Args:
        policy: changed in place.
        episodes: drawn by it as it is.
        rewards: of each.
        how: steps, rate and objective.
        on_step: called with (done, total).
    """
    drawn = Episodes(
        log_drawn=torch.tensor([one.log_probability for one in episodes]),
        log_prior=policy.log_prior(episodes),
        rewards=torch.tensor(list(rewards)),
        groups=torch.tensor([one.group for one in episodes]),
    )
    # Begun anew in each round, so that a round follows from its weights and episodes alone.
    optimiser = torch.optim.Adam(policy.parameters(), lr=how.rate)
    losses: list[float] = []
    for step in range(how.steps):
        optimiser.zero_grad()
        now = loss(how.objective, *policy.log_probability(episodes), drawn)
        if not torch.isfinite(now):  # so far from where it drew that nothing can be learned: the guards will tell
            break
        now.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(now.detach()))
        on_step(step + 1, how.steps)
    return losses
