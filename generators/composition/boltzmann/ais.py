"""The partition function of a machine, by annealed importance sampling (Neal; Salakhutdinov and Murray)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from redoxa.data.errors import GenerationError
from redoxa.generators.composition.boltzmann.chain import Asked, Warmth, sweep
from redoxa.generators.composition.boltzmann.network import Rbm, Tables, hidden_part
from redoxa.generators.composition.grammar import demand


@dataclass(frozen=True)
class Anneal:
    """How thoroughly to anneal.

    Attributes:
        chains: that are annealed side by side.
        temperatures: from hidden units that stand still to the whole machine.
        seed: of the chains.
    """

    chains: int = 400
    temperatures: int = 1000
    seed: int = 0


ROUNDS = 300
"""Sweeps in which each chain must be drawn anew once, to begin with."""


@torch.no_grad()
def log_partition(network: Rbm, anneal: Anneal) -> tuple[float, float]:
    """Logarithm of the sum of the weights of all formulas of the grammar, and its standard error, in nats.

    The way there begins at the machine whose hidden units stand still at their mean, which is a chain without them.

    Raises:
        GenerationError: that one writes hardly any formula of the grammar.
    """
    generator = torch.Generator().manual_seed(anneal.seed)
    tables, asked = network.tables(), Asked.of(demand(network.grammar))
    usual = network.usual(tables)
    slots = _standing_still(network, tables, asked, anneal.chains, generator)
    logs = torch.zeros(anneal.chains, dtype=torch.float64)
    betas = np.linspace(0.0, 1.0, anneal.temperatures + 1).tolist()
    for cold, warm in zip(betas[1:], betas, strict=False):
        inputs = network.inputs(tables, slots)
        steps = hidden_part(cold * inputs) - hidden_part(warm * inputs) - (cold - warm) * (inputs @ usual)
        logs += steps.double()
        if cold < 1:
            slots, _ = sweep(network, tables, slots, asked, generator, Warmth(cold, usual))
    weights = (logs - logs.max()).exp()
    mean = float(weights.mean())
    error = float(weights.std()) / mean / math.sqrt(len(weights))
    base = log_partition_of_chain(network, standing_still(tables, usual))
    base += float(usual @ tables.hidden) + network.config.hidden * math.log(2)
    return base + float(logs.max()) + math.log(mean), error


def standing_still(tables: Tables, usual: torch.Tensor) -> Tables:
    """The tables where hidden units stand still at `usual`: what they do is in the biases of rows."""
    return tables._replace(bias=tables.bias + tables.rows @ usual)


def _standing_still(network: Rbm, tables: Tables, asked: Asked, n: int, generator: torch.Generator) -> torch.Tensor:
    """Formulas of the machine whose hidden units stand still, drawn exactly [n,slots,2]."""
    slots, left = torch.zeros(n, network.grammar.slots, 2, dtype=torch.int64), torch.ones(n, dtype=torch.bool)
    warmth = Warmth(0.0, network.usual(tables))
    for _ in range(ROUNDS):
        made, new = sweep(network, tables, slots, asked, generator, warmth)
        slots[left & new] = made[left & new]
        left &= ~new
        if not left.any():
            return slots
    raise GenerationError("the machine writes hardly any formula of the grammar while its hidden units stand still")


def log_partition_of_chain(network: Rbm, tables: Tables) -> float:
    """The same, of the biases alone: exact, in nats."""
    return float(log_partitions_of_chains(network, tables, torch.zeros(1, network.config.hidden)))


TOGETHER = 64
"""Chains that are summed at once."""


@torch.no_grad()
def log_partitions_of_chains(network: Rbm, tables: Tables, hidden: torch.Tensor) -> torch.Tensor:
    """Logarithm of the sum over formulas of what they weigh with hidden units [B,hidden]: exact, in nats, float64 [B].

    The sum over formulas goes from slot to slot, by the last code and the atoms so far. That counts have no common
    divisor is by inclusion and exclusion: the sum over d of mu(d) times that over formulas whose counts d divides.
    """
    return torch.cat([_log_partitions(network, tables, some) for some in torch.split(hidden, TOGETHER)])


def _log_partitions(network: Rbm, tables: Tables, hidden: torch.Tensor) -> torch.Tensor:
    grammar, (n_codes, n_counts) = network.grammar, tables.pairs.shape
    rows = (tables.bias + hidden @ tables.rows.T).double()
    sizes = [grammar.slots * n_codes, grammar.slots * n_counts, len(network.kin.weight)]
    codes, counts, kin = torch.split(rows, sizes, 1)
    shared = tables.pairs.double() + kin.reshape(len(rows), -1, n_counts)[:, network.groups]
    asked = Asked.of(demand(grammar))
    logs = codes.reshape(-1, grammar.slots, n_codes, 1) + counts.reshape(-1, grammar.slots, 1, n_counts)
    logs = torch.where(asked.counts, logs + shared[:, None], -torch.inf)
    shift = logs.amax((2, 3))
    weights = (logs - shift[:, :, None, None]).exp()
    allowed = torch.where(asked.follows, tables.follows.double().exp(), 0.0)
    divisors = [d for d in range(1, grammar.max_atoms + 1) if _moebius(d)]
    sums = [_moebius(d) * _sum_of_multiples(weights[..., ::d], allowed, asked.first) for d in divisors]
    return torch.stack(sums).sum(0).log() + shift.sum(1)


def _sum_of_multiples(weights: torch.Tensor, allowed: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """Over formulas [B], from weights of code and count in each slot [B,slots,elements+1,counts].

    Counts are multiples of a divisor, which is the unit of atoms here.
    """
    most = weights.shape[3] - 1
    sums = weights[:, 0] * first[:, None]  # by the last code and the atoms so far
    for weight in weights.unbind(1)[1:]:
        before = allowed.T @ sums
        sums = torch.zeros_like(before)
        for count in range(most + 1):
            sums[..., count:] += weight[..., count, None] * before[..., : most + 1 - count]
    return sums.sum((1, 2))


def _moebius(n: int) -> int:
    """Of inclusion and exclusion: 0 where a square divides n, else the sign by the number of its prime factors."""
    sign = 1
    for prime in range(2, n + 1):
        if n % prime == 0:
            n //= prime
            sign = -sign
            if n % prime == 0:
                return 0
    return sign
