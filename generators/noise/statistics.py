"""What the training data say without a network: proportions, shares of elements, and how near two elements come.

Networks that draw each atom's element on its own mix too many elements into one cell. So the proportions (A B2 C4,
say) are drawn from those of real crystals, and the network says which elements fill them. Counts alone are kept, no
crystal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from redoxa.data.tables.datasets import CrystalData
from redoxa.generators.graph import N_TYPES, pair_distances

MAX_ELEMENTS = 8
SHARE_BINS = 20

ANION_CLASSES: tuple[frozenset[int], ...] = (
    frozenset({8}),
    frozenset({9}),
    frozenset({16, 34, 52}),
    frozenset({7, 15, 33}),
    frozenset({17, 35, 53}),
)
"""Anions by kind, looked for in this order; a crystal without any is of the last class, metals and the like."""

_IONS = frozenset({3, 11, 19, 12, 20, 30, 13, 37, 55, 38, 56})


@dataclass(frozen=True)
class DataStatistics:
    """Statistics of a data set.

    Attributes:
        sizes: crystals by number of atoms [max_atoms + 1].
        elements: crystals by element they hold [N_TYPES].
        patterns: atoms of each element in the cell, descending, zero-padded [P, MAX_ELEMENTS].
        classes: crystals of each pattern by anion class and by whether they hold an s-block ion, Zn or Al [P, 12].
        shares: crystals by element and by that element's share of the atoms, in bins [N_TYPES, SHARE_BINS].
        closest_A: distance under which two elements hardly ever come in a crystal, 0 where too few crystals hold both
            [N_TYPES, N_TYPES].
    """

    sizes: torch.Tensor
    elements: torch.Tensor
    patterns: torch.Tensor
    classes: torch.Tensor
    shares: torch.Tensor
    closest_A: torch.Tensor

    def pattern_weights(self, allowed: torch.Tensor, required: frozenset[int], neutral: bool) -> torch.Tensor:
        """How often each pattern is wanted among crystals of the kind that the allowed elements can form [P].

        Args:
            allowed: types that may occur, bool [N_TYPES].
            required: types that must occur.
            neutral: only compositions with an anion count.
        """
        wanted = torch.zeros(self.classes.shape[1])
        for i in range(len(ANION_CLASSES) + 1):
            metal = i == len(ANION_CLASSES)
            possible = not neutral if metal else any(bool(allowed[z]) for z in ANION_CLASSES[i])
            wanted[2 * i + 1] = float(possible)
            wanted[2 * i] = float(possible and not required & _IONS)
        weights = self.classes.float() @ wanted
        groups = (self.patterns > 0).sum(1)
        weights[(groups < len(required)) | (groups > int(allowed.sum()))] = 0.0
        return weights

    def share_score(self, share: torch.Tensor) -> torch.Tensor:
        """Log of how much likelier an element is as a whole group of this share than as one atom drawn at random.

        A network's probability for one atom counts an element once per atom; a group is drawn once. Hence P(share |
        element) over the element's mean share.

        Args:
            share: of the group in the cell [B].

        Returns:
            [B, N_TYPES], to be added to logits.
        """
        # Two crystals' worth of what all elements do, and a little of everything, so that nothing is impossible.
        counts = self.shares.float() + 2.0 * self.shares.sum(0) / self.shares.sum() + 0.01
        given = counts / counts.sum(1, keepdim=True)
        middle = (torch.arange(SHARE_BINS) + 0.5) / SHARE_BINS
        mean = given @ middle
        score: torch.Tensor = given[:, share_bin(share)].T.log() - mean.log()
        return score

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it by name, for a checkpoint."""
        return dict(vars(self))


def share_bin(share: torch.Tensor) -> torch.Tensor:
    """Bin of a share in (0, 1]."""
    return (share * SHARE_BINS).ceil().long().sub(1).clamp(0, SHARE_BINS - 1)


def count_statistics(data: CrystalData) -> DataStatistics:
    """Count a data set."""
    elements = torch.zeros(N_TYPES, dtype=torch.int64)
    shares = torch.zeros(N_TYPES, SHARE_BINS, dtype=torch.int64)
    patterns: dict[tuple[int, ...], Counter[int]] = {}
    for numbers, _, _ in data:
        kinds, counts = np.unique(numbers, return_counts=True)
        elements[kinds] += 1
        shares[kinds, share_bin(torch.from_numpy(counts / counts.sum()))] += 1
        if len(kinds) <= MAX_ELEMENTS:
            pattern = tuple(sorted(counts.tolist(), reverse=True))
            patterns.setdefault(pattern, Counter())[_class_of(frozenset(kinds.tolist()))] += 1
    ordered = sorted(patterns)
    table = torch.zeros(len(ordered), MAX_ELEMENTS, dtype=torch.int64)
    classes = torch.zeros(len(ordered), 2 * (len(ANION_CLASSES) + 1), dtype=torch.int64)
    for i, pattern in enumerate(ordered):
        table[i, : len(pattern)] = torch.tensor(pattern)
        for kind, count in patterns[pattern].items():
            classes[i, kind] = count
    sizes = torch.bincount(torch.from_numpy(data.counts))
    return DataStatistics(sizes, elements, table, classes, shares, closest_approach(data))


def closest_approach(data: CrystalData, quantile: float = 0.05, at_least: int = 20) -> torch.Tensor:
    """Quantile over crystals of the shortest distance between two elements, in Angstrom [N_TYPES, N_TYPES].

    Args:
        data: crystals.
        quantile: which.
        at_least: pairs that fewer crystals hold get 0.
    """
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    for numbers, frac, cell in data:
        shortest = pair_distances(torch.from_numpy(frac)[None], torch.from_numpy(cell)[None]).amin(-1)[0].numpy()
        kinds = np.unique(numbers)
        for i, a in enumerate(kinds):
            for b in kinds[i:]:
                found[int(a), int(b)].append(float(shortest[np.ix_(numbers == a, numbers == b)].min()))
    table = torch.zeros(N_TYPES, N_TYPES)
    for (a, b), distances in found.items():
        if len(distances) >= at_least:
            table[a, b] = table[b, a] = float(np.quantile(distances, quantile))
    return table


def _class_of(elements: frozenset[int]) -> int:
    """Column of `DataStatistics.classes` for a crystal with these elements."""
    anion = next((i for i, kind in enumerate(ANION_CLASSES) if elements & kind), len(ANION_CLASSES))
    return 2 * anion + int(bool(elements & _IONS))
