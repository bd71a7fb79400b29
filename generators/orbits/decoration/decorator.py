"""Which elements go on the orbits of a skeleton: masked diffusion over the graph of orbits.

Elements of some orbits are hidden, and the network says what they are, from the geometry, the elements that are known
and the charges that these can take. Orbits are revealed one after another in random order, which samples the absorbing
diffusion exactly (any-order autoregression: Hoogeboom et al., arXiv:2110.02037). A second head says how the volume
differs from that of the elements' own volumes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from redoxa.data.errors import InputError
from redoxa.generators.backbone import BackboneConfig, Layer, element_features
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.graph import MASK, N_TYPES
from redoxa.generators.orbits.decoration.orbit_graph import CRYSTAL_FEATURES, SHELLS, SITE_FEATURES, GraphBatch


@dataclass(frozen=True)
class DecoratorConfig:
    """Size of the network.

    Attributes:
        hidden: width of an orbit.
        edge: width of a message.
        layers: rounds of messages.
        dropout: share of hidden numbers left out in training.
    """

    hidden: int = 128
    edge: int = 96
    layers: int = 4
    dropout: float = 0.1


class Decorator(nn.Module):
    """Logits of the elements on each orbit, and the logarithm of the volume over that of the elements' own volumes."""

    places: torch.Tensor
    charges: torch.Tensor

    def __init__(self, config: DecoratorConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        layer = BackboneConfig(hidden=hidden, edge=config.edge)
        self.register_buffer("places", element_features(), persistent=False)
        self.register_buffer("charges", _charges(), persistent=False)
        self.embedding = nn.Embedding(N_TYPES, hidden)
        self.place = nn.Linear(self.places.shape[1], hidden, bias=False)
        self.site = nn.Linear(SITE_FEATURES, hidden)
        self.state = nn.Sequential(nn.Linear(CRYSTAL_FEATURES + 3, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.layer_state = nn.Linear(hidden, hidden * config.layers)
        self.layers = nn.ModuleList(Layer(layer, len(SHELLS)) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(hidden)
        self.types = nn.Linear(hidden, N_TYPES)
        self.volume = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))

    def forward(self, types: torch.Tensor, graphs: GraphBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """What is hidden.

        Args:
            types: atomic numbers, `MASK` where hidden [b,o].
            graphs: of the crystals.

        Returns:
            Logits [b,o,N_TYPES] and log volume ratios [b], which mean something where all elements are known.
        """
        h, state, share = self.embed(types, graphs)
        pooled = torch.cat([(h * share.unsqueeze(-1)).sum(1), state], dim=1)
        return self.types(h), self.volume(pooled).squeeze(1)

    def embed(self, types: torch.Tensor, graphs: GraphBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Orbits [b,o,hidden] and crystals [b,hidden] as numbers, and each orbit's share of the atoms [b,o]."""
        share = graphs.atoms / graphs.atoms.sum(1, keepdim=True)
        known = (types != MASK).float()
        charge = (self.charges[types] * (share * known).unsqueeze(-1)).sum(1)
        state = self.state(torch.cat([graphs.crystal, (share * known).sum(1, keepdim=True), charge], dim=1))
        offsets = self.layer_state(functional.silu(state)).unsqueeze(1).chunk(self.config.layers, dim=-1)
        h = self.embedding(types) + self.place(self.places[types]) + self.site(graphs.sites)
        for layer, offset in zip(self.layers, offsets, strict=True):
            h = self.dropout(layer(h, graphs.shells, offset))
        return self.norm(h), state, share


def save_decorator(path: Path, network: Decorator) -> None:
    """Write a network for sampling, in half precision."""
    header = {"decorator": json.dumps(asdict(network.config), sort_keys=True)}
    write_tensors(path, {f"decorator.{name}": p.half() for name, p in network.named_parameters()}, header)


def load_decorator(path: Path) -> Decorator:
    """Read a network for sampling from a checkpoint of `orbits`.

    Raises:
        InputError: not a checkpoint of this program.
    """
    tensors, header = read_tensors(path)
    if "decorator" not in header:
        raise InputError(f"{path}: no checkpoint of `orbits`")
    settings = json.loads(header["decorator"])
    if other := set(settings) ^ {field.name for field in fields(DecoratorConfig)}:
        raise InputError(f"{path}: settings {', '.join(sorted(other))} do not fit this program")
    with torch.random.fork_rng(devices=[]):  # reading a file must not move the caller's randomness
        network = Decorator(DecoratorConfig(**settings))
    try:
        weights = {name.partition(".")[2]: t.float() for name, t in tensors.items() if name.startswith("decorator.")}
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the network: {error}") from error
    return network.eval()


@cache
def _charges() -> torch.Tensor:
    """Least and largest common oxidation state of each element [N_TYPES,2], in units of 4."""
    from pymatgen.core import Element

    table = torch.zeros(N_TYPES, 2)
    for z in range(1, N_TYPES):
        states = Element.from_Z(z).common_oxidation_states or (0,)
        table[z] = torch.tensor([min(states), max(states)]) / 4
    return table


def log_likelihood(
    network: Decorator, types: torch.Tensor, graphs: GraphBatch, generator: torch.Generator, orders: int = 4
) -> torch.Tensor:
    """Log-likelihood of the elements on all orbits, nats by crystal [b]: mean over random orders of revealing.

    Args:
        network: trained network.
        types: atomic numbers [b,o].
        graphs: of the crystals.
        generator: of the orders, which all crystals share, so that what one gets does not depend on the others.
        orders: how many.
    """
    total = torch.zeros(len(types))
    for _ in range(orders):
        turn = _turns(torch.Size((1, types.shape[1])), generator).expand(types.shape)
        for step in range(types.shape[1]):
            logits, _ = network(types.masked_fill(turn >= step, MASK), graphs)
            found = logits.log_softmax(-1).gather(-1, types.unsqueeze(-1)).squeeze(-1)
            total += (found * (turn == step)).sum(1) / orders
    return total


@dataclass(frozen=True)
class Drawing:
    """How hidden elements are drawn.

    Attributes:
        allowed: types that may be drawn, bool [N_TYPES].
        required: types that must occur in the end.
        temperature: below 1 gives fewer, likelier elements.
    """

    allowed: torch.Tensor
    required: frozenset[int] = frozenset()
    temperature: float = 1.0


@dataclass(frozen=True)
class Revealed:
    """Drawn types.

    Attributes:
        types: atomic numbers [b,o].
        last: orbit of each crystal that was drawn last [b].
        odds: log-probability of each type there, given the others [b,N_TYPES]; all 0 where none but required types
            were drawn.
        turns: when each orbit was revealed, counted from 0; -1 where it was given [b,o].
        placed: whether a required type was given an orbit there, which is a choice of the orbit [b,o].
    """

    types: torch.Tensor
    last: torch.Tensor
    odds: torch.Tensor
    turns: torch.Tensor
    placed: torch.Tensor


def reveal(
    network: Decorator, types: torch.Tensor, graphs: GraphBatch, drawing: Drawing, generator: torch.Generator
) -> Revealed:
    """Draw the hidden types [b,o], an orbit of each crystal at a time: the required ones first, each where it fits.

    Where all orbits but the required ones are given, more may be required than there are hidden ones; the others stay.
    """
    types, given = types.clone(), types != MASK
    last, odds = torch.zeros(len(types), dtype=torch.long), torch.zeros(len(types), N_TYPES)
    placed = torch.zeros_like(given)
    turns = torch.full_like(types, -1)
    for element in sorted(drawing.required):
        missing = (types != element).all(1) & (types == MASK).any(1)
        if bool(missing.any()):
            logits = network(types, graphs)[0].log_softmax(-1)[..., element]
            logits = logits.masked_fill((types != MASK) | ~missing.unsqueeze(1), -torch.inf)
            logits[~missing] = 0.0
            where = torch.multinomial(logits.softmax(1), 1, generator=generator)
            turns = torch.where(missing.unsqueeze(1), turns.scatter(1, where, placed.sum(1, keepdim=True)), turns)
            placed |= torch.zeros_like(placed).scatter(1, where, value=True) & missing.unsqueeze(1)
            types = torch.where(missing.unsqueeze(1), types.scatter(1, where, element), types)
    turn = _turns(types.shape, generator).masked_fill(types != MASK, types.shape[1])
    turn = turn.argsort(1).argsort(1).masked_fill(types != MASK, types.shape[1])
    turns = torch.where(given | placed, turns, turn + placed.sum(1, keepdim=True))
    for step in range(types.shape[1]):
        now = turn == step
        if not bool(now.any()):
            break
        rows = now.any(1)
        logits = network(types[rows], graphs[rows])[0][now[rows]] / drawing.temperature
        logs = logits.masked_fill(~drawing.allowed, -torch.inf).log_softmax(-1)
        types[now] = torch.multinomial(logs.exp(), 1, generator=generator).squeeze(1)
        last[rows], odds[rows] = now[rows].long().argmax(1), logs
    return Revealed(types, last, odds, turns, placed)


def _turns(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """A random order of the orbits of each crystal [b,o]."""
    return torch.rand(shape, generator=generator).argsort(1).argsort(1)
