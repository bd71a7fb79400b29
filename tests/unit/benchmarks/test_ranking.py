"""The ranking fitted anew: its scores are those of the program, and a fit makes right proposals likelier."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ranking import NOW, Question, fitted, hits, loss
from redoxa.data.records import Crystal
from redoxa.generators.base import Relaxed
from redoxa.generators.exchange.proposals import Proposal
from redoxa.generators.orbits.prediction import BY_ELEMENTS, KNOWN, Option, score

CRYSTAL = Crystal(numbers=(3,), frac_coords=[(0.0, 0.0, 0.0)], lattice_A=(3 * np.eye(3)).tolist())


def questions(n: int = 200) -> list[Question]:
    """Where the judge is worth nothing and energies tell all."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n):
        terms = np.stack([rng.normal(size=4), rng.normal(size=4), np.zeros(4), np.zeros(4)], 1)
        above = rng.permutation([0.0, 0.02, 0.1, np.inf])
        made.append(Question(terms, above, above == 0))
    return made


def test_scores_are_those_of_the_program() -> None:
    proposals = [
        Proposal(0, (3,), cells, (distance,), changes) for cells, distance, changes in ((1, 0.0, 0), (2, 3.0, 1))
    ]
    judge, elements, energies = [-0.1, -2.0], [-1.0, -0.5], [-3.2, -3.25]
    logs = [
        j + BY_ELEMENTS * e + KNOWN * (p.distances[0] == 0) for j, e, p in zip(judge, elements, proposals, strict=True)
    ]
    options = [Option(p, x, Relaxed(CRYSTAL, e)) for p, x, e in zip(proposals, logs, energies, strict=True)]
    terms = np.array([[judge[0], elements[0], 1.0, 0.0], [judge[1], elements[1], 0.0, -2.0]])
    asked = Question(terms, np.array(energies) - min(energies), np.array([True, False]))
    assert asked.scores(NOW, with_energies=True) == pytest.approx([score(option, min(energies)) for option in options])
    assert asked.scores(NOW, with_energies=False) == pytest.approx(logs)


def test_a_fit_makes_right_proposals_likelier() -> None:
    asked = questions()
    new = fitted(asked, with_energies=True)
    assert loss(new, asked, True) < loss(NOW, asked, True) - 0.1
    assert hits([*asked, None], new, True).mean() > hits([*asked, None], NOW, True).mean()
    assert (fitted(asked, with_energies=False)[3:] == NOW[3:]).all()
