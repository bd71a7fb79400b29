"""`redoxa evaluate`: one scorecard for generators and for structures from anywhere."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from redoxa.data.errors import InputError
from redoxa.pipeline.commands.app import Json
from redoxa.pipeline.commands.science import Count

if TYPE_CHECKING:
    from redoxa.generators.base import Condition
    from redoxa.generators.evaluate.values import Value
    from redoxa.pipeline.evaluate.scorecard import Scorecard

Positive = Annotated[int, Parameter(validator=Number(gte=1))]


def evaluate(
    *sources: str,
    n: Count = 1000,
    relax: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    truth: Path | None = None,
    samples_per_composition: Positive = 1,
    out: Path = Path("runs/evaluate"),
    ion: str | None = None,
    elements: str | None = None,
    max_atoms: Annotated[int, Parameter(validator=Number(gte=1, lte=60))] = 20,
    charge_neutral: bool = False,
    seed: int = 0,
    workers: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    seeds: Positive = 1,
    refuse_known: bool = False,
    as_json: Json = False,
) -> int:
    """Judge generators, or structures from anywhere, side by side; goes on where it was stopped.

    Writes scorecard.html, scorecard.json and samples.parquet. Without --truth the samples are judged as new crystals,
    with it as predictions of given structures. A source that fails is told with its reason, the others are judged, and
    the exit code is 1.

    Args:
        sources: generators (flow, flow@weights.safetensors or composition:mixture) and files or folders of structures.
        n: samples of each generator; with --truth, true structures at most.
        relax: relax so many of each with CHGNet: energy drop, hull distance, S.U.N.
        truth: true structures to find again: .parquet (atomic_numbers, frac_coords, cell), a prepared .safetensors
            (held-out ones), or a file or folder of structures.
        samples_per_composition: answers to each true structure; 5 gives match@5.
        out: folder for the scorecard, and for what is kept to go on.
        ion: element that every sample must hold, e.g. Li.
        elements: allowed elements, e.g. Li,Fe,P,O.
        max_atoms: largest cell.
        charge_neutral: only compositions that common oxidation states balance.
        seed: of sampling and of every draw.
        workers: processes that relax; 0 means one for each core.
        seeds: draw with so many seeds, from --seed on: each value gets its standard deviation over them.
        refuse_known: what is known or repeats an earlier sample is drawn again, for every generator alike; without it
            ratios between generators are not fair, as only some refuse of themselves.
    """
    from redoxa.pipeline.commands.console import emit, note, progress_bars
    from redoxa.pipeline.evaluate.run import EvaluateOptions, evaluate

    if not sources:
        raise InputError("name at least one generator, file or folder; `redoxa list generators` names generators")
    condition = _condition(ion, elements, max_atoms, charge_neutral)
    k = samples_per_composition
    task = EvaluateOptions(sources, n, condition, relax, truth, k, out, seed, workers, seeds, refuse_known)
    with progress_bars(quiet=as_json) as on_progress, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")  # noble gases
        card = evaluate(task, on_progress)
    if as_json:
        emit("scorecard", **card.to_json())
    else:
        _print(card)
        if card.settings.get("refusal"):
            note(f"Refusal: {card.settings['refusal']}")
        note(f"Scorecard: {(out / 'scorecard.html').resolve().as_uri()}")
    for source in card.sources:
        if source.failed:
            note(f"{source.name} failed: {source.failed}")
    return 1 if any(source.failed for source in card.sources) else 0


def _condition(ion: str | None, elements: str | None, max_atoms: int, charge_neutral: bool) -> Condition:
    from redoxa.pipeline.tasks.generate_options import GenerateOptions

    return GenerateOptions.read(
        n=1, elements=elements, require=ion, formula=None, compositions=None, max_atoms=max_atoms,
        charge_neutral=charge_neutral,
    ).condition  # fmt: skip


def _print(card: Scorecard) -> None:
    """The scorecard on stdout, sources as columns."""
    from redoxa.generators.evaluate.catalogue import metrics
    from redoxa.pipeline.commands.console import table

    rows: list[dict[str, object]] = []
    if any(source.failed for source in card.sources):
        rows.append({"metric": "failed", **{source.name: source.failed for source in card.sources}})
    for _, metric in metrics(card.k):
        found = [source.values.get(metric.name) for source in card.sources]
        if all(value is None for value in found):
            continue
        unit = f" ({metric.unit})" if metric.unit not in ("", "share") else ""
        row: dict[str, object] = {"metric": metric.title + unit}
        for source, value in zip(card.sources, found, strict=True):
            row[source.name] = _text(value, metric.unit)
        row["real crystals"] = _text(card.reference.values.get(metric.name), metric.unit)
        rows.append(row)
    lead = card.truths.text if card.truths else f"{', '.join(str(len(s.rows)) for s in card.sources)} samples"
    table(f"{card.mode}: {lead}", rows, list(rows[0]))
    _print_elements(card)


def _text(value: Value | None, unit: str) -> str:
    """``0.912 ±0.010  0.89–0.93``, or "" where there is no value."""
    from redoxa.pipeline.evaluate.scorecard import deviation_text, interval_text, value_text

    if value is None:
        return ""
    middle = " ".join(filter(None, (value_text(value, unit), deviation_text(value, unit))))
    return f"{middle}  {interval_text(value, unit)}".rstrip()


def _print_elements(card: Scorecard) -> None:
    """The elements that each source draws too often and too seldom."""
    from redoxa.pipeline.commands.console import table
    from redoxa.pipeline.evaluate.scorecard import ratio_text

    rows = [
        {
            "source": source.name,
            "too often": ", ".join(map(ratio_text, source.elements.over)),
            "too seldom": ", ".join(map(ratio_text, source.elements.under)),
        }
        for source in card.sources
    ]
    table("elements: share of samples over that of real crystals, where surely not 1", rows, list(rows[0]))
