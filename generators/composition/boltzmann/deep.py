"""A deep belief network (Hinton, Osindero, Teh): a second machine on the hidden units of the one on formulas.

p(v) = sum over h of p(v | h) p(h): formulas given hidden units are written by the trained machine (`network.Rbm`),
whose support is the grammar, and the hidden units have the distribution of the second machine instead of its own. All
units are -1/2 or 1/2. The second is a plain one,

    -E = bias . h + offset . g + h W g
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from redoxa.generators.checkpoint import load_network, save_network
from redoxa.generators.composition.boltzmann.ais import Anneal, log_partitions_of_chains
from redoxa.generators.composition.boltzmann.network import Rbm, halved, hidden_part, rbm_of

NAME = "composition-dbn"


@dataclass(frozen=True)
class DbnConfig:
    """Size of the second machine, and how it is trained.

    Attributes:
        hidden: units.
        chains: states of the first machine's hidden units that are kept as samples of it, through all of training.
        sweeps: of those between steps.
        prior: weight in the loss of the squares of its weights.
    """

    hidden: int = 256
    chains: int = 256
    sweeps: int = 1
    prior: float = 1e-4


class Top(nn.Module):
    """The second machine. Its weights begin small; its biases are fitted to the data.

    Args:
        visible: units of the machine below.
        config: size.
    """

    def __init__(self, visible: int, config: DbnConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(visible, config.hidden) * 0.3 / math.sqrt(visible))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(config.hidden))
        self.register_buffer("chains", torch.zeros(config.chains, visible))
        self.register_buffer("partition", torch.full((2,), torch.nan, dtype=torch.float64))

    def begin_with(self, means: torch.Tensor) -> None:
        """Fit the biases to means of units [n,visible], from -1/2 to 1/2, and begin the chains with some of them."""
        chance = (means.mean(0) + 0.5).clamp(0.01, 0.99)
        with torch.no_grad():
            self.visible_bias.copy_(torch.logit(chance))
        chains = self.get_buffer("chains")
        chains.copy_(flipped(means[torch.randint(len(means), (len(chains),))], None))

    def inputs(self, units: torch.Tensor) -> torch.Tensor:
        """Of its hidden units, from those below [B,visible]: [B,hidden]."""
        return torch.as_tensor(units @ self.weight + self.hidden_bias)

    def log_weight(self, units: torch.Tensor) -> torch.Tensor:
        """Minus the free energy of states of the units below [B,visible], in nats [B]."""
        return units @ self.visible_bias + hidden_part(self.inputs(units))

    @torch.no_grad()
    def sweep(
        self,
        units: torch.Tensor,
        generator: torch.Generator | None,
        beta: float = 1.0,
        usual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Hidden units given those below [B,visible], then the latter given the former.

        Args:
            units: states.
            generator: the source of randomness; None for torch's global one.
            beta: share of the hidden units that is at work.
            usual: what the rest of them stands at [hidden].
        """
        hidden = flipped(torch.tanh(beta * self.inputs(units) / 2) / 2, generator)
        if usual is not None:
            hidden = beta * hidden + (1 - beta) * usual
        return flipped(torch.tanh((self.visible_bias + hidden @ self.weight.T) / 2) / 2, generator)

    def squares(self) -> torch.Tensor:
        """Sum of the squares of its weights."""
        return self.weight.square().sum()

    @property
    def log_z(self) -> float:
        """Logarithm of the sum of all weights, in nats; not a number before it has been estimated."""
        return float(self.get_buffer("partition")[0])

    @property
    def log_z_error(self) -> float:
        """Its standard error."""
        return float(self.get_buffer("partition")[1])


class Dbn(nn.Module):
    """Both machines; the one on formulas stands still.

    Args:
        config: size of the second.
        lower: the trained machine on formulas.
    """

    def __init__(self, config: DbnConfig, lower: Rbm) -> None:
        super().__init__()
        self.config, self.grammar = config, lower.grammar
        self.lower = lower.requires_grad_(False)
        self.top = Top(lower.config.hidden, config)

    @torch.no_grad()
    def recognised(self, slots: torch.Tensor) -> torch.Tensor:
        """Means of the first hidden units given formulas [B,slots,2], from -1/2 to 1/2 [B,hidden]: exact."""
        return torch.tanh(self.lower.inputs(self.lower.tables(), slots) / 2) / 2

    @torch.no_grad()
    def code(self, slots: torch.Tensor) -> torch.Tensor:
        """Chances of the hidden units of both layers given formulas [B,slots,2]: [B,hidden of both].

        Those of the second layer are given the means of the first.
        """
        means = self.recognised(slots)
        return torch.cat([means + 0.5, torch.sigmoid(self.top.inputs(means))], 1)

    @torch.no_grad()
    def log_estimates(self, slots: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The log of p(v, h) / q(h) of formulas [B,slots,2], one h of each, in nats [B]; q is the recognition.

        In the mean it is a lower bound of log p(v), its exponential is p(v), but for the error of log Z.
        """
        tables = self.lower.tables()
        inputs = self.lower.inputs(tables, slots)
        units = flipped(torch.tanh(inputs / 2) / 2, generator)
        visible = self.lower.visible(tables, slots) + (units * (inputs - tables.hidden)).sum(1)
        written = visible.double() - log_partitions_of_chains(self.lower, tables, units)
        recognised = (units * inputs).sum(1) - hidden_part(inputs)
        return written + (self.top.log_weight(units) - recognised).double() - self.top.log_z


def flipped(means: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Units of -1/2 or 1/2 with these means, of the same shape; without a generator by torch's common randomness."""
    noise = torch.rand(means.shape, device=means.device, generator=generator)
    return (noise < means + 0.5).to(means.dtype) - 0.5


@torch.no_grad()
def log_partition_of_top(top: Top, anneal: Anneal) -> tuple[float, float]:
    """Logarithm of the sum of the weights of all states of the units below, and its standard error, in nats.

    The way there begins at the machine whose hidden units stand still at their mean, where all units are independent.
    """
    generator = torch.Generator().manual_seed(anneal.seed)
    usual = torch.tanh(top.inputs(top.get_buffer("chains")) / 2).mean(0) / 2
    base = top.visible_bias + top.weight @ usual
    units = flipped((torch.tanh(base / 2) / 2).expand(anneal.chains, -1), generator)
    logs = torch.zeros(anneal.chains, dtype=torch.float64)
    betas = np.linspace(0.0, 1.0, anneal.temperatures + 1).tolist()
    for cold, warm in zip(betas[1:], betas, strict=False):
        inputs = top.inputs(units)
        logs += (hidden_part(cold * inputs) - hidden_part(warm * inputs) - (cold - warm) * (inputs @ usual)).double()
        units = top.sweep(units, generator, cold, usual)
    weights = (logs - logs.max()).exp()
    mean = float(weights.mean())
    first = float(hidden_part(base[None]).double() + usual @ top.hidden_bias) + len(usual) * math.log(2)
    return first + float(logs.max()) + math.log(mean), float(weights.std()) / mean / math.sqrt(len(weights))


def settled_dbn(network: Dbn, anneal: Anneal) -> None:
    """Round the weights as the file has them, and estimate the second machine's partition function."""
    halved(network)
    network.top.get_buffer("partition").copy_(torch.tensor(log_partition_of_top(network.top, anneal)))


def fingerprint(lower: Rbm) -> str:
    """Of the weights of a machine."""
    state = lower.state_dict()
    return hashlib.sha256(b"".join(state[name].cpu().numpy().tobytes() for name in sorted(state))).hexdigest()


def save_dbn(path: Path, network: Dbn) -> None:
    """Write both machines."""
    settings = {
        "config": asdict(network.config),
        "lower": {"config": asdict(network.lower.config), "grammar": asdict(network.grammar)},
    }
    save_network(path, NAME, network, settings)


def load_dbn(path: Path) -> Dbn:
    """Read both machines.

    Raises:
        data.errors.InputError: not a checkpoint of this program.
    """

    def build(settings: dict[str, Any], _: Mapping[str, torch.Tensor]) -> Dbn:
        return Dbn(DbnConfig(**settings["config"]), rbm_of(settings["lower"]))

    return load_network(path, NAME, build)
