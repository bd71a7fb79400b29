"""Which skeletons are filled more often than they are found: what reinforcement has learned of them.

A change of the log weight of each skeleton (`generators.orbits.blanks`), linear in what the decorator sees of it while
all its orbits are open. Only checkpoints that `redoxa reinforce` wrote hold one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from redoxa.data.errors import InputError
from redoxa.generators.checkpoint import Tensors, read_tensors
from redoxa.generators.orbits.blanks import Blank, batches
from redoxa.generators.orbits.decoration.decorator import Decorator

PREFIX = "preference."
"""Of its tensors in a checkpoint of `orbits`."""

STEEP = 10.0
"""By which the change is larger than its weights, so that these learn as fast as those of a network."""


class Preference(nn.Module):
    """Change of the log weights of skeletons, none at first.

    Args:
        looks: what is seen of skeletons [n,w]; their mean and spread are taken off. They do not learn.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, looks: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", looks.mean(0))
        self.register_buffer("spread", looks.std(0, correction=0) + 1e-4)
        self.weight = nn.Parameter(torch.zeros(looks.shape[1]))

    def forward(self, looks: torch.Tensor) -> torch.Tensor:
        """Of skeletons [n,w], in nats [n]."""
        steep = STEEP / len(self.weight) ** 0.5
        return torch.mv((looks - self.mean) / self.spread, steep * self.weight)


def look(network: Decorator, blanks: Sequence[Blank]) -> torch.Tensor:
    """What a decorator sees of empty skeletons [n,w]."""
    found: dict[int, torch.Tensor] = {}
    for places, types, graphs in batches(blanks):
        with torch.no_grad():
            h, state, share = network.embed(types, graphs)
            rows = torch.cat([(h * share.unsqueeze(-1)).sum(1), h.amax(1), state], dim=1)
        found.update(zip(places, rows, strict=True))
    return torch.stack([found[i] for i in range(len(blanks))])


def preference_tensors(preference: Preference) -> Tensors:
    """What a checkpoint of `orbits` holds of it."""
    return {f"{PREFIX}{name}": tensor.detach().clone() for name, tensor in preference.state_dict().items()}


def load_preference(path: Path) -> Preference | None:
    """Read it from a checkpoint of `orbits`; None where there is none.

    Raises:
        InputError: the file cannot be read, or holds something else under these names.
    """
    tensors = {name.removeprefix(PREFIX): t for name, t in read_tensors(path)[0].items() if name.startswith(PREFIX)}
    if not tensors:
        return None
    try:
        preference = Preference(tensors["mean"].unsqueeze(0))
        preference.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{path}: what it holds of skeletons does not fit: {error}") from error
    return preference.requires_grad_(False)
