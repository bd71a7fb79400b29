"""The constants by which `orbits` ranks structures of a formula, fitted anew to crystals held out.

    python benchmarks/structure_prediction.py          # first: it trains the networks and keeps what it relaxed
    python -m benchmarks.ranking                      # then: a minute beside what was not relaxed yet

Of each content held out, the proposals that `orbits` relaxes are told right or wrong by their match with the crystal.
The constants of `generators.orbits.prediction` and a weight of the judge are those that make the right ones likeliest,
on crystals of even places; odd ones tell what is gained. Energies and networks stay as they are.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.structure_prediction import KeptRelaxer, held_out
from redoxa.data.records import Crystal
from redoxa.generators.base import Relaxed
from redoxa.generators.evaluate.matching import compare
from redoxa.generators.exchange.proposals import Proposal
from redoxa.generators.orbits.prediction import (
    BY_ELEMENTS,
    FREER,
    KNOWN,
    LIKELY,
    MOST,
    TAIL,
    ALIKE_eV_per_atom,
    Predictor,
    predictor_of,
)

Floats = NDArray[np.float64]

NAMES = ("judge", "BY_ELEMENTS", "KNOWN", "FREER", "TAIL", "ALIKE_eV_per_atom")
NOW: Floats = np.array([1.0, BY_ELEMENTS, KNOWN, FREER, TAIL, ALIKE_eV_per_atom])


@dataclass(frozen=True)
class Question:
    """A content held out.

    Attributes:
        terms: of each proposal: log-probability by the judge, log-likelihood of its elements, whether it is known,
            minus how freer it is [p,4].
        above_eV_per_atom: its energy above the lowest; infinite where it was not relaxed [p].
        right: whether it matches the crystal that is meant [p].
    """

    terms: Floats
    above_eV_per_atom: Floats
    right: NDArray[np.bool_]

    def scores(self, constants: Floats, with_energies: bool) -> Floats:
        """As `prediction.score` has them, by constants in the order of `NAMES` [p]."""
        plain = self.terms[:, :3] @ constants[:3]
        if not with_energies:
            return np.asarray(plain)
        above = np.log1p(self.above_eV_per_atom / constants[5])
        return np.asarray(plain + constants[3] * self.terms[:, 3] - constants[4] * above)


def terms_of(predictor: Predictor, proposals: Sequence[Proposal]) -> Floats:
    """See `Question`."""
    judge = predictor.judge.log_probabilities(predictor.proposer, proposals)
    plain = {id(o.proposal): o.log_probability for o in predictor.judged([list(proposals)])[0]}
    known = np.array([float(p.distances[0] == 0.0) for p in proposals])
    elements = (np.array([plain[id(p)] for p in proposals]) - judge - KNOWN * known) / BY_ELEMENTS
    freer = np.array([float(bool(p.changes)) + (p.cells > 1) for p in proposals])
    return np.stack([judge, elements, known, -freer], 1)


def questions(predictor: Predictor, relaxer: KeptRelaxer, truths: Sequence[Crystal]) -> list[Question | None]:
    """One a crystal; None where the memory proposes nothing that can be relaxed."""
    asked: list[tuple[list[Proposal], Floats]] = []
    for truth in truths:
        found = predictor.proposer.proposals(dict(Counter(truth.numbers)))
        terms = terms_of(predictor, found) if found else np.zeros((0, 4))
        chance = terms[:, :3] @ NOW[:3]
        order = np.argsort(-chance, kind="stable")
        likely = int((chance - np.logaddexp.reduce(chance) >= np.log(LIKELY)).sum()) if found else 0
        tried = order[: max(min(likely, MOST), min(1, len(found)))]
        asked.append(([found[i] for i in tried], terms[tried]))
    forms = [predictor.proposer.form(proposal) for proposals, _ in asked for proposal in proposals]
    relaxed = iter(relaxer(forms))
    return [
        question(truth, terms, [next(relaxed) for _ in proposals])
        for truth, (proposals, terms) in zip(truths, asked, strict=True)
    ]


def question(truth: Crystal, terms: Floats, relaxed: Sequence[Relaxed | None]) -> Question | None:
    """Of one crystal, with what came of the proposals."""
    energies = np.array([np.inf if one is None else one.energy_eV_per_atom for one in relaxed])
    if not np.isfinite(energies).any():
        return None
    (prediction,) = compare([truth], [[None if one is None else one.crystal for one in relaxed]])
    return Question(terms, energies - energies.min(), np.array([rms is not None for rms in prediction.rms]))


def loss(constants: Floats, asked: Sequence[Question], with_energies: bool) -> float:
    """Mean nats of the right proposals, of what was asked with one among them."""
    total = 0.0
    for one in asked:
        scores = one.scores(constants, with_energies)
        total += float(np.logaddexp.reduce(scores) - np.logaddexp.reduce(scores[one.right]))
    return total / len(asked)


def fitted(asked: Sequence[Question], with_energies: bool) -> Floats:
    """Constants of the least loss; positive ones."""
    usable = [one for one in asked if one.right.any() and not one.right.all()]
    free = slice(None) if with_energies else slice(0, 3)

    def of(logs: Floats) -> Floats:
        constants = NOW.copy()
        constants[free] = np.exp(logs)
        return constants

    found = minimize(
        lambda logs: loss(of(logs), usable, with_energies), np.log(NOW[free]), method="Nelder-Mead",
        options={"maxfev": 2000, "xatol": 1e-3, "fatol": 1e-5},
    )  # fmt: skip
    return of(found.x)


def hits(asked: Sequence[Question | None], constants: Floats, with_energies: bool) -> NDArray[np.bool_]:
    """Whether the first of each is right; what cannot be asked is a miss."""
    return np.array([one is not None and one.right[one.scores(constants, with_energies).argmax()] for one in asked])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000, help="crystals held out")
    parser.add_argument("--split", choices=("random", "formula"), default="random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/structure_prediction"))
    options = parser.parse_args()
    work = options.work / f"{options.split}-{options.n}-{options.seed}"
    weights = work / "orbits.safetensors"
    if not weights.exists():
        parser.error(f"{weights}: no such file; run benchmarks/structure_prediction.py with the same options first")
    predictor = predictor_of(weights, work / "templates.parquet")
    truths = held_out(options.n, options.split, options.seed)
    asked = questions(predictor, KeptRelaxer(work / "relaxed.jsonl"), truths)
    among = np.mean([one is not None and bool(one.right.any()) for one in asked])
    print(f"{len(asked)} crystals held out ({options.split}); a right proposal among those relaxed: {among:.3f}")
    even = [one for one in asked[::2] if one is not None]
    for words, with_energies in (("without energies", False), ("with energies", True)):
        new = fitted(even, with_energies)
        told = ", ".join(f"{name} {a:.3g} -> {b:.3g}" for name, a, b in zip(NAMES, NOW, new, strict=True))
        print(f"{words}: {told}")
        for half, part in (("even", asked[::2]), ("odd", asked[1::2])):
            before, after = (hits(part, constants, with_energies) for constants in (NOW, new))
            gain = after.astype(float) - before
            error = gain.std() / len(gain) ** 0.5
            shares = f"{before.mean():.3f} -> {after.mean():.3f}"
            print(f"    {half:5s} {shares}, {100 * gain.mean():+.1f} +- {100 * error:.1f} points")


if __name__ == "__main__":
    main()
