"""`redoxa evaluate`: draw or read, judge, relax, and write the scorecard."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from redoxa.data.errors import InputError, RedoxaError
from redoxa.data.progress import OnProgress
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.tables.known_materials import KnownMaterials, load_known_materials
from redoxa.data.whole import whole
from redoxa.generators.base import Condition, HasLikelihood, generator_class
from redoxa.generators.evaluate.card import bias, distribution_values, sample_values
from redoxa.generators.evaluate.matching import compare, match_values
from redoxa.generators.evaluate.memorisation import held_out_values
from redoxa.generators.evaluate.novelty import SkeletonLibrary
from redoxa.generators.evaluate.reference_set import ReferenceSet, from_crystals, from_templates
from redoxa.generators.evaluate.table import Memory, Sample, measure
from redoxa.generators.evaluate.values import Value, mean, share
from redoxa.pipeline.evaluate.page import build_page
from redoxa.pipeline.evaluate.scorecard import Scorecard, SourceCard
from redoxa.pipeline.evaluate.seeds import over_seeds
from redoxa.pipeline.evaluate.sources import Drawer, Drawn, Source, read_files
from redoxa.pipeline.evaluate.truths import Answered, Truths, ask_generator, known_share, pair_files, read_truths

if TYPE_CHECKING:
    from redoxa.screening.physics.hulls import Hulls

T = TypeVar("T")

VERSIONS = ("redoxa", "pymatgen", "spglib", "numpy", "scipy", "torch", "chgnet")

REFUSED_BY_ALL = (
    "what is known or repeats an earlier sample was drawn again, for every generator alike; files stand as they are"
)
REFUSED_BY_SOME = (
    "each generator's own: some refuse what is known, some do not, so no ratio between them is fair (--refuse-known)"
)

MOST_LIKELIHOODS = 100
"""Truths of which the likelihood is worked out, some 0.4 s of processor time each."""


@dataclass(frozen=True)
class EvaluateOptions:
    """What `redoxa evaluate` was asked for.

    Attributes:
        sources: generators and paths, as given.
        n: samples of each generator, or truths at most.
        condition: of the samples, in de novo mode.
        relax: how many of the first samples are relaxed.
        truth: true structures; None for de novo mode.
        k: answers a truth.
        out: folder for scorecard, table and what is kept for going on.
        seed: of sampling and draws.
        workers: processes for relaxation, 0 for one a core.
        seeds: how many seeds are drawn, from `seed` on; the values of the others give the first a deviation.
        refuse_known: whether draws of every generator that are known or repeat others are drawn again.
    """

    sources: tuple[str, ...]
    n: int
    condition: Condition
    relax: int
    truth: Path | None
    k: int
    out: Path
    seed: int
    workers: int = 0
    seeds: int = 1
    refuse_known: bool = False

    def settings(self) -> dict[str, str]:
        """The request as text, for the record."""
        from ase.data import chemical_symbols

        def names(numbers: frozenset[int]) -> str:
            return ", ".join(chemical_symbols[z] for z in sorted(numbers))

        told = {
            "samples": str(self.n) if self.truth is None else "",
            "allowed elements": names(self.condition.allowed),
            "required elements": names(self.condition.required),
            "charge-neutral only": "yes" if self.condition.charge_neutral else "",
            "truths": str(self.truth or ""),
            "answers by truth": str(self.k) if self.truth else "",
            "relaxed of each": str(self.relax or ""),
            "seed": f"{self.seed} to {self.seed + self.seeds - 1}" if self.seeds > 1 else str(self.seed),
            "refusal": "" if self.truth else REFUSED_BY_ALL if self.refuse_known else REFUSED_BY_SOME,
        }
        return {key: text for key, text in told.items() if text}


def evaluate(task: EvaluateOptions, on_progress: OnProgress) -> Scorecard:
    """Judge every source and write scorecard.html, scorecard.json and samples.parquet.

    A source that fails is a card with the reason; the others are judged.

    Raises:
        InputError: a name, the truths or the folder cannot be used.
        RedoxaError: every source failed; the error of the first.
    """
    started = time.perf_counter()
    sources = [Source.parse(text) for text in dict.fromkeys(task.sources)]
    if task.truth and task.refuse_known:
        raise InputError("--refuse-known is of new crystals; true structures (--truth) are to be found, known or not")
    _check_folder(task.out)
    truths = read_truths(task.truth, task.n, task.seed) if task.truth else None
    known = load_known_materials()
    drawn = [pair for source in sources for pair in _draws(task, source, truths, known, on_progress)]
    _refuse_if_none_is_left([answered for _, answered in drawn])  # before what is dear: mistakes show early
    memory, reference = _memory(task, truths, known, on_progress)
    judged = [
        answered
        if isinstance(answered, RedoxaError)
        else _or_error(partial(_judge, task, source, answered, truths, memory, reference, on_progress))
        for source, answered in drawn
    ]
    _refuse_if_none_is_left(judged)
    cards = [
        SourceCard.of_failed(source.name, str(one)) if isinstance(one, RedoxaError) else one
        for (source, _), one in zip(drawn, judged, strict=True)
    ]
    if task.relax:
        cards = _relaxed(task, cards, [answered for _, answered in drawn], known, on_progress)
    card = Scorecard(
        mode="structure prediction" if truths else "de novo",
        sources=[over_seeds([card for card in cards if card.name == source.name]) for source in sources],
        reference=reference,
        truths=truths,
        truths_known=known_share(truths, known) if truths else None,
        k=task.k,
        settings=task.settings(),
        versions={"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in VERSIONS}},
        created=datetime.now(UTC),
        seconds=time.perf_counter() - started,
    )
    write(card, task.out)
    return card


def _or_error(work: Callable[[], T]) -> T | RedoxaError:
    """What comes of the work on one source, or what went wrong with it."""
    try:
        return work()
    except RedoxaError as error:
        return error


def _refuse_if_none_is_left(outcomes: Sequence[object]) -> None:
    errors = [outcome for outcome in outcomes if isinstance(outcome, RedoxaError)]
    if len(errors) == len(outcomes):
        raise errors[0]


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; give a folder")
    if out.exists() and any(out.iterdir()) and not (out / "work").exists():
        raise InputError(f"--out {out}: is not empty and holds no evaluation of ours; give another folder")
    (out / "work").mkdir(parents=True, exist_ok=True)


def _draws(
    task: EvaluateOptions, source: Source, truths: Truths | None, known: KnownMaterials, on_progress: OnProgress
) -> list[tuple[Source, Answered | RedoxaError]]:
    """What a source gives with each seed, or why it gives nothing; files are read once."""
    refused = known if task.refuse_known else None
    seeds = range(task.seed, task.seed + (task.seeds if source.kind else 1))
    drawers = [Drawer(task.out / "work", seed, refused) for seed in seeds]
    return [(source, _or_error(partial(_draw, task, source, drawer, truths, on_progress))) for drawer in drawers]


def _draw(
    task: EvaluateOptions, source: Source, drawer: Drawer, truths: Truths | None, on_progress: OnProgress
) -> Answered:
    step = partial(on_progress, f"sample {source.name}")
    if not source.kind:
        drawn = read_files(source.path or Path(source.name))
        return pair_files(source, drawn, truths, task.k) if truths else Answered(drawn, ())
    if truths is not None:
        return ask_generator(drawer, source, truths, task.k, step)
    return Answered(drawer.draw(source, task.n, task.condition, step), ())


def _memory(
    task: EvaluateOptions, truths: Truths | None, known: KnownMaterials, on_progress: OnProgress
) -> tuple[Memory | None, ReferenceSet]:
    """What novelty is judged against (in de novo mode), and the real distribution."""
    if truths is not None:
        return None, from_crystals(truths.crystals, f"the true structures, {truths.text}")
    templates = list(load_templates())
    reference = from_templates(templates, task.condition, task.seed, partial(on_progress, "real crystals"))
    memory = Memory(known, SkeletonLibrary(templates))
    return memory, replace(reference, held_out=held_out_values(reference.portraits, memory.families))


def _judge(
    task: EvaluateOptions,
    source: Source,
    answered: Answered,
    truths: Truths | None,
    memory: Memory | None,
    reference: ReferenceSet,
    on_progress: OnProgress,
) -> SourceCard:
    drawn = answered.drawn
    rows = measure(drawn.samples, memory, partial(on_progress, f"judge {source.name}"))
    portraits = [row.portrait for row in rows if row.portrait is not None]
    # In structure prediction a row without a crystal is a missing answer, which `answered` and the match rate count.
    judged = rows if truths is None else [row for row in rows if row.formula is not None]
    values = sample_values(judged, from_files=not source.kind) | _speed(drawn)
    values |= distribution_values(portraits, reference, task.seed)
    predictions = []
    if truths is not None:
        others = [s.crystal for s in drawn.samples if s.crystal is not None]
        step = partial(on_progress, f"match {source.name}")
        predictions = compare(truths.crystals, answered.crystals(), others, step)
        answers = answered.crystals()
        values["answered"] = share(any(c is not None for c in row) for row in answers)
        values |= match_values(predictions, task.k) | _likelihood(source, truths, task.seed)
    return SourceCard(source.name, _what(source, drawn), rows, (), predictions, values, bias(portraits, reference))


def _likelihood(source: Source, truths: Truths, seed: int) -> dict[str, Value]:
    """How likely a generator holds the truths to be, where it can say."""
    generator = source.generator() if source.kind else None
    if not isinstance(generator, HasLikelihood):
        return {}
    some = truths.crystals[:: -(-len(truths.crystals) // MOST_LIKELIHOODS)]
    found = generator.log_likelihood(some, np.random.default_rng(seed))
    return {generator.likelihood: mean(found[~np.isnan(found)].tolist())}


def _what(source: Source, drawn: Drawn) -> str:
    if not source.kind:
        return f"{len(drawn.samples)} structures from files"
    summary = generator_class(source.kind).summary
    weights = f", weights sha256 {drawn.checkpoint_sha256[:12]}" if drawn.checkpoint_sha256 else ""
    return f"{summary}{weights}{f'; {drawn.note}' if drawn.note else ''}"


def _speed(drawn: Drawn) -> dict[str, Value]:
    n = sum(sample.crystal is not None for sample in drawn.samples)
    if drawn.wall_s is None or drawn.cpu_s is None or not n:
        return {}
    return {"per_second": Value(n / drawn.wall_s, n), "cpu_s_per_sample": Value(drawn.cpu_s / n, n)}


def _relaxed(
    task: EvaluateOptions,
    cards: Sequence[SourceCard],
    drawn: Sequence[Answered | RedoxaError],
    known: KnownMaterials,
    on_progress: OnProgress,
) -> list[SourceCard]:
    """Cards with the first samples of each source relaxed."""
    from redoxa.data.tables.reference import load_reference
    from redoxa.screening.physics.hulls import Hulls

    hulls = Hulls(load_reference())
    found = []
    for card, answered in zip(cards, drawn, strict=True):
        if card.failed or isinstance(answered, RedoxaError):
            found.append(card)
            continue
        first = answered.drawn.samples[: task.relax]
        made = _or_error(partial(_with_relaxed, task, card, first, hulls, known, on_progress))
        found.append(replace(card, failed=f"relaxation: {made}") if isinstance(made, RedoxaError) else made)
    return found


def _with_relaxed(
    task: EvaluateOptions,
    card: SourceCard,
    first: Sequence[Sample],
    hulls: Hulls,
    known: KnownMaterials,
    on_progress: OnProgress,
) -> SourceCard:
    """A card with the first samples of its source relaxed."""
    from redoxa.pipeline.evaluate.relaxation import relax_all
    from redoxa.pipeline.evaluate.stability import relaxed_rows, stability_values

    crystals: list[Crystal] = [s.crystal for s in first if s.crystal is not None]
    step = partial(on_progress, f"relax {card.name}")
    outcomes = iter(relax_all(crystals, task.out / "work", task.workers, step))
    rows = relaxed_rows(first, [next(outcomes) if s.crystal is not None else None for s in first], hulls, known)
    cpu = card.values.get("cpu_s_per_sample")
    values = card.values | stability_values(rows, cpu.value if cpu else None)
    return replace(card, relaxed=rows, values=values)


def write(card: Scorecard, out: Path) -> None:
    """Write the scorecard's files, each whole or not at all."""
    texts = {
        "scorecard.html": build_page(card),
        "scorecard.json": json.dumps(card.to_json(), indent=1, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        with whole(out / name) as draft:
            draft.write_text(text, encoding="utf-8")
    tables = {"samples.parquet": card.sample_table()}
    if card.truths is not None:
        tables["predictions.parquet"] = card.prediction_table()
    for name, frame in tables.items():
        with whole(out / name) as draft:
            frame.to_parquet(draft, index=False)
