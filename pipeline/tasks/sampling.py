"""What a generator gives: samples that meet a condition, or the likeliest structures of a formula across cell sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from redoxa.data.errors import GenerationError
from redoxa.data.fingerprint import Fingerprint
from redoxa.data.progress import OnStep
from redoxa.generators.base import (
    CellContent,
    Condition,
    Foresees,
    Generator,
    Predicted,
    Prediction,
    PredictsFormula,
    ShortfallError,
    cells_of,
    listed,
    short_of,
)
from redoxa.generators.electrode import gives_ions
from redoxa.generators.exchange.proposals import is_new

CHUNK = 500
"""Samples that are generated and written together; bounds the memory of a large request."""

ROUNDS = 10
"""Times that a generator is asked again for what cannot be an electrode, where one is aimed at."""


def drawn(
    generator: Generator, n: int, condition: Condition, seed: int, on_step: Callable[[str, int, int], None]
) -> Prediction:
    """So many samples, made in chunks; fewer, with a note, where the generator falls short.

    Raises:
        GenerationError: there are none at all.
    """
    # Given contents are asked for at once: the second request of one content gets the second answer.
    chunk = n if condition.contents else CHUNK
    found: list[Predicted] = []
    why = ""
    for start in range(0, n, chunk):
        size = min(chunk, n - start)
        rng = np.random.default_rng([seed, start])
        step = _scaled(on_step, f"generate {generator.name}", start, size, n)
        try:
            part, reason = _sampled(generator, size, _slice(condition, start, size), rng, step)
        except GenerationError as error:
            if not found:
                raise
            why = str(error)
            break
        found += part
        why = reason or why
    return Prediction(tuple(found), short_of(n, found, why))


def _sampled(
    generator: Generator, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep
) -> tuple[list[Predicted], str]:
    """N samples, or fewer and why; where a property of an electrode is aimed at, only ones from which ions can leave.

    Raises:
        GenerationError: there are none at all, or the generator gave more than it was asked for.
    """
    found: list[Predicted] = []
    why = ""
    for _ in range(ROUNDS):
        missing = n - len(found)
        try:
            more = _asked(generator, missing, condition, rng, on_step)
        except ShortfallError as short:
            # Who fell short is not asked again: where no further crystal is known, the same ones would come.
            more, why = list(short.found), str(short)
        if len(more) > missing or (len(more) < missing and not why):
            raise GenerationError(f"{generator.name} gave {len(more)} samples, {missing} were asked for")
        found += [one for one in more if condition.contents or gives_ions(one.crystal, condition)]
        if why or len(found) == n:
            break
    else:
        why = (
            f"{generator.name} found only {len(found)} of {n} crystals from which ions can leave; allow elements that "
            "can be oxidised, or use `orbits`"
        )
    if n and not found:
        raise GenerationError(why)
    return found, why


def _asked(
    generator: Generator, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep
) -> list[Predicted]:
    """Samples, with what is foreseen of them where the generator tells."""
    if isinstance(generator, Foresees):
        return generator.foreseen(n, condition, rng, on_step)
    batch, labels = generator.sample(n, condition, rng, on_step)
    return list(map(Predicted, batch.to_crystals(), labels))


def _scaled(on_step: Callable[[str, int, int], None], what: str, start: int, size: int, total: int) -> OnStep:
    """Progress within one chunk as progress of the whole."""

    def step(done: int, of: int) -> None:
        on_step(what, start + done * size // max(of, 1), total)

    return step


def _slice(condition: Condition, start: int, size: int) -> Condition:
    return replace(condition, contents=condition.contents[start : start + size]) if condition.contents else condition


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
    if not found.answers:
        raise GenerationError(f"{generator.name} found no structure of this formula that meets the condition")
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
