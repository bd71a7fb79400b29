"""The two networks of the adversarial family: one turns noise into slots, the other tells real slots from those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import gelu, leaky_relu, one_hot
from torch.nn.utils.parametrizations import spectral_norm

from redoxa.generators.checkpoint import load_network, save_network
from redoxa.generators.composition.grammar import Grammar
from redoxa.generators.composition.network import ElementVectors

NAME = "composition-wgan"


@dataclass(frozen=True)
class WganConfig:
    """Size and safeguards of the networks.

    Attributes:
        noise: numbers that a formula is made of.
        width: of the hidden vectors of the writer.
        critic: of those of the critic.
        temperature: of the soft choices through which the writer learns.
        spectral: whether each layer of the critic is kept from stretching anything (spectral normalisation). Off: with
            it the writer comes to write few formulas (docs/concepts/model_card_composition.md).
        penalty: weight of the gradient penalty; 0 for none.
        grown: whether training begins with formulas of two elements and goes on to more, one by one.
    """

    noise: int = 64
    width: int = 192
    critic: int = 512
    temperature: float = 0.7
    spectral: bool = False
    penalty: float = 10.0
    grown: bool = True


class Soft(NamedTuple):
    """Slots as one-hot vectors: codes [B,slots,elements+1] and counts [B,slots,max_atoms+1]."""

    codes: torch.Tensor
    counts: torch.Tensor


class Writer(nn.Module):
    """Writes formulas slot by slot out of noise, each slot knowing those before it.

    Args:
        config: size.
        grammar: of the formulas.
    """

    def __init__(self, config: WganConfig, grammar: Grammar) -> None:
        super().__init__()
        self.config, self.grammar = config, grammar
        width = config.width
        self.begin = nn.Sequential(nn.Linear(config.noise, width), nn.GELU(), nn.Linear(width, width), nn.Tanh())
        self.vectors = ElementVectors(grammar, width)
        self.read_count = nn.Linear(grammar.max_atoms + 1, width, bias=False)
        self.cell = nn.GRUCell(width, width)
        self.to_element, self.bias = nn.Linear(width, width), nn.Parameter(torch.zeros(len(grammar.elements) + 1))
        self.of_count, self.to_count = nn.Linear(2 * width, width), nn.Linear(width, grammar.max_atoms + 1)

    def element_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of each code [B,elements+1], before any mask."""
        return torch.as_tensor(self.to_element(hidden) @ self.vectors().T + self.bias)

    def count_logits(self, hidden: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Of each count of one-hot codes [B,elements+1], before any mask [B,max_atoms+1]."""
        return torch.as_tensor(self.to_count(gelu(self.of_count(torch.cat([hidden, codes @ self.vectors()], -1)))))

    def after(self, hidden: torch.Tensor, codes: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Hidden vectors after one more slot [B,width], from one-hot codes and counts."""
        return torch.as_tensor(self.cell(codes @ self.vectors() + self.read_count(counts), hidden))

    def hidden(self, noise: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Hidden vectors after slots [B,t,2] that are written already [B,width]."""
        hidden = self.begin(noise)
        for t in range(slots.shape[1]):
            hidden = self.after(hidden, *one_hots(slots[:, t], self.grammar))
        return torch.as_tensor(hidden)

    def write(self, noise: torch.Tensor, generator: torch.Generator, slots: int) -> Soft:
        """Formulas of so many slots at most, as one-hot vectors through which gradients go (straight through).

        Codes ascend. What else the grammar asks of counts is for the critic to teach.
        """
        hidden, after, codes, counts = self.begin(noise), torch.zeros(len(noise), 1, device=noise.device), [], []
        order = torch.arange(len(self.bias), device=noise.device)
        possible = torch.arange(self.grammar.max_atoms + 1, device=noise.device)
        for t in range(self.grammar.slots):
            may = (order == 0) if t >= slots else (order > after) & (after >= 0) | ((order == 0) & (t > 0))
            code = self._chosen(self.element_logits(hidden), may, generator)
            ended = code[:, :1]
            after = torch.where(ended > 0.5, -1, code.argmax(-1, keepdim=True))
            count = self._chosen(self.count_logits(hidden, code), possible > 0, generator)
            count = torch.where(ended > 0.5, (possible == 0).float(), count)
            hidden = self.after(hidden, code, count)
            codes.append(code)
            counts.append(count)
        return Soft(torch.stack(codes, 1), torch.stack(counts, 1))

    def _chosen(self, logits: torch.Tensor, may: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One-hot draws of what may be; gradients are those of soft ones (Gumbel softmax, arXiv:1611.01144)."""
        logs = logits.masked_fill(~may, -1e9)
        noise = torch.rand(logs.shape, generator=generator, device=logs.device).clamp_(1e-9, 1 - 1e-7)
        scores = logs - (-noise.log()).log()
        soft = (scores / self.config.temperature).softmax(-1)
        hard = one_hot(scores.argmax(-1), logs.shape[-1]).to(soft.dtype)
        return hard + soft - soft.detach()


class Critic(nn.Module):
    """How real slots look; differences of it bound the distance of what is written from what is real.

    Beside the slots it reads what is made of them: the numbers of their elements, the atoms of each element, and how
    much the formulas of a batch differ, so that a writer of few formulas is found out.

    Args:
        config: size and safeguards.
        grammar: of the formulas.
    """

    def __init__(self, config: WganConfig, grammar: Grammar) -> None:
        super().__init__()
        self.register_buffer("numbers", element_table(grammar), persistent=False)
        self.register_buffer("sizes", torch.arange(grammar.max_atoms + 1) / 4.0, persistent=False)
        codes, counts, numbers = len(grammar.elements) + 1, grammar.max_atoms + 1, self.get_buffer("numbers").shape[1]
        features = grammar.slots * (codes + counts + numbers) + codes + 1
        keep = spectral_norm if config.spectral else lambda layer: layer
        self.first = keep(nn.Linear(features, config.critic))
        self.second = keep(nn.Linear(config.critic + 1, config.critic))
        self.last = keep(nn.Linear(config.critic, 1))

    def forward(self, slots: Soft) -> torch.Tensor:
        """One number for each formula [B]."""
        counts = slots.counts @ self.get_buffer("sizes")
        atoms = (slots.codes * counts.unsqueeze(-1)).sum(1)
        numbers = slots.codes @ self.get_buffer("numbers")
        parts = [slots.codes, slots.counts, numbers, atoms, counts.sum(1, keepdim=True)]
        hidden = leaky_relu(self.first(torch.cat([part.flatten(1) for part in parts], 1)), 0.2)
        spread = hidden.std(0).mean().expand(len(hidden), 1)
        return torch.as_tensor(self.last(leaky_relu(self.second(torch.cat([hidden, spread], 1)), 0.2)).squeeze(-1))


class Pair(nn.Module):
    """Both networks, as they are trained together."""

    def __init__(self, config: WganConfig, grammar: Grammar) -> None:
        super().__init__()
        self.writer, self.critic = Writer(config, grammar), Critic(config, grammar)


def one_hots(slot: torch.Tensor, grammar: Grammar) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [...,elements+1] and counts [...,max_atoms+1] of slots [...,2]."""
    codes, counts = one_hot(slot[..., 0], len(grammar.elements) + 1), one_hot(slot[..., 1], grammar.max_atoms + 1)
    return codes.float(), counts.float()


def element_table(grammar: Grammar) -> torch.Tensor:
    """Numbers of each code, of mean 0 and spread 1 over the elements; zeros for none [elements+1,n]."""
    from redoxa.generators.evaluate.descriptor import element_numbers

    table = torch.tensor([element_numbers(z) for z in grammar.elements], dtype=torch.float32)
    table = (table - table.mean(0)) / table.std(0).clamp_min(1e-6)
    return torch.cat([torch.zeros(1, table.shape[1]), table])


def save_writer(path: Path, network: Writer) -> None:
    """Write what samples."""
    save_network(path, NAME, network, {"config": asdict(network.config), "grammar": asdict(network.grammar)})


def load_writer(path: Path) -> Writer:
    """Read what samples.

    Raises:
        data.errors.InputError: not a checkpoint of this program.
    """

    def build(settings: dict[str, Any], _: Mapping[str, torch.Tensor]) -> Writer:
        grammar = settings["grammar"]
        whole = Grammar(tuple(grammar["elements"]), grammar["max_atoms"], grammar["slots"])
        return Writer(WganConfig(**settings["config"]), whole)

    return load_network(path, NAME, build)
