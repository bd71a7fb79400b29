"""A restricted Boltzmann machine on the slots of a formula, its support restricted to the grammar.

p(v, h) is proportional to exp(-E(v, h)) where v is a formula of the grammar, and 0 elsewhere. A slot switches on rows:
its element and its count, each in this slot, and its count together with the group of its element, in any slot. So

    -E = a . h + sum over rows of (bias + h . W) + sum over slots of the biases of element and count, and of neighbours

The hidden units h are -1/2 or 1/2 rather than 0 or 1: the same family of distributions, but without weights they do
nothing in the mean, so biases and weights are learned apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding_bag, softplus

from redoxa.generators.checkpoint import load_network, save_network
from redoxa.generators.composition.grammar import Grammar
from redoxa.generators.composition.network import N_GROUPS, ElementVectors, table

NAME = "composition-rbm"


@dataclass(frozen=True)
class RbmConfig:
    """Size of the machine, and how it is trained.

    Attributes:
        hidden: units.
        chains: formulas that are kept as samples of it, through all of training.
        sweeps: of those between steps.
        lateral: whether elements of neighbouring slots know each other (a semi-restricted machine).
        prior: weight in the loss of the squares of all parameters but biases. So what the data say nothing of goes to 0
            (the weights of rare elements in slots where they hardly stand, which would else stay as they began).
    """

    hidden: int = 384
    chains: int = 256
    sweeps: int = 1
    lateral: bool = True
    prior: float = 1e-4


class Tables(NamedTuple):
    """What all energies are made of; rows are counted slot by slot through elements, then counts, then kin.

    Attributes:
        rows: weights of hidden units [rows,hidden].
        bias: of rows [rows].
        pairs: of an element with its count [elements+1,max_atoms+1].
        follows: of an element and that of the next slot [elements+1,elements+1].
        hidden: bias of hidden units [hidden].
    """

    rows: torch.Tensor
    bias: torch.Tensor
    pairs: torch.Tensor
    follows: torch.Tensor
    hidden: torch.Tensor


class Rbm(nn.Module):
    """The machine. Weights begin at about 0.3 for each slot: from much smaller ones, nothing is learned.

    Args:
        config: size.
        grammar: of the formulas.
    """

    def __init__(self, config: RbmConfig, grammar: Grammar) -> None:
        super().__init__()
        self.config, self.grammar = config, grammar
        codes, counts, slots, hidden = len(grammar.elements) + 1, grammar.max_atoms + 1, grammar.slots, config.hidden
        self.elements, self.elements_of_slot = ElementVectors(grammar, hidden), ElementVectors(grammar, slots * hidden)
        self.counts, self.counts_of_slot = table(counts, hidden), table(slots * counts, hidden)
        self.kin = table((N_GROUPS + 1) * counts, hidden)
        self.row_bias = nn.Parameter(torch.zeros(slots * (codes + counts) + len(self.kin.weight)))
        self.pairs = nn.Parameter(torch.zeros(codes, counts))
        self.follows = nn.Parameter(torch.zeros(codes, codes), requires_grad=config.lateral)
        self.groups_follow = nn.Parameter(torch.zeros(N_GROUPS + 1, N_GROUPS + 1), requires_grad=config.lateral)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("chains", torch.zeros(config.chains, slots, 2, dtype=torch.int64))
        self.register_buffer("partition", torch.full((2,), torch.nan, dtype=torch.float64))

    @property
    def groups(self) -> torch.Tensor:
        """Group of each code [elements+1]."""
        return self.elements.get_buffer("groups")

    def begin_with(self, slots: torch.Tensor) -> None:
        """Fit biases of elements and counts to formulas [n,slots,2], and begin the chains with some of them."""
        codes, counts = self.pairs.shape
        found = [torch.bincount(code, minlength=codes) for code in slots[:, :, 0].T]
        found += [torch.bincount(count, minlength=counts) for count in slots[:, :, 1].T]
        logs = ((torch.cat(found) + 0.3) / len(slots)).log()
        with torch.no_grad():
            self.row_bias[: len(logs)] = logs - logs.mean()
        self.get_buffer("chains").copy_(slots[torch.randint(len(slots), (self.config.chains,))])

    def tables(self) -> Tables:
        """From the parameters, which elements of a group and slots share."""
        hidden, slots, groups = self.config.hidden, self.grammar.slots, self.groups
        elements = self.elements_of_slot().reshape(-1, slots, hidden).transpose(0, 1) + self.elements()
        counts = self.counts_of_slot.weight.reshape(slots, -1, hidden) + self.counts.weight
        rows = torch.cat([elements.flatten(0, 1), counts.flatten(0, 1), self.kin.weight])
        follows = self.follows + self.groups_follow[groups][:, groups]
        return Tables(rows, self.row_bias, self.pairs, follows, self.hidden_bias)

    def rows(self, slots: torch.Tensor) -> torch.Tensor:
        """Numbers of the rows that slots [B,slots,2] switch on [B,3*slots]."""
        code, count = slots.unbind(2)
        codes, counts, places = len(self.pairs), self.pairs.shape[1], torch.arange(slots.shape[1], device=slots.device)
        first, second = self.grammar.slots * codes, self.grammar.slots * (codes + counts)
        kin = second + self.groups[code] * counts + count
        return torch.cat([places * codes + code, first + places * counts + count, kin], 1)

    def visible(self, tables: Tables, slots: torch.Tensor) -> torch.Tensor:
        """What slots [B,slots,2] add to the log weight by themselves [B]."""
        code, count = slots.unbind(2)
        pairs = tables.pairs[code, count].sum(1) + tables.follows[code[:, :-1], code[:, 1:]].sum(1)
        return torch.as_tensor(tables.bias[self.rows(slots)].sum(1) + pairs)

    def inputs(self, tables: Tables, slots: torch.Tensor) -> torch.Tensor:
        """Of the hidden units, from slots [B,slots,2]: [B,hidden]."""
        return torch.as_tensor(embedding_bag(self.rows(slots), tables.rows, mode="sum") + tables.hidden)

    def log_weight(self, slots: torch.Tensor, tables: Tables | None = None) -> torch.Tensor:
        """Minus the free energy of formulas [B,slots,2], in nats [B]; less log Z, it is their log probability."""
        tables = tables or self.tables()
        return self.visible(tables, slots) + hidden_part(self.inputs(tables, slots))

    def usual(self, tables: Tables) -> torch.Tensor:
        """The mean of the hidden units, over the chains [hidden]."""
        return torch.as_tensor(torch.tanh(self.inputs(tables, self.get_buffer("chains")) / 2).mean(0) / 2)

    def squares(self) -> torch.Tensor:
        """Sum of the squares of all parameters but biases."""
        squares = [p.square().sum() for name, p in self.named_parameters() if not name.endswith("bias")]
        return torch.stack(squares).sum()

    @property
    def log_z(self) -> float:
        """Logarithm of the sum of all weights, in nats; not a number before it has been estimated."""
        return float(self.get_buffer("partition")[0])

    @property
    def log_z_error(self) -> float:
        """Its standard error."""
        return float(self.get_buffer("partition")[1])


def hidden_part(inputs: torch.Tensor) -> torch.Tensor:
    """Log of the sum over hidden units of -1/2 or 1/2 with these inputs [B,hidden]: [B]."""
    return (softplus(inputs) - inputs / 2).sum(1)


def halved(network: nn.Module) -> None:
    """Round the weights as the file has them, so that log Z is that of what is read again."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())


def save_rbm(path: Path, network: Rbm) -> None:
    """Write what samples."""
    save_network(path, NAME, network, {"config": asdict(network.config), "grammar": asdict(network.grammar)})


def load_rbm(path: Path) -> Rbm:
    """Read what samples.

    Raises:
        data.errors.InputError: not a checkpoint of this program.
    """

    def build(settings: dict[str, Any], _: Mapping[str, torch.Tensor]) -> Rbm:
        return rbm_of(settings)

    return load_network(path, NAME, build)


def rbm_of(settings: dict[str, Any]) -> Rbm:
    """A machine with random weights, as settings in a file's header say."""
    grammar = settings["grammar"]
    whole = Grammar(tuple(grammar["elements"]), grammar["max_atoms"], grammar["slots"])
    return Rbm(RbmConfig(**settings["config"]), whole)
