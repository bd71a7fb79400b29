"""Gibbs sampling of formulas: the hidden units given the slots, and all slots at once given the hidden units.

Elements ascend, so the slots given the hidden units are a chain from each to the next, and so they are drawn exactly:
what the later slots allow is summed up from the last slot on, then slots are drawn from the first one on. The counts of
an element are summed into its weight, those alone that are asked for.

What else is asked of a formula (number of atoms, common divisor, size of the cell) is no matter of neighbours. So a
draw that fails is drawn again, a few times, and then the formula stays as it was. The chance to stay depends on the
hidden units alone, not on the formula, and what does not stay is drawn from the conditional distribution over what is
asked for: a mixture of that and of standing still, both of which leave the distribution as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from redoxa.generators.composition.boltzmann.network import Rbm, Tables
from redoxa.generators.composition.grammar import Demand


@dataclass(frozen=True)
class Asked:
    """A demand (neutrality aside) as masks.

    Attributes:
        first: which code may stand in the first slot [elements+1].
        follows: which code may follow which [elements+1,elements+1].
        last: which code may stand in the last slot [elements+1].
        counts: which counts a code may have [elements+1,max_atoms+1].
        whole: which numbers of atoms may go with which common divisor [slots*max_atoms+1,max_atoms+1].
    """

    first: torch.Tensor
    follows: torch.Tensor
    last: torch.Tensor
    counts: torch.Tensor
    whole: torch.Tensor

    @classmethod
    def of(cls, wish: Demand) -> Asked:
        """What is asked of formulas."""
        grammar, codes = wish.grammar, np.arange(len(wish.grammar.elements) + 1)
        needed = np.isin(codes, wish.required)
        before = needed.cumsum() - needed  # required ones below each code
        after = needed.sum() - needed.cumsum()
        follows = (codes > codes[:, None]) & (before[None, :] == (before + needed)[:, None])
        follows[:, 0] = after == 0
        follows[0] = codes == 0
        counts = np.vstack([np.arange(grammar.max_atoms + 1) == 0, wish.counts])
        counts[1:, 0] = False
        whole = np.zeros((grammar.slots * grammar.max_atoms + 1, grammar.max_atoms + 1), np.bool_)
        whole[1 : grammar.max_atoms + 1, 1] = [wish.fits(atoms) for atoms in range(1, grammar.max_atoms + 1)]
        last = (after == 0) | (codes == 0)
        masks = ((before == 0) & (codes > 0), follows, last, counts, whole)
        return cls(*map(torch.from_numpy, masks))

    def to(self, device: torch.device) -> Asked:
        """On another device."""
        return Asked(*(mask.to(device) for mask in (self.first, self.follows, self.last, self.counts, self.whole)))

    def accepts(self, slots: torch.Tensor) -> torch.Tensor:
        """Whether the atoms of slots [B,slots,2] add up to what is asked for, and have no common divisor [B]."""
        counts = slots[:, :, 1]
        divisor = counts[:, 0]
        for count in counts.T[1:]:
            divisor = torch.gcd(divisor, count)
        return self.whole[counts.sum(1), divisor]


class Chain(NamedTuple):
    """Slots given hidden units, as weights of a chain, each up to a factor; float64.

    Attributes:
        first: of the codes of the first slot [B,elements+1].
        follows: of the codes of the slots after it [B,slots-1,elements+1], before `allowed`.
        allowed: of the codes after a code [elements+1,elements+1].
        counts: of a count in a slot [B,slots,max_atoms+1].
        pairs: of the counts of a code in any slot [B,elements+1,max_atoms+1].
    """

    first: torch.Tensor
    follows: torch.Tensor
    allowed: torch.Tensor
    counts: torch.Tensor
    pairs: torch.Tensor


def chain_of(network: Rbm, tables: Tables, hidden: torch.Tensor, asked: Asked) -> Chain:
    """The chain, from hidden units [B,hidden]."""
    grammar, n_codes, n_counts = network.grammar, *tables.pairs.shape
    rows = (tables.bias + hidden @ tables.rows.T).double()
    first, second = grammar.slots * n_codes, grammar.slots * (n_codes + n_counts)
    codes = rows[:, :first].reshape(-1, grammar.slots, n_codes)
    counts = rows[:, first:second].reshape(-1, grammar.slots, n_counts)
    kin = rows[:, second:].reshape(len(rows), -1, n_counts)
    pairs = kin.exp()[:, network.groups] * torch.where(asked.counts, tables.pairs.double().exp(), 0.0)
    counts = (counts - counts.amax(2, keepdim=True)).exp()
    weights = (codes - codes.amax(2, keepdim=True)).exp() * (counts @ pairs.mT)
    allowed = torch.where(asked.follows, tables.follows.double().exp(), 0.0)
    after = asked.last.double().expand(len(hidden), -1)
    follows = []
    for t in range(grammar.slots - 1, 0, -1):
        follows.append(weights[:, t] * after)
        after = follows[-1] @ allowed.T
        after = after / after.amax(1, keepdim=True).clamp_min(1e-300)
    rest = torch.stack(follows[::-1], 1) if follows else weights[:, :0]
    return Chain(weights[:, 0] * after * asked.first, rest, allowed, counts, pairs)


def drawn(chain: Chain, generator: torch.Generator | None) -> torch.Tensor:
    """Slots [B,slots,2], one draw for each row."""
    n, slots = chain.counts.shape[:2]
    rows = torch.arange(n, device=chain.counts.device)
    uniform = torch.rand(n, 2 * slots, dtype=torch.float64, device=rows.device, generator=generator)
    made, code = [], rows
    for t in range(slots):
        weights = chain.first if t == 0 else chain.follows[:, t - 1] * chain.allowed[code]
        code = _one_of(weights, uniform[:, 2 * t])
        count = _one_of(chain.counts[:, t] * chain.pairs[rows, code], uniform[:, 2 * t + 1])
        made.append(torch.stack([code, count], 1))
    return torch.stack(made, 1)


def _one_of(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """An index of each row of weights [B,n], by a number from 0 to 1 [B]."""
    sums = weights.cumsum(1)
    return (uniform[:, None] * sums[:, -1:] >= sums).sum(1).clamp_max(weights.shape[1] - 1)


class Warmth(NamedTuple):
    """A machine between the whole one and one whose hidden units stand still.

    Attributes:
        beta: share of the hidden units that is at work.
        usual: what the rest of them stands at [hidden].
    """

    beta: float
    usual: torch.Tensor


TRIES = 4
"""Draws of the slots before a formula stays as it is."""


@torch.no_grad()
def sweep(
    network: Rbm,
    tables: Tables,
    slots: torch.Tensor,
    asked: Asked,
    generator: torch.Generator | None,
    warmth: Warmth | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden units given slots [B,slots,2], then slots given those.

    Args:
        network: the machine.
        tables: of the machine.
        slots: formulas that satisfy what is asked.
        asked: masks.
        generator: the source of randomness; None for torch's global one.
        warmth: how much of the hidden units is at work; all, by default.

    Returns:
        The new slots, and which were drawn anew [B].
    """
    inputs = network.inputs(tables, slots)
    noise = torch.rand(inputs.shape, device=inputs.device, generator=generator)
    beta = 1.0 if warmth is None else warmth.beta
    hidden = (noise < torch.sigmoid(beta * inputs)).to(inputs.dtype) - 0.5
    if warmth is not None:
        hidden = beta * hidden + (1 - beta) * warmth.usual
    chain = chain_of(network, tables, hidden, asked)
    made = drawn(chain, generator)
    new = asked.accepts(made)
    for _ in range(TRIES - 1):
        left = torch.nonzero(~new).squeeze(1)
        if not len(left):
            break
        few = Chain(chain.first[left], chain.follows[left], chain.allowed, chain.counts[left], chain.pairs[left])
        made[left] = drawn(few, generator)
        new[left] = asked.accepts(made[left])
    return torch.where(new[:, None, None], made, slots), new
