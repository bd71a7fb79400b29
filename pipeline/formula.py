"""The likeliest structures of a formula, across cell sizes, from any generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from data.errors import GenerationError
from data.fingerprint import Fingerprint
from generators.base import CellContent, Condition, Generator, Predicted, Prediction, PredictsFormula, cells_of, listed
from generators.exchange.proposals import is_new


def formula_answers(
    generator: Generator,
    n: int,
    formula: CellContent,
    condition: Condition,
    seed: int,
    budget_s: float,
    on_step: Callable[[str, int, int], None],
) -> Prediction:
    """At most n answers, no two alike, with a note where they are fewer; see `generators.base.PredictsFormula`.

    Raises:
        GenerationError: the generator has none.
    """

    def step(done: int, of: int) -> None:
        on_step(f"generate {generator.name}", done, of)

    rng = np.random.default_rng(seed)
    if isinstance(generator, PredictsFormula):
        found = generator.predict(n, formula, condition, rng, budget_s, step)
    else:
        found = _in_turn(generator, n, cells_of(formula, condition.n_atoms[1]), condition, rng)
    notes = found.notes
    if len(found.answers) < n:
        notes = (f"only {len(found.answers)} different structures were found, {n} were asked for", *notes)
    return Prediction(found.answers, notes)


def _in_turn(
    generator: Generator, n: int, cells: list[CellContent], condition: Condition, rng: np.random.Generator
) -> Prediction:
    """Answers of a generator that cannot compare cell sizes: of each size in turn, the smallest first."""
    by_size: list[list[Predicted]] = []
    failed: dict[int, str] = {}
    seen: list[Fingerprint] = []
    for k, cell in enumerate(cells):
        count = n // len(cells) + (k < n % len(cells))
        if not count:
            break
        for many in range(count, 0, -1):  # a generator that has fewer answers gives none
            try:
                batch, labels = generator.sample(many, replace(condition, contents=(cell,) * many), rng)
            except GenerationError as error:
                failed[sum(cell.values())] = str(error)
                continue
            answers = map(Predicted, batch.to_crystals(), labels)
            by_size.append([answer for answer in answers if is_new(answer.crystal, seen)])
            failed.pop(sum(cell.values()), None)
            break
    if not by_size:
        raise GenerationError(next(iter(failed.values())))
    turns = [answers[i] for i in range(n) for answers in by_size if i < len(answers)]
    notes = [f"{generator.name} does not rank answers across cell sizes: they come in turn, the smallest cell first"]
    if failed:
        notes.append(f"cells of {listed(failed)} atoms gave nothing: {next(iter(failed.values()))}")
    return Prediction(tuple(turns), tuple(notes))
