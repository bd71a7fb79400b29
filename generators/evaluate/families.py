"""Is a crystal new, or only a known one with its transition metals exchanged.

The family of a formula is what is left when every transition metal is written M: LiCoO2, LiNiO2 and Li2NiMnO4 are all
of LiMO2. Fingerprints are of distances alone, so that crystals of one family can be compared metal for metal.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Final

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from redoxa.data.fingerprint import SAME_UNRELAXED, STEP, WIDTH, Fingerprint
from redoxa.data.synthesis.formula import parse_formula
from redoxa.data.tables.known_materials import KnownMaterial

TRANSITION_METALS: Final = frozenset(
    chemical_symbols[z] for start, end in ((21, 30), (39, 48), (71, 80), (103, 112)) for z in range(start, end + 1)
)
"""Groups 3 to 12, with Lu and Lr in group 3 (IUPAC provisional report, doi:10.1515/ci-2021-0127)."""

FARTHEST = 255 * STEP
"""What a packed fingerprint can hold; larger numbers count as this."""

MOST_EXCHANGED = 5
"""Transition metals that are tried in every order; more are compared by atomic number only (720 orders of six)."""

Composition = Mapping[str, int]
Layout = tuple[tuple[str, int], ...]
"""Elements by atomic number with their counts, reduced; the transition metals last, as M, by their counts."""


def family(composition: Composition) -> str:
    """The reduced formula with every transition metal written M, elements by the alphabet: ``Li1M1O2``."""
    merged: dict[str, int] = defaultdict(int)
    for symbol, count in composition.items():
        merged["M" if symbol in TRANSITION_METALS else symbol] += count
    divisor = math.gcd(*merged.values())
    return "".join(f"{symbol}{merged[symbol] // divisor}" for symbol in sorted(merged))


def transition_metals(composition: Composition) -> int:
    """How many different transition metals there are."""
    return len(TRANSITION_METALS & composition.keys())


@dataclass(frozen=True)
class Gaps:
    """Fingerprint distances of a crystal to the known ones.

    Attributes:
        formula: to the nearest of its reduced formula; None where no structure of it is known.
        family: to the nearest of its formula or, metals exchanged, of its family in the same proportions of metals;
            None where there is none to compare with.
    """

    formula: float | None
    family: float | None


@dataclass(frozen=True)
class _Stack:
    """The known structures of a layout: formulas [m], and fingerprints [m, elements, `WIDTH`] in its order."""

    formulas: NDArray[np.str_]
    blocks: NDArray[np.float64]


class Families:
    """The known materials by family.

    Args:
        known: the table.
    """

    def __init__(self, known: Iterable[KnownMaterial]) -> None:
        self._formulas: dict[str, set[str]] = defaultdict(set)
        self._pictured: dict[Layout, list[KnownMaterial]] = defaultdict(list)
        self._stacks: dict[Layout, _Stack] = {}
        for material in known:
            content = _content(material.formula)
            self._formulas[family(content)].add(material.formula)
            if material.fingerprint is not None:
                self._pictured[_orders(content)[0]].append(material)

    def knows(self, composition: Composition, but: str = "") -> bool:
        """Whether the family of a composition holds a known formula other than `but`."""
        return bool(self._formulas.get(family(composition), set()) - {but})

    def gaps(self, mark: Fingerprint, composition: Composition, held_out: bool = False) -> Gaps:
        """How near the known crystals are.

        Args:
            mark: of the crystal.
            composition: of the crystal, any multiple of the formula unit.
            held_out: whether the crystal is a known one itself: its own entry, which is the nearest of its formula
                within `SAME_UNRELAXED`, is left out.
        """
        layout, orders = _orders(composition)
        if layout not in self._pictured:
            return Gaps(None, None)
        stack = self._stack(layout)
        blocks = np.minimum(mark.vector, FARTHEST).reshape(-1, WIDTH)
        each = np.array([np.abs(stack.blocks - blocks[list(order)]).max((1, 2)) for order in orders])
        own, any_metal = np.where(stack.formulas == mark.formula, each[0], np.inf), each.min(0)
        if held_out and own.min() <= SAME_UNRELAXED:
            itself = int(own.argmin())
            own, any_metal = np.delete(own, itself), np.delete(any_metal, itself)
        return Gaps(_least(own), _least(any_metal))

    def _stack(self, layout: Layout) -> _Stack:
        if layout not in self._stacks:
            materials = self._pictured[layout]
            blocks = []
            for material in materials:
                vector = Fingerprint.unpack(material.formula, material.fingerprint or b"").vector
                blocks.append(vector.reshape(-1, WIDTH)[list(_orders(_content(material.formula))[1][0])])
            self._stacks[layout] = _Stack(np.array([m.formula for m in materials]), np.array(blocks))
        return self._stacks[layout]


def _least(gaps: NDArray[np.float64]) -> float | None:
    least = float(gaps.min(initial=np.inf))
    return least if math.isfinite(least) else None


@cache
def _content(formula: str) -> dict[str, int]:
    return {symbol: int(amount) for symbol, amount in parse_formula(formula).items()}


def _orders(composition: Composition) -> tuple[Layout, list[tuple[int, ...]]]:
    """The layout, and every order of the elements by atomic number that gives it; the first is by atomic number."""
    divisor = math.gcd(*composition.values())
    symbols = sorted(composition, key=lambda symbol: atomic_numbers[symbol])
    counts = [composition[symbol] // divisor for symbol in symbols]
    metals = [i for i, symbol in enumerate(symbols) if symbol in TRANSITION_METALS]
    others = [i for i in range(len(symbols)) if i not in metals]
    metals.sort(key=lambda i: (counts[i], i))
    wanted = [counts[i] for i in metals]
    tried = permutations(metals) if len(metals) <= MOST_EXCHANGED else [tuple(metals)]
    orders = [(*others, *order) for order in tried if [counts[i] for i in order] == wanted]
    return (*((symbols[i], counts[i]) for i in others), *(("M", count) for count in wanted)), orders
