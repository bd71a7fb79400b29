"""A deep Boltzmann machine (Salakhutdinov and Hinton) on a formula and what else is known of a material, in bins.

The machine on formulas (`network.Rbm`) with weights for the amounts of elements, its hidden units h joined with a
softmax group for each modality and with a second layer of hidden units g, all learned together:

    -E = visible(formula) + bias . m + offset . g + h . (inputs(formula) + m M + W g)

m is 1 in the bin of each modality. Given h, the formula, the modalities and g are independent, and the formula is the
exact chain of `chain`; given those, so are the units h, which are therefore summed out wherever they can be. What is
missing of m, and g, stand at their means (mean field): so what is told of a formula is a lower bound of its weight.
Units are -1/2 or 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import dropout, one_hot, softplus

from redoxa.data.tables.materials import Modality
from redoxa.generators.checkpoint import load_network, save_network
from redoxa.generators.composition.boltzmann.network import Rbm, Tables, hidden_part, rbm_of
from redoxa.generators.composition.network import ElementVectors

NAME = "composition-dbm"


@dataclass(frozen=True)
class DbmConfig:
    """Size of what stands on the machine on formulas, and how all is trained.

    Attributes:
        hidden: units of the second layer.
        iterations: of mean field.
        prior: weight in the loss of the squares of all parameters but biases.
        telling: weight in the loss of the nats of hidden modalities, beside the likelihood.
        drop: share of the first hidden units that are left out while modalities are told in training.
    """

    hidden: int = 128
    iterations: int = 4
    prior: float = 1e-4
    telling: float = 20.0
    drop: float = 0.1


class State(NamedTuple):
    """Samples of everything but the first hidden units.

    Attributes:
        slots: formulas, int64 [B,slots,2].
        bins: of each modality, int64 [B,modalities].
        units: of the second layer [B,hidden].
    """

    slots: torch.Tensor
    bins: torch.Tensor
    units: torch.Tensor


class Means(NamedTuple):
    """What mean field finds.

    Attributes:
        shares: of the bins of all modalities side by side, 1 in a known one [B,bins].
        units: means of the second layer [B,hidden].
    """

    shares: torch.Tensor
    units: torch.Tensor


class Dbm(nn.Module):
    """The machine.

    Args:
        config: size.
        lower: the machine on formulas, trained before, which goes on to learn; its chains are those of the whole.
        modalities: beside the formula; none will do.
    """

    def __init__(self, config: DbmConfig, lower: Rbm, modalities: Sequence[Modality]) -> None:
        super().__init__()
        self.config, self.grammar, self.modalities = config, lower.grammar, tuple(modalities)
        self.sizes = [one.bins for one in modalities]
        self.lower, first, chains = lower, lower.config.hidden, lower.config.chains
        self.weight = nn.Parameter(torch.randn(first, config.hidden) * 0.3 / math.sqrt(first))
        self.bins = nn.Parameter(torch.randn(sum(self.sizes), first) * 0.1)
        self.amounts = ElementVectors(self.grammar, first)
        for parameter in self.amounts.parameters():
            nn.init.zeros_(parameter)
        self.unit_bias, self.bin_bias = (
            nn.Parameter(torch.zeros(config.hidden)),
            nn.Parameter(torch.zeros(len(self.bins))),
        )
        self.register_buffer("chain_bins", torch.zeros(chains, len(self.sizes), dtype=torch.int64))
        self.register_buffer("chain_units", torch.randint(2, (chains, config.hidden)) - 0.5)
        self.register_buffer("partition", torch.full((2,), torch.nan, dtype=torch.float64))

    def begin_with(self, bins: torch.Tensor) -> None:
        """Fit the biases to bins of materials [n,modalities], -1 where missing, and begin the chains with them."""
        chain_bins = self.get_buffer("chain_bins")
        for k, part in enumerate(torch.split(self.bin_bias.detach(), self.sizes)):
            counts = torch.bincount(bins[:, k][bins[:, k] >= 0], minlength=len(part)) + 1.0
            part.copy_(counts.log() - counts.log().mean())
            chain_bins[:, k] = torch.multinomial(counts, len(chain_bins), True)

    def tables(self) -> Tables:
        """Those of the machine on formulas, with weights for the amounts of elements.

        Energies and volumes go by amounts, which that machine knows by slot and by group only.
        """
        return self.lower.tables()._replace(amounts=self.amounts())

    @property
    def chains(self) -> State:
        """Samples of the machine that are kept through all of training."""
        return State(self.lower.get_buffer("chains"), self.get_buffer("chain_bins"), self.get_buffer("chain_units"))

    def keep(self, chains: State) -> None:
        """Put others into their place."""
        for mine, theirs in zip(self.chains, chains, strict=True):
            mine.copy_(theirs)

    def shares(self, bins: torch.Tensor) -> torch.Tensor:
        """1 in the bin of each modality, all 0 where it is missing [B,bins], from bins [B,modalities]."""
        parts = [one_hot(column + 1, size + 1)[:, 1:] for column, size in zip(bins.T, self.sizes, strict=True)]
        return torch.cat(parts, 1).to(self.bins.dtype) if parts else self.bins.new_zeros(len(bins), 0)

    def softmaxes(self, logits: torch.Tensor) -> torch.Tensor:
        """Of each modality by itself [B,bins]."""
        parts = torch.split(logits, self.sizes, 1) if self.sizes else [logits]
        return torch.cat([part.softmax(1) for part in parts], 1)

    def inputs(self, formula: torch.Tensor, means: Means) -> torch.Tensor:
        """Of the first hidden units [B,hidden], from what the formula adds to them and states or means of the rest."""
        return formula + means.shares @ self.bins + means.units @ self.weight.T

    def log_weight(self, tables: Tables, slots: torch.Tensor, means: Means) -> torch.Tensor:
        """Minus the free energy of formulas with states or means of the rest, in nats [B]; the first layer is summed.

        Of means, it lacks their entropy (`entropy`) to be a lower bound.
        """
        inputs = self.inputs(self.lower.inputs(tables, slots), means)
        rest = means.shares @ self.bin_bias + means.units @ self.unit_bias
        return self.lower.visible(tables, slots) + rest + hidden_part(inputs)

    def settle(self, formula: torch.Tensor, bins: torch.Tensor, kept: torch.Tensor | None = None) -> Means:
        """Means of what is missing of bins [B,modalities], -1 there, and of the second layer.

        Args:
            formula: what it adds to the inputs of the first hidden units [B,hidden].
            bins: what is known.
            kept: factor of each first hidden unit, in training with some left out [B,hidden].
        """
        known = self.shares(bins)
        missing = (bins < 0).repeat_interleave(torch.tensor(self.sizes, dtype=torch.int64), 1)
        means = Means(known + missing * self.softmaxes(self.bin_bias[None]), formula.new_zeros(1, self.config.hidden))
        for _ in range(self.config.iterations):
            hidden = torch.tanh(self.inputs(formula, means) / 2) / 2
            hidden = hidden if kept is None else hidden * kept
            units = torch.tanh((hidden @ self.weight + self.unit_bias) / 2) / 2
            means = Means(known + missing * self.softmaxes(self.bin_bias + hidden @ self.bins.T), units)
        return means

    def tell(self, k: int, formula: torch.Tensor, means: Means, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Log probabilities of the bins of a modality [B,bins of it], all else at its means; what it has is ignored.

        The first hidden units are summed out for each bin: exact where all else is known and the second layer is cut.
        """
        place = slice(sum(self.sizes[:k]), sum(self.sizes[: k + 1]))
        others = means.shares.clone()
        others[:, place] = 0
        inputs = self.inputs(formula, Means(others, means.units))[:, None] + self.bins[place]
        parts = softplus(inputs) - inputs / 2
        summed = (parts if kept is None else parts * kept[:, None]).sum(2)
        return (self.bin_bias[place] + summed).log_softmax(1)

    def left_out(self, formula: torch.Tensor) -> torch.Tensor | None:
        """Factors of hidden units of which a share is left out [B,hidden], by torch's common randomness."""
        return dropout(torch.ones_like(formula), self.config.drop) if self.training and self.config.drop else None

    @torch.no_grad()
    def log_bound(self, slots: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
        """A lower bound of the log weight of formulas [B,slots,2] and what is known of them, in nats [B].

        Bins are those of modalities [B,modalities], -1 where one is missing: that is summed out.
        """
        tables = self.tables()
        means = self.settle(self.lower.inputs(tables, slots), bins)
        return self.log_weight(tables, slots, means) + entropy(means)

    def squares(self) -> torch.Tensor:
        """Sum of the squares of all parameters but biases."""
        return torch.as_tensor(
            self.lower.squares() + sum(p.square().sum() for p in (self.weight, self.bins, *self.amounts.parameters()))
        )

    @property
    def log_z(self) -> float:
        """Logarithm of the sum of all weights, in nats; not a number before it has been estimated."""
        return float(self.get_buffer("partition")[0])


def entropy(means: Means) -> torch.Tensor:
    """Of bins and units that are independent with these means, in nats [B]."""
    chance = (means.units + 0.5).clamp(1e-7, 1 - 1e-7)
    units = torch.special.entr(chance) + torch.special.entr(1 - chance)
    return torch.as_tensor(units.sum(1) + torch.special.entr(means.shares).sum(1))


def save_dbm(path: Path, network: Dbm) -> None:
    """Write the machine, with the edges of the bins and their units."""
    settings = {
        "config": asdict(network.config),
        "lower": {"config": asdict(network.lower.config), "grammar": asdict(network.grammar)},
        "modalities": [asdict(one) for one in network.modalities],
    }
    save_network(path, NAME, network, settings)


def load_dbm(path: Path) -> Dbm:
    """Read the machine.

    Raises:
        data.errors.InputError: not a checkpoint of this program.
    """

    def build(settings: dict[str, Any], _: Mapping[str, torch.Tensor]) -> Dbm:
        modalities = [Modality(one["name"], tuple(one["edges"]), tuple(one["kinds"])) for one in settings["modalities"]]
        return Dbm(DbmConfig(**settings["config"]), rbm_of(settings["lower"]), modalities)

    return load_network(path, NAME, build)
