"""One refusal for every generator: draws that are known or repeat one another are drawn again.

What `orbits` refuses of itself (`generators/orbits/refusal.py`) is asked of all, so that a generator is not told from
another by a filter that only one of them has.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from redoxa.data.errors import GenerationError, StructureError
from redoxa.data.fingerprint import SAME_UNRELAXED, Fingerprint, distance, fingerprint
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.generators.base import Condition, Generator
from redoxa.generators.evaluate.answers import Answer

ROUNDS = 40
"""Draws of what is missing. In the later half new forms of known formulas are let through, as `orbits` does."""


class KnownRefusal:
    """Refuses known formulas, and what lies within `SAME_UNRELAXED` of an earlier crystal.

    Args:
        known: the table.

    Attributes:
        known_formulas: whether a known formula may come in a form that is not known.
    """

    def __init__(self, known: KnownMaterials) -> None:
        self._known = known
        self._before: dict[str, list[Fingerprint]] = defaultdict(list)
        self.known_formulas = False

    def passes(self, crystal: Crystal) -> bool:
        """Whether a crystal is new, and then remember it."""
        formula = crystal.formula
        if self._known.knows_formula(formula) and not self.known_formulas:
            return False
        try:
            mark = fingerprint(crystal)
        except StructureError:
            return False
        match = self._known.nearest(mark, SAME_UNRELAXED)
        if match is not None and match.level == "structure":
            return False
        if any(distance(mark, other) <= SAME_UNRELAXED for other in self._before[formula]):
            return False
        self._before[formula].append(mark)
        return True


def draw_new(
    generator: Generator,
    n: int,
    condition: Condition,
    rng: np.random.Generator,
    known: KnownMaterials,
    on_step: OnStep | None = None,
) -> list[Answer]:
    """Draw until n crystals pass, each time as many as are missing.

    Raises:
        GenerationError: the generator can draw no more, or too few pass.
    """
    refusal, kept = KnownRefusal(known), list[Answer]()
    for turn in range(ROUNDS):
        refusal.known_formulas = 2 * turn >= ROUNDS
        batch, labels = generator.sample(n - len(kept), condition, rng)
        kept += [pair for pair in zip(batch.to_crystals(), labels, strict=True) if refusal.passes(pair[0])]
        if on_step is not None:
            on_step(len(kept), n)
        if len(kept) == n:
            return kept
    raise GenerationError(
        f"{generator.name} drew only {len(kept)} of {n} crystals that are new; allow more elements or atoms, ask for "
        "fewer, or leave out --refuse-known"
    )
