"""The network that writes formulas: an LSTM or a transformer, with the same embeddings and the same head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.nn.functional import gelu

from redoxa.data.errors import InputError
from redoxa.generators.checkpoint import checkpoint_format, load_network, read_header, save_network
from redoxa.generators.composition.grammar import Grammar

Cell = Literal["lstm", "attention"]


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        cell: what carries on from slot to slot.
        width: of the hidden vectors.
        layers: of the cell.
        heads: of attention.
        dropout: share of hidden numbers left out in training.
    """

    cell: Cell = "lstm"
    width: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1


class ElementVectors(nn.Module):
    """A vector for each code: one of its own, one of its group and one of its period.

    So a rare element shares in what is known of its kin.

    Args:
        grammar: of the formulas.
        width: of the vectors.
    """

    def __init__(self, grammar: Grammar, width: int) -> None:
        super().__init__()
        for name, numbers in _places(grammar).items():
            self.register_buffer(name, numbers, persistent=False)
        sizes = (len(grammar.elements) + 1, N_GROUPS + 1, N_PERIODS + 1)
        self.own, self.of_group, self.of_period = (table(n, width) for n in sizes)

    def forward(self) -> torch.Tensor:
        """Of all codes [elements+1,width]."""
        groups, periods = self.get_buffer("groups"), self.get_buffer("periods")
        return torch.as_tensor(self.own.weight + self.of_group(groups) + self.of_period(periods))


class CompositionNetwork(nn.Module):
    """What comes in each slot of a formula, given the slots before it.

    An element has one vector (`ElementVectors`), both where it is read and where it is written.

    Args:
        config: size.
        grammar: of the formulas.
    """

    def __init__(self, config: NetworkConfig, grammar: Grammar) -> None:
        super().__init__()
        self.config, self.grammar = config, grammar
        width, size = config.width, len(grammar.elements) + 1
        self.elements = ElementVectors(grammar, width)
        self.read_count, self.position = table(grammar.max_atoms + 1, width), table(grammar.slots, width)
        self.begin = nn.Parameter(0.1 * torch.randn(width))
        self.drop = nn.Dropout(config.dropout)
        self.cell = _cell(config)
        self.norm = nn.LayerNorm(width)
        self.to_element, self.bias = nn.Linear(width, width), nn.Parameter(torch.zeros(size))
        self.of_count, self.to_count = nn.Linear(2 * width, width), nn.Linear(width, grammar.max_atoms + 1)

    def forward(self, slots: torch.Tensor) -> torch.Tensor:
        """Hidden vectors of the slots to come, from slots [B,T,2] (codes, counts): [B,T+1,width]."""
        read = self.elements()[slots[:, :, 0]] + self.read_count(slots[:, :, 1])
        read = torch.cat([self.begin.expand(len(slots), 1, -1), read], 1)
        read = self.drop(read + self.position.weight[: read.shape[1]])
        if isinstance(self.cell, nn.LSTM):
            hidden = self.cell(read)[0]
        else:
            ahead = torch.ones(read.shape[1], read.shape[1], dtype=torch.bool, device=read.device).triu(1)
            hidden = self.cell(read, mask=ahead)
        return torch.as_tensor(self.drop(self.norm(hidden)))

    def element_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of each code [...,elements+1], before any mask."""
        return torch.as_tensor(self.to_element(hidden) @ self.elements().T + self.bias)

    def count_logits(self, hidden: torch.Tensor, element: torch.Tensor) -> torch.Tensor:
        """Of each count of these elements (codes, [...]), before any mask [...,max_atoms+1]."""
        both = torch.cat([hidden, self.elements()[element]], -1)
        return torch.as_tensor(self.to_count(self.drop(gelu(self.of_count(both)))))


N_GROUPS, N_PERIODS = 18, 7


def _places(grammar: Grammar) -> Mapping[str, torch.Tensor]:
    """Group and period of each code; 0 for the end."""
    from pymatgen.core import Element

    elements = [Element.from_Z(z) for z in grammar.elements]
    return {
        "groups": torch.tensor([0, *(int(element.group) for element in elements)]),
        "periods": torch.tensor([0, *(int(element.row) for element in elements)]),
    }


def table(size: int, width: int) -> nn.Embedding:
    """Vectors to begin with; larger ones make the first logits wild."""
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=0.1)
    return table


def _cell(config: NetworkConfig) -> nn.Module:
    """What carries on from slot to slot."""
    if config.cell == "lstm":
        dropout = config.dropout if config.layers > 1 else 0.0
        return nn.LSTM(config.width, config.width, config.layers, batch_first=True, dropout=dropout)
    layer = nn.TransformerEncoderLayer(
        config.width, config.heads, 4 * config.width, config.dropout, "gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)


def composition_name(cell: Cell) -> str:
    """Of the files and of what trains the network."""
    return "composition-lstm" if cell == "lstm" else "composition-transformer"


def cell_in(path: Path) -> Cell:
    """The cell of the network in a file.

    Raises:
        InputError: not a checkpoint of this program.
    """
    held = read_header(path).get("format", "")
    cells: tuple[Cell, ...] = get_args(Cell)
    for cell in cells:
        if held == checkpoint_format(composition_name(cell)):
            return cell
    raise InputError(f"{path}: format {held!r} is of no network that writes formulas")


def save_composition_network(path: Path, network: CompositionNetwork) -> None:
    """Write a network for sampling."""
    settings = {"config": asdict(network.config), "grammar": asdict(network.grammar)}
    save_network(path, composition_name(network.config.cell), network, settings)


def load_composition_network(path: Path, cell: Cell) -> CompositionNetwork:
    """Read a network for sampling.

    Raises:
        data.errors.InputError: not a checkpoint of this program, or one of the other cell.
    """

    def build(settings: dict[str, Any], _: Mapping[str, torch.Tensor]) -> CompositionNetwork:
        grammar = settings["grammar"]
        whole = Grammar(tuple(grammar["elements"]), grammar["max_atoms"], grammar["slots"])
        return CompositionNetwork(NetworkConfig(**settings["config"]), whole)

    return load_network(path, composition_name(cell), build)
