"""How likely the choices were by which elements came onto the orbits of skeletons."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from redoxa.generators.orbits.decoration.decorator import Drawing


@dataclass(frozen=True)
class Turn:
    """What one turn of revealing saw, of episodes with equally many orbits n.

    Attributes:
        hidden: orbits that are open [n,o].
        where: the orbit that is filled [n].
        seen: of the network's body, which does not learn [n,o,hidden].
    """

    hidden: torch.Tensor
    where: torch.Tensor
    seen: torch.Tensor


@dataclass(frozen=True)
class Scene:
    """Episodes with equally many orbits, by their places among all, and all turns of their revealing."""

    places: torch.Tensor
    types: torch.Tensor
    placed: torch.Tensor
    turns: list[Turn]


def log_choices(types: nn.Module, scene: Scene, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of all choices, and their mean entropy, of episodes with equally many orbits [n], [n].

    Choices are drawn as `decorator.reveal` draws them.

    Args:
        types: the last layer, with gradient where it learns.
        scene: what it sees.
        drawing: what may be drawn.
    """
    columns, rows = torch.nonzero(drawing.allowed).squeeze(1), torch.arange(len(scene.types))
    logs, entropies = torch.zeros(len(rows)), torch.zeros(len(rows))
    for turn in scene.turns:
        logits, element = types(turn.seen), scene.types[rows, turn.where]
        of_types = (logits[rows, turn.where][:, columns] / drawing.temperature).log_softmax(1)
        column = torch.searchsorted(columns, element)
        of_orbits = logits.log_softmax(-1)[rows, :, element].masked_fill(~turn.hidden, -torch.inf).log_softmax(1)
        chose_orbit = scene.placed[rows, turn.where]
        logs = logs + torch.where(chose_orbit, of_orbits[rows, turn.where], of_types[rows, column])
        entropies = entropies + torch.where(chose_orbit, _entropy(of_orbits), _entropy(of_types))
    return logs, entropies / scene.types.shape[1]


def _entropy(logs: torch.Tensor) -> torch.Tensor:
    """Entropy in nats by row, of log-probabilities that may be minus infinity."""
    return -(logs.exp() * logs.clamp_min(-1e4)).sum(1)
