"""How writer and critic learn from one another, for `generators.training.loop.train`.

Wasserstein distance with a gradient penalty (arXiv:1704.00028) and, if asked, spectral normalisation
(arXiv:1802.05957). The loop has one optimiser and one sum of losses, so each network sees the other as a constant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch.func import functional_call

from redoxa.generators.composition.adversarial.network import (
    NAME,
    Critic,
    Pair,
    Soft,
    WganConfig,
    one_hots,
    save_writer,
)
from redoxa.generators.composition.grammar import Formula, Grammar
from redoxa.generators.composition.trained import Rows
from redoxa.generators.composition.training import NEXT, formulas_maker
from redoxa.generators.training.kinds import Training

TURNS = 5
"""Steps of the critic to one of the writer."""

FIRST_SLOTS, GROW_EVERY = 2, 800
"""Elements of the formulas that training begins with, and steps after which there may be one more."""


class WganTask(Rows):
    """A `generators.training.loop.Task`.

    Args:
        grammar: of the formulas.
        learned: formulas to learn.
        held_out: formulas to judge by.
        config: size and safeguards of the networks.

    Raises:
        data.errors.InputError: a formula outside the grammar.
    """

    name = NAME

    def __init__(
        self, grammar: Grammar, learned: Sequence[Formula], held_out: Sequence[Formula], config: WganConfig
    ) -> None:
        super().__init__(len(learned), len(held_out))
        self.grammar, self.config = grammar, config
        self.slots = torch.from_numpy(grammar.encode([*learned, *held_out]))
        self.elements = (self.slots[:, :, 0] > 0).sum(1)
        self.settings = {
            "network": json.dumps(asdict(config)),
            "grammar": json.dumps(asdict(grammar)),
            "formulas": hashlib.sha256(self.slots.numpy().tobytes()).hexdigest(),
        }

    def network(self) -> Pair:
        """See `Task`."""
        return Pair(self.config, self.grammar)

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`; a single formula tells nothing of a distribution."""
        return [rows for rows in super().held_out() if len(rows) > 1]

    def losses(
        self, network: Pair, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: the critic's loss, and every few steps that of the writer."""
        slots = self._slots(step)
        if bool((small := self.elements[rows] <= slots).sum() > 1):
            rows = rows[small]
        real = Soft(*one_hots(self.slots[rows].to(generator.device), self.grammar))
        noise = torch.randn(len(rows), self.config.noise, generator=generator, device=generator.device)
        written = network.writer.write(noise, generator, slots)
        made = Soft(written.codes.detach(), written.counts.detach())
        distance = network.critic(real).mean() - network.critic(made).mean()
        loss = -distance
        terms = {"distance": distance}
        if self.config.penalty and torch.is_grad_enabled():
            terms["penalty"] = _penalty(network.critic, real, made, generator)
            loss = loss + self.config.penalty * terms["penalty"]
        if step % TURNS == 0:
            loss = loss - _as_constant(network.critic, written).mean()
        return {"loss": loss} | terms

    def _slots(self, step: int) -> int:
        """Elements that formulas may have so far."""
        if not self.config.grown:
            return self.grammar.slots
        return min(self.grammar.slots, FIRST_SLOTS + step // GROW_EVERY)

    def save(self, path: Path, network: Pair) -> None:
        """See `Task`."""
        save_writer(path, network.writer)


def _as_constant(critic: Critic, slots: Soft) -> torch.Tensor:
    """What the critic says of slots, with no gradient for the critic itself."""
    constants = {name: tensor.detach() for name, tensor in critic.named_parameters()}
    return torch.as_tensor(functional_call(critic, constants, (slots,)))


def _penalty(critic: Critic, real: Soft, made: Soft, generator: torch.Generator) -> torch.Tensor:
    """How far the gradient of the critic is from one between real and written formulas, squared, in the mean."""
    share = torch.rand(len(real.codes), 1, 1, generator=generator, device=generator.device)
    between = Soft(*((share * a + (1 - share) * b).requires_grad_() for a, b in zip(real, made, strict=True)))
    gradients = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norm = torch.cat([gradient.flatten(1) for gradient in gradients], 1).square().sum(1).add(1e-12).sqrt()
    return (norm - 1).square().mean()


def wgan_task(grammar: Grammar, learned: Sequence[Formula], held_out: Sequence[Formula]) -> WganTask:
    """With the networks that ship."""
    return WganTask(grammar, learned, held_out, WganConfig())


STEPS = 15000

WGAN: Final = Training(
    NAME,
    STEPS,
    frozenset({"rate"}),
    "formulas",
    partial(formulas_maker, wgan_task),
    rate=5e-4,
    clip=1e6,
    next=NEXT,
)
