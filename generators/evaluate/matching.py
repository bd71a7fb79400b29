"""Structure prediction held against true structures: match rate, RMSE, METRe and cRMSE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure
from redoxa.generators.evaluate.validity import is_smact_valid, is_valid_structure
from redoxa.generators.evaluate.values import Value, share

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

STOL, LTOL, ANGLE_TOL_deg = 0.5, 0.3, 10.0
"""Tolerances of the published benchmarks (CDVAE, arXiv:2110.06197, and all after it)."""


@dataclass(frozen=True)
class Prediction:
    """What was answered for one true structure.

    Attributes:
        truth: the true structure.
        rms: for each answer, its distance to the truth over (V/N)^(1/3); None where it does not match or is missing.
        counts: for each answer, whether it and the truth are both valid by structure and composition.
        answered: whether there was any answer.
        best: least distance of any sample of the same reduced formula, given for whatever truth; None for no match.
    """

    truth: Crystal
    rms: tuple[float | None, ...]
    counts: tuple[bool, ...]
    answered: bool
    best: float | None

    def at(self, k: int, filtered: bool = False) -> float | None:
        """Least distance among the first k answers; `filtered` passes over pairs that do not count."""
        kept = [r for r, c in zip(self.rms[:k], self.counts[:k], strict=True) if r is not None and (c or not filtered)]
        return min(kept, default=None)


def compare(
    truths: Sequence[Crystal],
    answers: Sequence[Sequence[Crystal | None]],
    others: Sequence[Crystal] = (),
    on_step: Callable[[int, int], None] | None = None,
) -> list[Prediction]:
    """Match the answers of each truth, and every sample of its formula.

    Args:
        truths: true structures.
        answers: for each truth its answers, the likeliest first; None for one that is missing.
        others: further samples that only METRe sees.
        on_step: called with (done, total).
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(stol=STOL, ltol=LTOL, angle_tol=ANGLE_TOL_deg)
    samples: dict[str, dict[str, Structure]] = defaultdict(dict)
    for crystal in (*(c for row in answers for c in row if c is not None), *others):
        samples[crystal.formula].setdefault(crystal.content_hash, to_structure(crystal))
    predictions = []
    for i, (truth, row) in enumerate(zip(truths, answers, strict=True)):
        own = {c.content_hash for c in row if c is not None}
        bucket = samples.get(truth.formula, {})
        target = to_structure(truth)
        found = {key: _rms(matcher, structure, target) for key, structure in bucket.items()}
        found |= dict.fromkeys(own - found.keys())  # an answer of another formula
        rms = tuple(None if c is None else found[c.content_hash] for c in row)
        valid = is_valid(truth)
        counts = tuple(c is not None and valid and is_valid(c) for c in row)
        best = min((r for r in found.values() if r is not None), default=None)
        predictions.append(Prediction(truth, rms, counts, bool(own), best))
        if on_step is not None:
            on_step(i + 1, len(truths))
    return predictions


def is_valid(crystal: Crystal) -> bool:
    """Valid by structure and by SMACT, the filter of the published match rates."""
    return is_valid_structure(crystal) and is_smact_valid(crystal.composition)


def _rms(matcher: StructureMatcher, sample: Structure, truth: Structure) -> float | None:
    found = matcher.get_rms_dist(sample, truth)
    return None if found is None else float(found[0])


def match_values(predictions: Sequence[Prediction], k: int) -> dict[str, Value]:
    """Match rates and errors; shares are of all truths, whether answered or not."""
    values: dict[str, Value] = {}
    for depth in sorted({1, k}):
        for filtered in (False, True):
            name = f"{depth}_filtered" if filtered else str(depth)
            found = [p.at(depth, filtered) for p in predictions]
            values[f"match_at_{name}"] = share(f is not None for f in found)
            values[f"rmse_at_{name}"] = _mean([f for f in found if f is not None])
    values["metre"] = share(p.best is not None for p in predictions)
    values["crmse"] = _mean([STOL if p.best is None else p.best for p in predictions])
    return values


def _mean(numbers: Sequence[float]) -> Value:
    return Value(float(np.mean(numbers)) if numbers else None, len(numbers))
