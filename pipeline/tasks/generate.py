"""`redoxa generate` and `redoxa.generate`: a generator without a campaign."""

from __future__ import annotations

from pathlib import Path

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.progress import SILENT, Watcher
from redoxa.generators.base import BUDGET_s, PredictsFormula, generator_class, make_generator
from redoxa.generators.composition.families import source_name
from redoxa.pipeline.results.samples import Samples
from redoxa.pipeline.tasks.generate_options import GenerateOptions
from redoxa.pipeline.tasks.relaxer import SymmetricRelaxer, lend
from redoxa.pipeline.tasks.sampling import drawn, formula_answers


def generate(
    name: str,
    options: GenerateOptions,
    seed: int = 0,
    checkpoint: Path | None = None,
    watcher: Watcher = SILENT,
    *,
    family: str | None = None,
    best_of: int = 1,
    energies: bool = True,
    budget_s: float = BUDGET_s,
) -> Samples:
    """Sample crystals, or the likeliest structures of a formula.

    Args:
        name: of the generator.
        options: what is asked for.
        seed: the same one gives the same samples.
        checkpoint: weights of the generator; None for those that ship.
        watcher: is told how far it is.
        family: of models, for a generator that has several; None for its own choice.
        best_of: new crystals that are drawn for each that is kept.
        energies: lend the generator relaxations, so that it can rank by energy.
        budget_s: processor time in seconds that relaxing the answers to a formula may take, by an estimate.

    Raises:
        InputError: the generator has no families, or not this one; it cannot choose the best of several; or the
            weights cannot be used.
        GenerationError: the generator cannot do what was asked; where it can do some of it, a note says so.
    """
    if best_of > 1 and (options.formula is not None or options.condition.contents):
        raise InputError("--best-of: a formula is answered with its likeliest structures anyway; leave it out")
    generator = make_generator(generator_class(name), checkpoint, family, best_of)
    if options.condition.unlike_known and not isinstance(generator, PredictsFormula):
        raise GenerationError(f"{name} does not know which polymorphs are known (--another-polymorph): use `orbits`")
    if energies:
        lend(generator, SymmetricRelaxer())
    if options.formula is not None:
        step = watcher.on_progress
        made = formula_answers(generator, options.n, options.formula, options.condition, seed, budget_s, step)
    else:
        made = drawn(generator, options.n, options.condition, seed, watcher.on_progress)
    notes = (*options.notes, *made.notes)
    return Samples(
        made.answers,
        generator=source_name(name, family),
        seed=seed,
        checkpoint_sha256=generator.checkpoint_sha256,
        notes=notes,
    )
