"""Which atoms a sample holds: from a condition to rows of atomic numbers, before any geometry is paid for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import torch
from ase.data import chemical_symbols

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import GenerationError
from redoxa.generators.base import CellContent, Condition
from redoxa.generators.graph import MASK, N_TYPES
from redoxa.generators.noise.sampling.guidance import Aim, Network
from redoxa.generators.noise.sampling.samplers import SamplerSettings, allowed_types, noise_for
from redoxa.generators.noise.statistics import MAX_ELEMENTS, DataStatistics

MAX_ATOMS = 60
"""Largest cell that is tried; the network was trained on far smaller ones."""

MAX_BATCH = 128
"""Most crystals that go through the network at once."""


@dataclass
class CompositionCounts:
    """How many compositions were drawn, and why some were refused."""

    drawn: int = 0
    unbalanced: int = 0


@dataclass(frozen=True)
class CompositionSource:
    """Draws rows of types for a condition.

    Attributes:
        network: trained network.
        aim: what crystals are to be like; labels are drawn for each composition.
        settings: how types are drawn; `allowed` is the condition's.
        condition: what is asked for.
        statistics: of the training data.
        weights: how often each pattern is wanted [P].
    """

    network: Network
    aim: Aim
    settings: SamplerSettings
    condition: Condition
    statistics: DataStatistics
    weights: torch.Tensor

    def fill(
        self, n: int, generator: torch.Generator, counts: CompositionCounts, rounds: int = 20
    ) -> list[torch.Tensor]:
        """Exactly n compositions that meet the condition.

        Raises:
            GenerationError: not enough charge-neutral compositions turned up.
        """
        found: list[torch.Tensor] = []
        for attempt in range(rounds):
            missing = n - len(found)
            if missing == 0:
                break
            # Later rounds ask for more, since what is missing then is hard to find.
            found += self.draw(missing * (1 + attempt // 4) + attempt, generator, counts)[:missing]
        if len(found) < n:
            raise GenerationError(
                f"only {len(found)} of {n} charge-neutral compositions turned up among {counts.drawn}; allow more "
                "elements or other cell sizes, or ask without charge_neutral"
            )
        return found

    def draw(self, count: int, generator: torch.Generator, counts: CompositionCounts) -> list[torch.Tensor]:
        """Try once for `count` compositions; returns those that meet the condition, perhaps fewer, in drawn order."""
        drawn = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        rows: list[torch.Tensor | None] = [None] * count
        sizes = self.statistics.patterns[drawn].sum(1)
        for size in sorted(set(sizes.tolist())):
            where = torch.nonzero(sizes == size).flatten()
            for first in range(0, len(where), MAX_BATCH):
                part = where[first : first + MAX_BATCH]
                groups = torch.stack([_groups(pattern) for pattern in self.statistics.patterns[drawn[part]]])
                for place, row in zip(part.tolist(), self._elements(groups, generator), strict=True):
                    rows[place] = row
        kept = [row for row in rows if row is not None]
        counts.drawn += count
        counts.unbalanced += count - len(kept)
        return kept

    def hidden(self, n: int, generator: torch.Generator) -> list[torch.Tensor]:
        """Rows whose types are left to the flow: the required elements are placed, the others are hidden."""
        drawn = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return [self._place_required(_groups(p)[None], generator)[0] for p in self.statistics.patterns[drawn]]

    def _elements(self, groups: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor | None]:
        """Give each group of atoms [B,N] an element, group after group in random order; None where none balances."""
        types = self._place_required(groups, generator)
        labels = self.aim.draw(len(groups), generator)
        failed = torch.zeros(len(groups), dtype=torch.bool)
        while bool((types == MASK).any()):
            rows = torch.nonzero((types == MASK).any(1)).flatten()
            types[rows], stuck = self._next_element(types[rows], groups[rows], labels[rows], generator)
            failed[rows] |= stuck
        return [None if bad else row for bad, row in zip(failed.tolist(), types, strict=True)]

    def _next_element(
        self, types: torch.Tensor, groups: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Types [B,N] with one more group filled, and which crystals had no element that balances [B]."""
        with torch.inference_mode():
            start = noise_for(self.network, types, self.settings, generator)
            guess = self.network(types, start.coords, start.lattice, torch.zeros(len(types)), labels)
        lottery = torch.rand(types.shape, generator=generator).masked_fill(types != MASK, -1.0)
        members = groups == groups.gather(1, lottery.argmax(1, keepdim=True))
        logits = (guess.types * members.unsqueeze(-1)).sum(1) / members.sum(1, keepdim=True)
        logits = logits / self.settings.temperature + self.statistics.share_score(members.float().mean(1))
        open_types = self._open_types(types, members)
        stuck = ~open_types.any(1)
        open_types[stuck] = allowed_types(self.settings)
        drawn = torch.multinomial(logits.masked_fill(~open_types, -torch.inf).softmax(-1), 1, generator=generator)
        return torch.where(members, drawn, types), stuck

    def _place_required(self, groups: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Types with each required element on a group of a share that it takes in real crystals, the rest hidden."""
        types = torch.full(groups.shape, MASK)
        present = torch.nn.functional.one_hot(groups, MAX_ELEMENTS).float().mean(1)
        for element in sorted(self.condition.required):
            score = torch.stack([self.statistics.share_score(share)[:, element] for share in present.T], dim=1).exp()
            taken = torch.nn.functional.one_hot(groups, MAX_ELEMENTS).bool() & (types != MASK).unsqueeze(-1)
            score = score.masked_fill((present == 0) | taken.any(1), 0.0)
            group = torch.multinomial(score, 1, generator=generator)
            types = torch.where(groups == group, element, types)
        return types

    def _open_types(self, types: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
        """Elements for the chosen group [B,N_TYPES]: allowed, not used yet, and balancing if it is the last."""
        used = torch.nn.functional.one_hot(types, N_TYPES).bool().any(1)
        open_types = allowed_types(self.settings) & ~used
        if not self.condition.charge_neutral:
            return open_types
        last = ((types == MASK) == members).all(1)
        for i in torch.nonzero(last).flatten().tolist():
            rest, missing = symbol_counts(types[i][~members[i]]), int(members[i].sum())
            for element in torch.nonzero(open_types[i]).flatten().tolist():
                open_types[i, element] = is_charge_balanced(rest | {chemical_symbols[element]: missing})
        return open_types


def _groups(pattern: torch.Tensor) -> torch.Tensor:
    """Group of each atom of a pattern: (2, 1, 0 ...) gives [0, 0, 1]."""
    return torch.repeat_interleave(torch.arange(MAX_ELEMENTS), pattern)


def source_for(
    network: Network, aim: Aim, settings: SamplerSettings, condition: Condition, statistics: DataStatistics
) -> CompositionSource:
    """Check a condition without contents against what the network knows, and set up the draw.

    Raises:
        GenerationError: an element is unknown or not allowed, or no cell size fits.
    """
    allowed = statistics.elements > 0
    if condition.allowed:
        asked = torch.zeros(N_TYPES, dtype=torch.bool)
        asked[[z for z in condition.allowed if 0 < z < N_TYPES]] = True
        allowed = allowed & asked
    if not bool(allowed.any()):
        raise GenerationError("the generator knows none of the allowed elements")
    bad = [z for z in sorted(condition.required) if not (0 < z < N_TYPES and bool(allowed[z]))]
    if bad:
        names = ", ".join(chemical_symbols[z] for z in bad)
        raise GenerationError(f"required but not allowed, or unknown to the generator: {names}")
    low, high = condition.n_atoms
    weights = statistics.pattern_weights(allowed, condition.required, condition.charge_neutral)
    sizes = statistics.patterns.sum(1)
    weights[(sizes < low) | (sizes > high)] = 0.0
    if float(weights.sum()) == 0.0:
        raise GenerationError(
            f"no cell of {low} to {high} atoms with {len(condition.required)} required among {int(allowed.sum())} "
            f"elements is like any in the training data (cells of 1 to {int(sizes.max())} atoms)"
        )
    return CompositionSource(network, aim, replace(settings, allowed=allowed), condition, statistics, weights)


def rows_for(contents: tuple[CellContent, ...], condition: Condition) -> list[torch.Tensor]:
    """Rows of types for exact contents, elements ascending.

    Raises:
        GenerationError: a content is empty, too large, not an element, or breaks the rest of the condition.
    """
    rows = []
    for i, content in enumerate(contents):
        if any(count < 1 for count in content.values()) or not content:
            raise GenerationError(f"content {i} ({content}) is empty or has a count below 1")
        if any(not 0 < z < N_TYPES for z in content):
            raise GenerationError(f"content {i} ({content}) holds an element beyond Z = {N_TYPES - 1}")
        if sum(content.values()) > MAX_ATOMS:
            raise GenerationError(f"content {i} has {sum(content.values())} atoms; at most {MAX_ATOMS} are possible")
        if condition.allowed and not set(content) <= condition.allowed:
            raise GenerationError(f"content {i} ({content}) holds elements that are not allowed")
        if not condition.required <= set(content):
            raise GenerationError(f"content {i} ({content}) misses a required element")
        row = torch.tensor([z for z, count in sorted(content.items()) for _ in range(count)])
        if condition.charge_neutral and not is_neutral(row):
            raise GenerationError(f"content {i} ({content}) cannot be balanced by common oxidation states")
        rows.append(row)
    return rows


def is_neutral(types: torch.Tensor) -> bool:
    """Whether common oxidation states balance a row of atomic numbers [N]."""
    return is_charge_balanced(symbol_counts(types))


def symbol_counts(types: torch.Tensor) -> dict[str, int]:
    """Atoms by element symbol in a row of atomic numbers [N]."""
    return dict(Counter(chemical_symbols[z] for z in types.tolist()))
