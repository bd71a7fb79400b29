"""What reinforcement leaves behind: weights with their record, a table of all crystals, and what each round gave."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import JsonValue

from redoxa.data.fingerprint import spacegroup
from redoxa.data.provenance import write_provenance
from redoxa.data.whole import whole
from redoxa.generators.evaluate.families import family
from redoxa.generators.evaluate.values import Value, mean, share
from redoxa.pipeline.reinforcement.loop import Outcome, Plan, Round
from redoxa.pipeline.rewards.judge import PARTS, Judged
from redoxa.pipeline.self_training.files import sources_of

if TYPE_CHECKING:
    from pandas import DataFrame

PACKAGES = ("redoxa", "chgnet", "torch", "pymatgen", "numpy")


def write_outcome(plan: Plan, outcome: Outcome) -> None:
    """Write the weights with their record, ``found.parquet`` and ``rounds.json``, each whole or not at all."""
    with whole(plan.out / "found.parquet") as draft:
        table_of([one for found in outcome.rounds for one in found.judged]).to_parquet(draft, index=False)
    with whole(plan.out / "rounds.json") as draft:
        draft.write_text(json.dumps(rounds_json(outcome), indent=1) + "\n", encoding="utf-8")
    with whole(plan.out / outcome.file) as draft:
        draft.write_bytes(outcome.weights.read_bytes())
    facts: dict[str, JsonValue] = {
        "campaign": plan.spec.name,
        "campaign_id": plan.spec.id,
        "rounds": plan.rounds,
        "drawn": [len(found.judged) for found in outcome.rounds],
        "hits": [sum(one.hit for one in found.judged) for found in outcome.rounds],
        "learning": asdict(plan.how),
        "draws_from_each_skeleton": plan.alike,
        "best_of": plan.best_of,
        "dreams": plan.dreams,
        "halted": outcome.halted,
        "seed": plan.seed,
    }
    write_provenance(plan.out / outcome.file, "redoxa reinforce", sources_of(plan.start), PACKAGES, facts)


def round_values(one: Round) -> dict[str, Value]:
    """Numbers of a round: shares of its crystals, repeated ones too, with Wilson intervals, and what is watched."""
    judged, n = one.judged, len(one.judged)
    hits, spent = sum(found.hit for found in judged), sum(one.cpu_s.values())
    rewards = [found.reward for found in judged if found.reward is not None]
    return {
        "drawn": Value(float(n), n),
        "hits": share(found.hit for found in judged),
        **{name: share(bool(found.parts[name]) for found in judged) for name in PARTS},
        "rewarded": share(bool(found.reward) for found in judged),
        "reward": mean(rewards),
        "expected_reward": mean(one.expected),
        "left_out": share(found.reward is None for found in judged),
        "repeated": share(found.repeated for found in judged),
        "distinct_formulas": Value(one.watched.distinct_formulas, n),
        "distinct_families": Value(one.watched.distinct_families, n),
        "entropy_nats": Value(one.watched.entropy_nats, n),
        "kl_nats": Value(one.watched.kl_nats, n),
        "cpu_s": Value(spent, n),
        "hits_per_cpu_minute": Value(60.0 * hits / spent if spent else None, hits),
    }


def rounds_json(outcome: Outcome) -> list[dict[str, object]]:
    """What each round gave: values with 95 % intervals, and CPU seconds by step."""
    return [
        {
            "round": number,
            "values": {name: asdict(value) for name, value in round_values(one).items()},
            "cpu_s": one.cpu_s,
            "halted": outcome.halted if number == len(outcome.rounds) else None,
        }
        for number, one in enumerate(outcome.rounds, 1)
    ]


def table_of(judged: list[Judged]) -> DataFrame:
    """All crystals as rows: of each the relaxed discharged state where there is one, else as drawn."""
    from pandas import DataFrame

    rows = []
    for one in judged:
        relaxed = None if one.result is None else one.result.crystals.get("discharged")
        crystal = relaxed or one.drawn
        rows.append(
            {
                "round": one.number,
                "formula": crystal.formula,
                "family": family(crystal.composition),
                "space_group": spacegroup(crystal, 0.01),
                "verdict": None if one.result is None else one.result.verdict.value,
                "above_hull_eV_per_atom": one.above_hull_eV_per_atom,
                **{name: bool(met) for name, met in one.parts.items()},
                "repeated": one.repeated,
                "hit": one.hit,
                "reward": one.reward,
                "reason": "" if one.result is None else "; ".join(reason.text for reason in one.result.reasons),
                "relaxed": relaxed is not None,
                "atomic_numbers": list(crystal.numbers),
                "frac_coords": [x for site in crystal.frac_coords for x in site],
                "lattice_A": [x for vector in crystal.lattice_A for x in vector],
            }
        )
    return DataFrame(rows)
