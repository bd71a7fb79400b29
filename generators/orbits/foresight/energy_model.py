"""How near the hull a decorated skeleton will lie: an energy over orbit graphs, learned from real crystals and losers.

Two numbers come out. The distance from the hull is a regression on labels. The energy is of an energy-based model
(arXiv:2101.03288): real crystals near the hull lie lower than the same crystals with one orbit redrawn, and what was
relaxed and turned out near lies below what did not. Only its order means something; it ranks what is drawn before the
potential is asked.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from redoxa.data.errors import InputError
from redoxa.generators.checkpoint import Tensors, read_tensors
from redoxa.generators.orbits.decoration.decorator import Decorator, DecoratorConfig
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch

PREFIX = "energy."
"""Of its tensors in a checkpoint of `orbits`, and its key in the header."""

DROPOUT = 0.1


class Stability(NamedTuple):
    """What is foreseen of b crystals.

    Attributes:
        distance_eV_per_atom: from the hull [b].
        energy: lower for what is likelier to lie near the hull [b].
    """

    distance_eV_per_atom: torch.Tensor
    energy: torch.Tensor


class EnergyModel(nn.Module):
    """A decorator's messages, read out for the crystal as a whole."""

    def __init__(self, config: DecoratorConfig) -> None:
        super().__init__()
        self.config, hidden = config, config.hidden
        self.body = Decorator(config)
        for unread in ("types", "volume"):  # what a decorator reads out
            setattr(self.body, unread, nn.Identity())
        self.head = nn.Sequential(
            nn.Linear(3 * hidden, hidden), nn.SiLU(), nn.Dropout(DROPOUT), nn.Linear(hidden, len(Stability._fields))
        )

    def begin_with(self, decorator: Decorator) -> None:
        """Take the messages of a trained decorator of the same size."""
        own = self.body.state_dict()
        self.body.load_state_dict({name: t for name, t in decorator.state_dict().items() if name in own})

    def forward(self, types: torch.Tensor, graphs: GraphBatch) -> Stability:
        """Of elements [b,o] on orbits."""
        h, state, share = self.body.embed(types, graphs)
        pooled = torch.cat([(h * share.unsqueeze(-1)).sum(1), h.amax(1), state], dim=1)
        return Stability(*self.head(pooled).unbind(1))


def energy_tensors(network: EnergyModel) -> tuple[Tensors, dict[str, str]]:
    """What a checkpoint of `orbits` holds of it, in half precision: tensors and header."""
    tensors = {f"{PREFIX}{name}": parameter.half() for name, parameter in network.named_parameters()}
    return tensors, {PREFIX: json.dumps(asdict(network.config), sort_keys=True)}


def load_energy_model(path: Path) -> EnergyModel | None:
    """Read it from a checkpoint of `orbits`; None where there is none.

    Raises:
        InputError: the file cannot be read, or its weights do not fit.
    """
    tensors, header = read_tensors(path)
    if PREFIX not in header:
        return None
    with torch.random.fork_rng(devices=[]):  # reading a file must not move the caller's randomness
        network = EnergyModel(DecoratorConfig(**json.loads(header[PREFIX])))
    try:
        network.load_state_dict(
            {name.removeprefix(PREFIX): t.float() for name, t in tensors.items() if name.startswith(PREFIX)}
        )
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the energy model: {error}") from error
    return network.eval()
