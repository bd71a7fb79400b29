"""Drawing crystals from a sequence network: skeleton and elements under the grammar, then cell and coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from redoxa.data.symmetry.positions import PositionTable
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.generators.graph import N_TYPES
from redoxa.generators.wyckoff.checkpoint import table_of
from redoxa.generators.wyckoff.grammar import END, Draft, Grammar, Wish
from redoxa.generators.wyckoff.network import Context, SequenceNetwork


@dataclass(frozen=True)
class SampleRequest:
    """Crystals that are drawn together.

    Attributes:
        wishes: one for each crystal.
        latent: vectors that they are written from [B,L], or None.
        prefix: orbits that every one of them begins with (in any equal form), or None.
        temperature: of the discrete choices; below 1, likely ones are preferred.
        spread: of cell and coordinates; below 1, they stay nearer the centres of likely components.
    """

    wishes: Sequence[Wish]
    latent: torch.Tensor | None = None
    prefix: Draft | None = None
    temperature: float = 1.0
    spread: float = 1.0

    def part(self, rows: Sequence[int]) -> SampleRequest:
        """The same for some of the crystals."""
        latent = None if self.latent is None else self.latent[list(rows)]
        return SampleRequest([self.wishes[i] for i in rows], latent, self.prefix, self.temperature, self.spread)


class Sampler:
    """Draws from a sequence network; all randomness is the generator's."""

    def __init__(self, network: SequenceNetwork) -> None:
        self.network = network.eval()
        self.table: PositionTable = table_of(network)
        self.known = frozenset(np.flatnonzero(network.known.numpy()).tolist())
        with torch.inference_mode():
            self._places = network.places()

    @torch.inference_mode()
    def drafts(self, request: SampleRequest, generator: torch.Generator) -> list[Draft | None]:
        """One skeleton with elements for each wish; None where no space group can meet it."""
        grammars = _grammars(self.table, request.wishes)
        context = self._context(request)
        vector = self.network.context(context)
        if request.prefix is not None:
            drafts: list[Draft | None] = [deepcopy(request.prefix) for _ in request.wishes]
        else:
            drafts = self._groups(grammars, vector, request, generator)
        active = [i for i, draft in enumerate(drafts) if draft is not None]
        while active:
            active = self._extend(active, drafts, grammars, (context, vector, request), generator)
        return drafts

    @torch.inference_mode()
    def forms(
        self, drafts: Sequence[Draft], request: SampleRequest, generator: torch.Generator
    ) -> list[SymmetricCrystal]:
        """Cell and coordinates for drafts, one form each."""
        context = self._context(request)
        vector = self.network.context(context)
        groups = torch.tensor([draft.group for draft in drafts])
        positions, numbers = _padded(drafts)
        discrete = self.network.discrete_inputs(self._places, groups, (positions, numbers), context)
        is_free = (self.network.free[positions] > 0) & (numbers > 0)
        chosen = (~is_free).long().argsort(dim=1, stable=True)[:, : int(is_free.sum(1).max())]
        orbits = self.network.orbit(self._places, positions.gather(1, chosen), numbers.gather(1, chosen))
        free = torch.zeros(*chosen.shape, 3)
        cells = torch.zeros(len(drafts), 6)
        true = torch.ones(len(drafts), 1, dtype=torch.bool)
        real = torch.cat([true, true, numbers > 0, true, is_free.gather(1, chosen)], dim=1)
        volumes_A3 = (self.network.volumes[numbers] * self.network.atoms[positions] * (numbers > 0)).sum(1)
        for step in range(chosen.shape[1] + 1):
            rows = torch.nonzero(is_free.sum(1) >= step).flatten()
            geometry = self.network.geometry_inputs(orbits[rows, :step], free[rows, :step], cells[rows])
            x = torch.cat([discrete[rows], geometry], dim=1)
            h = self.network.trunk(x, vector[rows], real[rows, : x.shape[1]])[:, -1]
            if step == 0:
                drawn = self.network.cell_mixture(h).sample(generator, request.spread)
                cells = drawn * self.network.cell_real(groups)
            else:
                free[rows, step - 1] = self.network.free_mixture(h).sample(generator, request.spread)
        cells = self.network.unscaled_cells(cells, groups, volumes_A3)
        placed = torch.zeros(*positions.shape, 3).scatter(1, chosen.unsqueeze(-1).expand(-1, -1, 3), free)
        return [
            self._form(draft, x, cell) for draft, x, cell in zip(drafts, placed.tolist(), cells.tolist(), strict=True)
        ]

    def _context(self, request: SampleRequest) -> Context:
        content = torch.zeros(len(request.wishes), N_TYPES)
        for row, wish in zip(content, request.wishes, strict=True):
            for z, count in (wish.content or {}).items():
                row[z] = count
        free_order = torch.full((len(request.wishes),), request.prefix is not None)
        return Context(content, free_order, request.latent)

    def _groups(
        self, grammars: list[Grammar], vector: torch.Tensor, request: SampleRequest, generator: torch.Generator
    ) -> list[Draft | None]:
        """An empty draft for each wish, its space group drawn."""
        start = self.network.mark.weight[0].expand(len(grammars), 1, -1)
        h = self.network.trunk(start, vector, torch.ones(len(grammars), 1, dtype=torch.bool))
        allowed = {grammar: grammar.groups() for grammar in set(grammars)}
        options = [allowed[grammar] for grammar in grammars]
        possible = [i for i, groups in enumerate(options) if groups]
        drafts: list[Draft | None] = [None] * len(grammars)
        if possible:
            logits = self.network.to_group(h[:, 0])[possible]
            drawn = _draw(logits, [options[i] for i in possible], request.temperature, generator)
            for i, (group, log_probability) in zip(possible, drawn, strict=True):
                drafts[i] = Draft(group, log_probability=log_probability)
        return drafts

    def _extend(
        self,
        active: list[int],
        drafts: list[Draft | None],
        grammars: list[Grammar],
        given: tuple[Context, torch.Tensor, SampleRequest],
        generator: torch.Generator,
    ) -> list[int]:
        """Give the active drafts one more orbit, or their end; returns those that go on."""
        context, vector, request = given
        here = [draft for i in active if (draft := drafts[i]) is not None]
        groups = torch.tensor([draft.group for draft in here])
        positions, numbers = _padded(here)
        asked = Context(context.content[active], context.free_order[active])
        x = self.network.discrete_inputs(self._places, groups, (positions, numbers), asked)
        true = torch.ones(len(here), 2, dtype=torch.bool)
        hidden = self.network.trunk(x, vector[active], torch.cat([true, numbers > 0], dim=1))
        h = hidden[torch.arange(len(here)), 1 + (numbers > 0).sum(1)]
        options = [grammars[i].elements(draft) for i, draft in zip(active, here, strict=True)]
        stuck = {k for k, choices in enumerate(options) if not choices}  # only where a prefix cannot be completed
        for k in stuck:
            drafts[active[k]] = None
        open_rows = [k for k in range(len(here)) if k not in stuck]
        if not open_rows:
            return []
        elements = _draw(
            self.network.to_element(h)[open_rows], [options[k] for k in open_rows], request.temperature, generator
        )
        going = []
        for k, (element, log_probability) in zip(open_rows, elements, strict=True):
            here[k].log_probability += log_probability
            if element != END:
                going.append((k, element))
        if not going:
            return []
        rows = [k for k, _ in going]
        next_numbers = torch.tensor([[element] for _, element in going])
        logits = self.network.position_logits(h[rows].unsqueeze(1), self._places, groups[rows], next_numbers)[:, 0]
        first = [int(self.table.first[here[k].group]) for k in rows]
        allowed = [
            [p - start for p in grammars[active[k]].positions(here[k], element)]
            for (k, element), start in zip(going, first, strict=True)
        ]
        drawn = _draw(logits, allowed, request.temperature, generator)
        for (k, element), start, (place, log_probability) in zip(going, first, drawn, strict=True):
            here[k].positions.append(start + place)
            here[k].numbers.append(element)
            here[k].log_probability += log_probability
        return [active[k] for k in rows]

    def _form(self, draft: Draft, free: list[list[float]], cell: list[float]) -> SymmetricCrystal:
        """A draft with its numbers as a form."""
        orbits = tuple(
            Orbit(self.table.letter(position), number, tuple(x[: int(self.table.free[position])]))
            for position, number, x in zip(draft.positions, draft.numbers, free, strict=False)
        )
        lengths, angles = int(self.table.lengths[draft.group]), int(self.table.angles[draft.group])
        return SymmetricCrystal(
            draft.group,
            orbits,
            tuple(np.exp(cell[:lengths]).tolist()),
            tuple(np.degrees(cell[lengths : lengths + angles]).tolist()),
        )


def _grammars(table: PositionTable, wishes: Sequence[Wish]) -> list[Grammar]:
    """A grammar for each wish; equal wishes, the same one."""
    made: dict[int, Grammar] = {}
    return [made.setdefault(id(wish), Grammar(table, wish)) for wish in wishes]


def _padded(drafts: Sequence[Draft]) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and numbers [B,T], zero-padded."""
    length = max(len(draft.positions) for draft in drafts)
    positions = [[*draft.positions, *[0] * (length - len(draft.positions))] for draft in drafts]
    numbers = [[*draft.numbers, *[0] * (length - len(draft.numbers))] for draft in drafts]
    shape = len(drafts), length
    return torch.tensor(positions).long().reshape(shape), torch.tensor(numbers).long().reshape(shape)


def _draw(
    logits: torch.Tensor, options: Sequence[Sequence[int]], temperature: float, generator: torch.Generator
) -> list[tuple[int, float]]:
    """One option of each row and its log-probability among the options."""
    mask = torch.full_like(logits, -torch.inf)
    for row, choices in zip(mask, options, strict=True):
        row[list(choices)] = 0.0
    logs = (logits + mask).log_softmax(-1)
    drawn = torch.multinomial((logs / temperature).softmax(-1), 1, generator=generator)
    return list(zip(drawn[:, 0].tolist(), logs.gather(1, drawn)[:, 0].tolist(), strict=True))
