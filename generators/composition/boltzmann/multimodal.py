"""A deep Boltzmann machine (Salakhutdinov and Hinton) on what is known of a material, in bins, given its formula.

    p(v, m) = p(v) p(m | v)

Formulas v are those of a machine of their own (`network.Rbm`), which stays as it is. The modalities m (a softmax group
each) and two layers of units h and g, of -1/2 or 1/2, are a deep Boltzmann machine whose biases a network of the
formula sets:

    -E(m, h, g | v) = (bias(v) + h M) . m + input(v) . h + h W g + offset . g

Any of m may be missing; it is then summed out, by mean field, as g always is. One machine of everything, trained by
contrastive divergence, was tried first: its energy may hold of a formula only what adds up over slots, or none could
be drawn exactly, and it told modalities 0.1 to 0.6 nats worse than a network of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import one_hot, softplus

from redoxa.data.tables.materials import Modality
from redoxa.generators.checkpoint import load_network, save_network
from redoxa.generators.composition.boltzmann.network import Rbm, rbm_of

NAME = "composition-dbm"


@dataclass(frozen=True)
class DbmConfig:
    """Size of the machine.

    Attributes:
        width: of the layers of the network that reads formulas.
        first: units h.
        second: units g.
        iterations: of mean field.
        drop: share of the numbers of the network that are left out in training.
    """

    width: int = 384
    first: int = 256
    second: int = 64
    iterations: int = 4
    drop: float = 0.3


class Reading(NamedTuple):
    """What a formula sets.

    Attributes:
        bins: biases of the bins of all modalities side by side [B,bins].
        units: inputs of the first units [B,first].
    """

    bins: torch.Tensor
    units: torch.Tensor


class Means(NamedTuple):
    """What mean field finds.

    Attributes:
        shares: of the bins of all modalities side by side, 1 in a known one [B,bins].
        units: means of the second units [B,second].
    """

    shares: torch.Tensor
    units: torch.Tensor


class Dbm(nn.Module):
    """The machine.

    Args:
        config: size.
        lower: the trained machine on formulas; it stands still.
        modalities: what may be known beside the formula; none will do.
    """

    def __init__(self, config: DbmConfig, lower: Rbm, modalities: Sequence[Modality]) -> None:
        super().__init__()
        self.config, self.grammar, self.modalities = config, lower.grammar, tuple(modalities)
        self.sizes = [one.bins for one in modalities]
        self.lower = lower.requires_grad_(False)
        columns, width, bins = (
            self.features(torch.zeros(1, 1, 2, dtype=torch.int64)).shape[1],
            config.width,
            sum(self.sizes),
        )
        self.network = nn.Sequential(
            nn.Linear(columns, width), nn.SiLU(), nn.Dropout(config.drop),
            nn.Linear(width, width), nn.SiLU(), nn.Dropout(config.drop),
        )  # fmt: skip
        self.to_bins, self.to_units = nn.Linear(width, bins), nn.Linear(width, config.first)
        self.bins = nn.Parameter(0.1 * torch.randn(bins, config.first))
        self.weight = nn.Parameter(torch.randn(config.first, config.second) * 0.3 / math.sqrt(config.first))
        self.offset = nn.Parameter(torch.zeros(config.second))
        self.register_buffer("middle", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    def begin_with(self, slots: torch.Tensor, bins: torch.Tensor) -> None:
        """Fit the scale of features to formulas [n,slots,2], and biases to bins [n,modalities], -1 where missing."""
        columns = self.features(slots)
        spread = columns.std(0) if len(slots) > 1 else torch.zeros_like(columns[0])
        self.get_buffer("middle").copy_(columns.mean(0))
        # What never varies is not looked at: elements that were not learned would else be huge.
        self.get_buffer("scale").copy_(torch.where(spread > 0, 1 / (spread + 0.03), 0.0))
        for k, part in enumerate(torch.split(self.to_bins.bias.detach(), self.sizes) if self.sizes else ()):
            counts = torch.bincount(bins[:, k][bins[:, k] >= 0], minlength=len(part)) + 1.0
            part.copy_(counts.log() - counts.log().mean())

    def features(self, slots: torch.Tensor) -> torch.Tensor:
        """Shares of elements, groups and periods, which elements there are, and atoms, of [B,slots,2]: [B,columns]."""
        codes = len(self.grammar.elements) + 1
        counts = torch.zeros(len(slots), codes, device=slots.device).scatter_add_(
            1, slots[..., 0], slots[..., 1].float()
        )
        atoms = counts[:, 1:].sum(1, keepdim=True).clamp_min(1)
        shares, kin = counts[:, 1:] / atoms, self.lower.elements
        groups, periods = (one_hot(kin.get_buffer(name)[1:]).to(shares.dtype) for name in ("groups", "periods"))
        return torch.cat([shares, shares @ groups, shares @ periods, (shares > 0).to(shares.dtype), atoms], 1)

    def read(self, slots: torch.Tensor) -> Reading:
        """What formulas [B,slots,2] set."""
        hidden = self.network((self.features(slots) - self.get_buffer("middle")) * self.get_buffer("scale"))
        return Reading(self.to_bins(hidden), self.to_units(hidden))

    def shares(self, bins: torch.Tensor) -> torch.Tensor:
        """1 in the bin of each modality, all 0 where it is missing [B,bins], from bins [B,modalities]."""
        parts = [one_hot(column + 1, size + 1)[:, 1:] for column, size in zip(bins.T, self.sizes, strict=True)]
        return torch.cat(parts, 1).to(self.bins.dtype) if parts else self.bins.new_zeros(len(bins), 0)

    def softmaxes(self, logits: torch.Tensor) -> torch.Tensor:
        """Of each modality by itself [B,bins]."""
        parts = [part.softmax(1) for part in torch.split(logits, self.sizes, 1)] if self.sizes else [logits]
        return torch.cat(parts, 1)

    def settle(self, reading: Reading, bins: torch.Tensor) -> Means:
        """Means of what is missing of bins [B,modalities], -1 there, and of the second units."""
        known = self.shares(bins)
        missing = (bins < 0).repeat_interleave(torch.tensor(self.sizes, dtype=torch.int64, device=bins.device), 1)
        means = Means(
            known + missing * self.softmaxes(reading.bins), self.offset.new_zeros(len(bins), len(self.offset))
        )
        for _ in range(self.config.iterations):
            hidden = torch.tanh((reading.units + means.shares @ self.bins + means.units @ self.weight.T) / 2) / 2
            units = torch.tanh((hidden @ self.weight + self.offset) / 2) / 2
            means = Means(known + missing * self.softmaxes(reading.bins + hidden @ self.bins.T), units)
        return means

    def tell(self, k: int, reading: Reading, means: Means) -> torch.Tensor:
        """Log probabilities of the bins of a modality [B,bins of it], all else at its means; what it has is ignored.

        The first units are summed out for each bin: exact where all else is known and the second units are cut off.
        """
        place = slice(sum(self.sizes[:k]), sum(self.sizes[: k + 1]))
        others = means.shares.clone()
        others[:, place] = 0
        inputs = reading.units + others @ self.bins + means.units @ self.weight.T
        inputs = inputs[:, None] + self.bins[place]
        return (reading.bins[:, place] + (softplus(inputs) - inputs / 2).sum(2)).log_softmax(1)


def save_dbm(path: Path, network: Dbm) -> None:
    """Write both machines, with the edges of the bins and their units."""
    settings = {
        "config": asdict(network.config),
        "lower": {"config": asdict(network.lower.config), "grammar": asdict(network.grammar)},
        "modalities": [asdict(one) for one in network.modalities],
    }
    save_network(path, NAME, network, settings)


def load_dbm(path: Path) -> Dbm:
    """Read both machines.

    Raises:
        data.errors.InputError: not a checkpoint of this program.
    """

    def build(settings: dict[str, Any], _: Mapping[str, torch.Tensor]) -> Dbm:
        modalities = [Modality(one["name"], tuple(one["edges"]), tuple(one["kinds"])) for one in settings["modalities"]]
        return Dbm(DbmConfig(**settings["config"]), rbm_of(settings["lower"]), modalities)

    return load_network(path, NAME, build)
