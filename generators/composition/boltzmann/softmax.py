"""Replicated softmax (Hinton and Salakhutdinov 2009): hidden units and the atoms of a formula, each of them a softmax.

Of D atoms, n are counted of each element. Without regard to the grammar,

    p(n, h | D) is proportional to D! / prod n! exp(b . n + h . (n W + D a)),    h of 0 and 1

so given the hidden units the atoms are independent of one another, and a hidden unit weighs each of them. How many
atoms there are is learned as it is found. The grammar (so many elements at most, no common divisor) comes in where
log probabilities are told, and by rejection where formulas are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch.nn.functional import softplus

from redoxa.data.errors import GenerationError
from redoxa.generators.base import Condition
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.family import Kind, LogProbability, collect
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand
from redoxa.generators.composition.stored import load_arrays, save_arrays

ARRAYS = ("weights", "elements", "hidden", "sizes")
"""What it has learned, by name in the file."""

PSEUDO = 0.1
"""Formulas' worth of belief in each number of atoms."""


PASSES = 200
"""Through few formulas; with more, they would be learned by heart."""


@dataclass(frozen=True)
class SoftmaxConfig:
    """Size, and how it is trained.

    Attributes:
        hidden: units.
        steps: of the optimiser, at most; of few formulas, those in which it goes through all of them `PASSES` times.
        batch: formulas in each.
        sweeps: of the chains of these formulas in each.
        rate: learning rate, which falls to 0.
        prior: weight in the loss of the squares of all weights.
    """

    hidden: int = 100
    steps: int = 3000
    batch: int = 256
    sweeps: int = 3
    rate: float = 1e-2
    prior: float = 1e-4


THOROUGH = Anneal(chains=200, temperatures=300)
"""For log Z after `fit`, with so many chains for each number of atoms."""


class Machine(NamedTuple):
    """Parameters, float32.

    Attributes:
        weights: [elements,hidden].
        elements: their biases [elements].
        hidden: biases of hidden units, for each atom [hidden].
    """

    weights: torch.Tensor
    elements: torch.Tensor
    hidden: torch.Tensor

    def inputs(self, counts: torch.Tensor) -> torch.Tensor:
        """Of the hidden units, from atoms of each element [B,elements]: [B,hidden]."""
        return counts @ self.weights + counts.sum(1, keepdim=True) * self.hidden

    def log_weight(self, counts: torch.Tensor) -> torch.Tensor:
        """Of atoms of each element [B,elements], in nats [B]; less log Z for so many atoms, their log probability."""
        ways = torch.lgamma(counts.sum(1) + 1) - torch.lgamma(counts + 1).sum(1)
        return ways + counts @ self.elements + softplus(self.inputs(counts)).sum(1)

    def draw_hidden(self, counts: torch.Tensor, beta: float, rng: torch.Generator) -> torch.Tensor:
        """Hidden units given atoms, their inputs scaled by beta [B,hidden]."""
        inputs = self.inputs(counts)
        return (torch.rand(inputs.shape, generator=rng) < torch.sigmoid(beta * inputs)).to(inputs.dtype)

    def sweep(self, counts: torch.Tensor, beta: float, rng: torch.Generator) -> torch.Tensor:
        """Hidden units given atoms [B,elements], then as many atoms given those."""
        logits = self.elements + beta * self.draw_hidden(counts, beta, rng) @ self.weights.T
        return atoms(logits.softmax(1), counts.sum(1), rng)


def atoms(chances: torch.Tensor, total: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """So many atoms [B], each of an element by its chance [B,elements], counted [B,elements]."""
    most = max(1, int(total.max()))
    drawn = torch.multinomial(chances, most, replacement=True, generator=rng)
    wanted = (torch.arange(most) < total[:, None]).to(torch.float32)
    return torch.zeros(chances.shape, dtype=torch.float32).scatter_add_(1, drawn, wanted)


class Clamp:
    """What is asked of the atoms of each element, for drawing them given hidden units: exactly.

    Elements of which a count is asked for are summed over one by one, all free ones together.

    Args:
        wish: what is asked; neutrality and what the grammar asks of all elements together are left to rejection.
        sizes: log weights of numbers of atoms from 0 on, those of `SoftmaxFamily` [max_atoms+1].
    """

    def __init__(self, wish: Demand, sizes: torch.Tensor) -> None:
        counts = torch.from_numpy(wish.counts)
        most = wish.grammar.max_atoms
        self.free = counts.all(1)
        self.asked = torch.nonzero(~self.free & counts[:, 1:].any(1)).squeeze(1)
        self.may = counts[self.asked]
        self.number = torch.arange(most + 1, dtype=torch.float64)
        fits = torch.tensor([False, *(wish.fits(n) for n in range(1, most + 1))])
        self.sizes = torch.where(fits, sizes + torch.lgamma(self.number + 1), -torch.inf)

    def tables(self, logits: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Weights of counts of the free elements and of each other, and sums up to each [B,max_atoms+1]."""
        powers = (logits.double()[:, :, None] * self.number - torch.lgamma(self.number + 1)).exp()
        rest = torch.where(self.free, logits.double().exp(), 0.0).sum(1, keepdim=True)
        weights = [rest**self.number / torch.lgamma(self.number + 1).exp()]
        weights += [powers[:, k] * may for k, may in zip(self.asked.tolist(), self.may, strict=True)]
        sums = weights[:1]
        for weight in weights[1:]:
            following = torch.zeros_like(weight)
            for count in range(weight.shape[1]):
                following[:, count:] += weight[:, count, None] * sums[-1][:, : weight.shape[1] - count]
            sums.append(following)
        return weights, sums

    def draw(
        self, logits: torch.Tensor, by_atom: torch.Tensor, total: torch.Tensor | None, rng: torch.Generator
    ) -> torch.Tensor:
        """Atoms of each element [B,elements].

        Args:
            logits: of the elements [B,elements].
            by_atom: what each atom more adds to the log weight besides [B].
            total: numbers of atoms [B]; None to draw them too.
            rng: source of chance.
        """
        shift = logits.amax(1, keepdim=True)
        weights, sums = self.tables(logits - shift)
        if total is None:
            logs = self.sizes + (shift + by_atom[:, None]).double() * self.number + sums[-1].log()
            total = torch.multinomial(logs.softmax(1), 1, generator=rng).squeeze(1)
        counts, left = torch.zeros(logits.shape), total.clone()
        for i in range(len(self.asked), 0, -1):
            before = left[:, None] - self.number.long()
            chances = weights[i] * torch.where(before >= 0, sums[i - 1].gather(1, before.clamp_min(0)), 0.0)
            drawn = torch.multinomial(chances, 1, generator=rng).squeeze(1)
            counts[:, self.asked[i - 1]] = drawn.float()
            left -= drawn
        if self.free.any():
            counts += atoms(logits.masked_fill(~self.free, -torch.inf).softmax(1), left, rng)
        return counts


class SoftmaxFamily:
    """A `Family` by a replicated softmax.

    Log probabilities are given the number of atoms and the grammar. For each number of atoms, the sum over formulas of
    the grammar is estimated by annealed importance sampling without regard to it: of the chains, those that end within
    it are counted. So its share is estimated too, with an error in which all formulas of so many atoms share.

    A sample is a chain of its own. What is asked of single elements is clamped in every sweep; hidden units come in
    little by little, over half of the sweeps, while the number of atoms stays; what breaks the grammar is drawn again.

    Args:
        grammar: of the formulas.
        config: size, and how it is trained.
        anneal: how log Z is estimated, with so many chains for each number of atoms.
        sweeps: of each sample.
    """

    kind: ClassVar[Kind] = "AIS"

    name = "softmax"

    def __init__(
        self,
        grammar: Grammar,
        config: SoftmaxConfig = SoftmaxConfig(),
        anneal: Anneal = THOROUGH,
        sweeps: int = 40,
    ) -> None:
        self.grammar, self.config, self.anneal, self.sweeps = grammar, config, anneal, sweeps
        n = len(grammar.elements)
        self.machine = Machine(torch.zeros(n, config.hidden), torch.zeros(n), torch.zeros(config.hidden))
        self.sizes = torch.full((grammar.max_atoms + 1,), -torch.inf, dtype=torch.float64)

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `Family`: by chains that begin at the formulas and go on, each with the atoms of its formula."""
        counts = torch.from_numpy(self.grammar.counts(formulas)).float()
        self.machine = learned(counts, self.config, torch.Generator().manual_seed(seed))
        found = torch.bincount(counts.sum(1).long(), minlength=self.grammar.max_atoms + 1).double() + PSEUDO
        sums = log_sums(self.machine, self.grammar, self.anneal)
        found[sums.isinf()] = 0.0  # numbers of atoms of which no formula was ever seen are not drawn
        self.sizes = torch.where(found > 0, (found / found.sum()).log() - sums, -torch.inf)

    def save(self, path: Path) -> None:
        """Write what it has learned."""
        arrays = dict(zip(ARRAYS, (*self.machine, self.sizes), strict=True))
        save_arrays(path, self.name, self.grammar, {name: array.numpy() for name, array in arrays.items()})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Inverse of `save`.

        Raises:
            data.errors.InputError: not a file of this model.
        """
        grammar, arrays = load_arrays(path, cls.name, ARRAYS)
        weights, elements, hidden, sizes = map(torch.from_numpy, arrays)
        family = cls(grammar, SoftmaxConfig(hidden=len(hidden)))
        family.machine, family.sizes = Machine(weights, elements, hidden), sizes
        return family

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`."""
        counts = torch.from_numpy(self.grammar.counts(formulas)).double()
        weights = Machine(*(x.double() for x in self.machine)).log_weight(counts)
        return LogProbability(np.asarray((weights + self.sizes[counts.sum(1).long()]).numpy()), self.kind)

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, condition), rng)

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, None, given), rng)

    def _draw(self, n: int, wish: Demand, rng: np.random.Generator) -> list[Formula]:
        """Chains of which each ends in one formula, right or wrong."""
        machine, generator = self.machine, torch.Generator().manual_seed(int(rng.integers(2**62)))
        clamp = Clamp(wish, self.sizes)
        known = self._numbers_of_atoms(clamp)

        def draw(m: int) -> list[Formula]:
            total = torch.multinomial(known, m, replacement=True, generator=generator)
            counts = clamp.draw(machine.elements.expand(m, -1), torch.zeros(m), total, generator)
            for i in range(self.sweeps):
                beta = min(1.0, 2 * (i + 1) / self.sweeps)
                hidden = machine.draw_hidden(counts, beta, generator)
                logits = machine.elements + beta * hidden @ machine.weights.T
                counts = clamp.draw(logits, hidden @ machine.hidden, total if beta < 1 else None, generator)
            return self.grammar.from_counts(counts.long().numpy())

        return collect(n, wish, draw)

    def _numbers_of_atoms(self, clamp: Clamp) -> torch.Tensor:
        """Which numbers of atoms, from 0 on, can be what is asked: 1, else 0; chains begin with any [max_atoms+1].

        Raises:
            GenerationError: none can.
        """
        logits = self.machine.elements[None] - self.machine.elements.max()
        chances = torch.where(clamp.sizes.isfinite() & (clamp.tables(logits)[1][-1][0] > 0), 1.0, 0.0)
        if not chances.any():
            raise GenerationError("no number of atoms that this model knows can be what is asked for")
        return chances


def learned(counts: torch.Tensor, config: SoftmaxConfig, rng: torch.Generator) -> Machine:
    """Parameters that make formulas [n,elements] likely, without regard to the grammar."""
    shares = (counts.sum(0) + PSEUDO) / (counts.sum() + PSEUDO * counts.shape[1])
    machine = Machine(
        0.1 * torch.randn(counts.shape[1], config.hidden, generator=rng), shares.log(), torch.zeros(config.hidden)
    )
    for parameter in machine:
        parameter.requires_grad_()
    optimiser = torch.optim.Adam(machine, config.rate, betas=(0.9, 0.99))
    steps = min(config.steps, PASSES * math.ceil(len(counts) / config.batch))
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    chains = counts.clone()
    for _ in range(steps):
        rows = torch.randint(len(counts), (min(config.batch, len(counts)),), generator=rng)
        with torch.no_grad():
            drawn = chains[rows]
            for _ in range(config.sweeps):
                drawn = machine.sweep(drawn, 1.0, rng)
            chains[rows] = drawn
        contrast = machine.log_weight(drawn).mean() - machine.log_weight(counts[rows]).mean()
        optimiser.zero_grad()
        torch.autograd.backward(contrast + config.prior * machine.weights.square().sum())
        optimiser.step()
        falling.step()
    return Machine(*(parameter.detach() for parameter in machine))


@torch.no_grad()
def log_sums(machine: Machine, grammar: Grammar, anneal: Anneal) -> torch.Tensor:
    """Log of the sum of the weights of the formulas of the grammar, by their atoms from 0 on [max_atoms+1]; estimated.

    Minus infinity of a number of atoms where no chain ends in such a formula.
    """
    rng = torch.Generator().manual_seed(anneal.seed)
    total = torch.arange(1, grammar.max_atoms + 1).repeat_interleave(anneal.chains)
    counts = atoms(machine.elements.softmax(0).expand(len(total), -1), total, rng)
    logs = torch.zeros(len(total), dtype=torch.float64)
    betas = np.linspace(0.0, 1.0, anneal.temperatures + 1).tolist()
    for cold, warm in zip(betas[1:], betas, strict=False):
        inputs = machine.inputs(counts)
        logs += (softplus(cold * inputs) - softplus(warm * inputs)).sum(1).double()
        counts = machine.sweep(counts, cold, rng)
    found = counts.long().numpy()
    holds = ((found > 0).sum(1) <= grammar.slots) & (np.gcd.reduce(found, axis=1) == 1)
    logs = torch.where(torch.from_numpy(holds), logs, -torch.inf).reshape(grammar.max_atoms, -1)
    still = torch.arange(1, grammar.max_atoms + 1).double() * float(machine.elements.logsumexp(0))
    sums = still + len(machine.hidden) * math.log(2) + logs.logsumexp(1) - math.log(anneal.chains)
    return torch.cat([torch.tensor([-torch.inf], dtype=torch.float64), sums])
