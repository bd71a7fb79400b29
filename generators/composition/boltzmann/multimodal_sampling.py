"""Gibbs sampling of formulas and modalities in a deep machine, whatever is clamped; and its partition function."""

from __future__ import annotations

import math

import numpy as np
import torch

from redoxa.generators.composition.boltzmann.ais import (
    Anneal,
    log_partition_of_chain,
    standing_still,
    standing_still_formulas,
)
from redoxa.generators.composition.boltzmann.chain import Asked, Warmth, chain_of, redrawn
from redoxa.generators.composition.boltzmann.deep import flipped
from redoxa.generators.composition.boltzmann.multimodal import Dbm, Means, State
from redoxa.generators.composition.boltzmann.network import Tables, halved, hidden_part
from redoxa.generators.composition.grammar import demand


def means_of(network: Dbm, state: State) -> Means:
    """A state as shares and units."""
    return Means(network.shares(state.bins), state.units)


@torch.no_grad()
def sweep_all(
    network: Dbm,
    tables: Tables,
    state: State,
    asked: Asked,
    generator: torch.Generator | None,
    allowed: torch.Tensor | None = None,
    warmth: Warmth | None = None,
) -> tuple[State, torch.Tensor]:
    """First hidden units given all else, then all else given those.

    Args:
        network: the machine.
        tables: of the machine on formulas in it.
        state: what satisfies what is asked.
        asked: masks of formulas.
        generator: the source of randomness; None for torch's global one.
        allowed: bins that may be, of all modalities side by side [bins]; all, by default.
        warmth: how much of the hidden units is at work; all, by default.

    Returns:
        The new state, and which formulas were drawn anew [B].
    """
    inputs = network.inputs(network.lower.inputs(tables, state.slots), means_of(network, state))
    beta = 1.0 if warmth is None else warmth.beta
    hidden = flipped(torch.tanh(beta * inputs / 2) / 2, generator)
    if warmth is not None:
        hidden = beta * hidden + (1 - beta) * warmth.usual
    slots, new = redrawn(chain_of(network.lower, tables, hidden, asked), state.slots, asked, generator)
    units = flipped(torch.tanh((hidden @ network.weight + network.unit_bias) / 2) / 2, generator)
    return State(slots, _bins(network, hidden, allowed, generator), units), new


def _bins(
    network: Dbm, hidden: torch.Tensor, allowed: torch.Tensor | None, generator: torch.Generator | None
) -> torch.Tensor:
    """Of each modality, one draw given hidden units [B,hidden]: int64 [B,modalities]."""
    logits = network.bin_bias + hidden @ network.bins.T
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    drawn = [
        torch.multinomial(part.softmax(1), 1, generator=generator) for part in torch.split(logits, network.sizes, 1)
    ] if network.sizes else []  # fmt: skip
    return torch.cat(drawn, 1) if drawn else torch.zeros(len(hidden), 0, dtype=torch.int64)


def usual_of(network: Dbm, tables: Tables) -> torch.Tensor:
    """The mean of the first hidden units, over the chains [hidden]."""
    chains = network.chains
    inputs = network.inputs(network.lower.inputs(tables, chains.slots), means_of(network, chains))
    return torch.tanh(inputs / 2).mean(0) / 2


def begun(network: Dbm, slots: torch.Tensor) -> State:
    """A state with these formulas and anything else, for a sweep that does not look at it."""
    bins = torch.zeros(len(slots), len(network.sizes), dtype=torch.int64)
    return State(slots, bins, torch.zeros(len(slots), network.config.hidden))


@torch.no_grad()
def log_partition_of_dbm(network: Dbm, anneal: Anneal) -> tuple[float, float]:
    """Logarithm of the sum of all weights, and its standard error, in nats, by annealed importance sampling.

    The way there begins where the first hidden units stand still at their mean, and all else is independent.

    Raises:
        data.errors.GenerationError: that machine writes hardly any formula of the grammar.
    """
    generator = torch.Generator().manual_seed(anneal.seed)
    lower, tables, asked = network.lower, network.tables(), Asked.of(demand(network.grammar))
    usual = usual_of(network, tables)
    slots = standing_still_formulas(lower, tables, asked, anneal.chains, generator, usual)
    state, _ = sweep_all(network, tables, begun(network, slots), asked, generator, None, Warmth(0.0, usual))
    logs = torch.zeros(anneal.chains, dtype=torch.float64)
    betas = np.linspace(0.0, 1.0, anneal.temperatures + 1).tolist()
    for cold, warm in zip(betas[1:], betas, strict=False):
        inputs = network.inputs(lower.inputs(tables, state.slots), means_of(network, state))
        logs += (hidden_part(cold * inputs) - hidden_part(warm * inputs) - (cold - warm) * (inputs @ usual)).double()
        if cold < 1:
            state, _ = sweep_all(network, tables, state, asked, generator, None, Warmth(cold, usual))
    weights = (logs - logs.max()).exp()
    mean = float(weights.mean())
    base = log_partition_of_chain(lower, standing_still(tables, usual)) + float(usual @ tables.hidden)
    units = network.unit_bias + usual @ network.weight
    base += len(usual) * math.log(2) + float(hidden_part(units[None])) + _log_sum(network, usual)
    return base + float(logs.max()) + math.log(mean), float(weights.std()) / mean / math.sqrt(len(weights))


def _log_sum(network: Dbm, hidden: torch.Tensor) -> float:
    """Over the bins of all modalities, given hidden units [hidden]."""
    logits = network.bin_bias + network.bins @ hidden
    return sum(float(part.logsumexp(0)) for part in torch.split(logits, network.sizes)) if network.sizes else 0.0


def settled_dbm(network: Dbm, anneal: Anneal) -> None:
    """Round the weights as the file has them, and estimate the partition function."""
    halved(network)
    network.get_buffer("partition").copy_(torch.tensor(log_partition_of_dbm(network, anneal)))
