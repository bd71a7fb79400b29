"""What self-training leaves behind: weights with their record, a table of all crystals, and the yield of each round."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import JsonValue

from redoxa.data.errors import InputError
from redoxa.data.provenance import CHGNET, MATERIALS_PROJECT, Source, read_provenance, sha256_of, write_provenance
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.whole import whole
from redoxa.pipeline.self_training.loop import Outcome, Plan
from redoxa.pipeline.self_training.rows import round_values, table_of

PACKAGES = ("redoxa", "chgnet", "torch", "pymatgen", "numpy")


def write_outcome(plan: Plan, outcome: Outcome) -> None:
    """Write ``orbits.safetensors`` with its record, ``found.parquet`` and ``rounds.json``, each whole or not at all."""
    with whole(plan.out / "found.parquet") as draft:
        table_of(outcome.found).to_parquet(draft, index=False)
    with whole(plan.out / "rounds.json") as draft:
        draft.write_text(json.dumps(rounds_json(outcome), indent=1) + "\n", encoding="utf-8")
    if outcome.weights is None:
        return
    weights = plan.out / "orbits.safetensors"
    with whole(weights) as draft:
        draft.write_bytes(outcome.weights.read_bytes())
    learned = [sum(one.kept for one in found) for found in outcome.found[: plan.rounds]]
    facts: dict[str, JsonValue] = {
        "rounds": plan.rounds,
        "drawn": [len(found) for found in outcome.found],
        "learned_from": list(learned),
        "share_of_real_data": [round(share, 4) for share in outcome.real_shares],
        "limit_eV_per_atom": plan.limit_eV_per_atom,
        "fine_tuning": asdict(plan.tuning) if plan.tuning else None,
        "seed": plan.seed,
    }
    write_provenance(
        weights, "redoxa self-train", sources_of(plan.start or shipped("orbits.safetensors")), PACKAGES, facts
    )


def sources_of(start: Path) -> tuple[Source, ...]:
    """What weights come from that began with others and learned from screened crystals."""
    templates = load_templates()
    try:
        words = read_provenance(start).command
    except InputError:
        words = "weights without a record"
    return (
        Source(name=start.name, attribution=words, sha256=sha256_of(start)),
        Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates)),
        Source(name="CHGNet 0.3.0", attribution=CHGNET),
    )


def rounds_json(outcome: Outcome) -> list[dict[str, object]]:
    """What each round gave: values with 95 % intervals, and CPU seconds by step."""
    rows: list[dict[str, object]] = []
    for found, cpu_s in zip(outcome.found, outcome.cpu_s, strict=True):
        values = {name: asdict(value) for name, value in round_values(found, cpu_s).items()}
        rows.append({"round": len(rows) + 1, "values": values, "cpu_s": cpu_s})
    return rows
