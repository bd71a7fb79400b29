"""Answers to a formula: skeletons of every cell size compared at once, by networks and by energy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import logsumexp

from redoxa.data.fingerprint import Fingerprint
from redoxa.data.progress import OnStep
from redoxa.generators.base import CellContent, Condition, Predicted, Prediction, Relaxer, cells_of, listed
from redoxa.generators.exchange.proposals import CHANGED, PLAIN, Proposal, is_new
from redoxa.generators.orbits.beyond import MOST_ATOMS, beyond_skeletons
from redoxa.generators.orbits.prediction import Option, Predictor, is_known, score, unlike

RELAXED = 16
"""Options that are relaxed, at most; twice as many as answers are asked for where that is more."""

TIE_eV_per_atom = 0.015
"""Energies that differ by less are a tie: of withheld crystals that were answered wrongly, the true one was relaxed too
and lay within this of the answer in half of the cases."""

ENERGY = "energy_eV_per_atom"

COST_s_PER_ATOM = 0.025
"""Processor time that relaxing within the symmetry takes at most, by atom of the cell. An estimate instead of a clock,
so that what is found does not hang on the machine; measured on one core with CHGNet, 12 calls in cells of 20 to 56."""


def predict_formula(
    predictor: Predictor,
    n: int,
    formula: CellContent,
    condition: Condition,
    rng: np.random.Generator,
    *,
    relaxer: Relaxer | None,
    budget_s: float,
    on_step: OnStep | None,
) -> Prediction:
    """Answer a formula; see `generators.base.PredictsFormula`.

    A skeleton counts once, at the size of its primitive cell. All sizes stand in one list: the judge compares what the
    memory holds for the formula in any cell, and energies by atom of one potential compare as they are.
    """
    cells = cells_of(formula, condition.n_atoms[1])
    pool = nearest(predictor, cells, condition.groups, max(PLAIN, n), max(CHANGED, n))
    options = predictor.judged([unlike(pool) if condition.unlike_known else pool])[0]
    if not options:
        return _unknown(n, cells, condition.groups, rng)
    notes: list[str] = []
    if relaxer is not None:
        likely = options[: max(RELAXED, 2 * n)]
        spent_s = COST_s_PER_ATOM * np.cumsum([_atoms(predictor, option) for option in likely])
        count = int((spent_s <= budget_s).sum())
        if count < len(likely):
            left = listed(_atoms(predictor, option) for option in likely[count:])
            notes.append(
                f"{len(likely) - count} of {len(likely)} likely structures do not fit into {budget_s:g} s of processor "
                f"time: they were not relaxed and stand last (cells of {left} atoms); allow more with --budget-s"
            )
        options = _ranked(predictor, options[:count], relaxer, on_step) + options[count:]
    answers = _distinct(predictor, options, condition, n)
    notes += ties(answers)
    sizes = {sum(cell.values()) for cell in cells}
    if bare := sorted(sizes - {_atoms(predictor, option) for option in options}):
        notes.append(
            f"cells of {listed(bare)} atoms gave nothing: no skeleton with a primitive cell of that size is among the "
            "nearest of the memory"
        )
    return Prediction(tuple(answers), tuple(notes))


def _atoms(predictor: Predictor, option: Option) -> int:
    """Atoms in the primitive cell of an option."""
    return int(predictor.proposer.table.compositions[option.proposal.index].sum())


def nearest(
    predictor: Predictor,
    cells: Sequence[CellContent],
    groups: frozenset[int],
    plain: int,
    changed: int,
    least_atoms: int = 1,
) -> list[Proposal]:
    """Skeletons whose primitive cell is one of these, the nearest first.

    Args:
        predictor: the memory.
        cells: contents.
        groups: space groups that the skeletons may have; empty for any.
        plain: how many at most that keep which orbits are alike.
        changed: how many at most that do not.
        least_atoms: a skeleton with a smaller primitive cell is taken as often as it needs for so many.
    """
    table = predictor.proposer.table
    found = [
        proposal
        for cell in cells
        for proposal in predictor.proposer.proposals(cell, plain=plain, changed=changed)
        if sum(cell.values()) * (proposal.cells - 1) < least_atoms * proposal.cells
        and (not groups or int(table.groups[proposal.index]) in groups)
    ]
    found.sort(key=lambda p: p.distances[0])
    kept = [p for p in found if not p.changes][:plain] + [p for p in found if p.changes][:changed]
    return sorted(kept, key=lambda p: p.distances[0])


def _ranked(predictor: Predictor, options: Sequence[Option], relaxer: Relaxer, on_step: OnStep | None) -> list[Option]:
    """Options relaxed, by likelihood and energy."""
    found = relaxer([predictor.proposer.form(option.proposal) for option in options], on_step)
    tried = [replace(option, relaxed=relaxed) for option, relaxed in zip(options, found, strict=True)]
    lowest = min((o.relaxed.energy_eV_per_atom for o in tried if o.relaxed is not None), default=0.0)
    return sorted(tried, key=lambda option: -score(option, lowest))


def _distinct(predictor: Predictor, options: Sequence[Option], condition: Condition, n: int) -> list[Predicted]:
    """The first n that are unlike all before, and unlike the known ones where that is asked for."""
    answers: list[Predicted] = []
    seen: list[Fingerprint] = []
    lowest = min((o.relaxed.energy_eV_per_atom for o in options if o.relaxed is not None), default=0.0)
    whole = logsumexp([score(option, lowest) for option in options if option.relaxed is not None] or [0.0])
    for option in options:
        if len(answers) == n:
            break
        built = predictor.built(option, condition.groups)
        if built is None or not is_new(built[0], seen) or (condition.unlike_known and is_known(built[0])):
            continue
        values = {"probability": math.exp(option.log_probability)}
        if option.relaxed is not None:
            values[ENERGY] = option.relaxed.energy_eV_per_atom
            values["probability_with_energy"] = math.exp(score(option, lowest) - whole)
        answers.append(Predicted(*built, values))
    return answers


def ties(answers: Sequence[Predicted]) -> list[str]:
    """A note where answers lie so near the first in energy that the potential cannot tell them apart."""
    energies = {i: one.values[ENERGY] for i, one in enumerate(answers, 1) if ENERGY in one.values}
    tied = [i for i, energy in energies.items() if 1 in energies and abs(energy - energies[1]) <= TIE_eV_per_atom]
    if len(tied) < 2:
        return []
    shares = ", ".join(f"{answers[i - 1].values['probability_with_energy']:.2f}" for i in tied)
    return [
        f"answers {listed(tied)} lie within {1000 * TIE_eV_per_atom:.0f} meV/atom of the first, which is a tie for the "
        f"potential: their probabilities, energies included, are {shares}"
    ]


def _unknown(n: int, cells: Sequence[CellContent], groups: frozenset[int], rng: np.random.Generator) -> Prediction:
    """Answers to a formula for which the memory has no skeleton: one of each small cell."""
    sizes = [tuple(sorted(cell.items())) for i, cell in enumerate(cells) if not i or sum(cell.values()) <= MOST_ATOMS]
    found = beyond_skeletons(sizes[:n], groups, rng)
    seen: list[Fingerprint] = []
    answers = [Predicted(*answer) for size in sizes[:n] for answer in found[size] if is_new(answer[0], seen)]
    return Prediction(tuple(answers), ("no known skeleton suits the formula in any cell: these are unranked",))
