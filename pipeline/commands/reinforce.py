"""`redoxa reinforce`: a generator learns by policy gradients from what a campaign's screening says of its crystals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from redoxa.data.errors import InputError
from redoxa.data.shipped import shipped
from redoxa.pipeline.commands.app import Json
from redoxa.pipeline.commands.science import Count

if TYPE_CHECKING:
    from redoxa.data.progress import OnProgress
    from redoxa.pipeline.reinforcement.loop import Outcome, Plan

SHOWN = (
    "hits", "reward", "expected_reward", "near", "in_range", "new_family", "distinct_formulas", "distinct_families",
    "entropy_nats", "kl_nats", "hits_per_cpu_minute",
)  # fmt: skip
"""Columns of the table by round: what is exploited, then what is explored."""

WEIGHTS = {"orbits": "orbits.safetensors", "composition": "composition_lstm.safetensors"}
"""That ship, by generator."""

Natural = Annotated[int, Parameter(validator=Number(gte=0))]
Positive = Annotated[int, Parameter(validator=Number(gte=1))]
Weight = Annotated[float, Parameter(validator=Number(gte=0))]


def reinforce(
    campaign: Path,
    *,
    generator: Literal["orbits", "composition"] = "orbits",
    rounds: Positive = 6,
    n: Count = 48,
    final: Natural = 0,
    steps: Positive = 8,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    kl: Weight = 0.1,
    clip: Annotated[float, Parameter(validator=Number(gt=0, lt=1))] = 0.2,
    entropy_floor: Weight = 0.3,
    max_kl: Annotated[float, Parameter(validator=Number(gt=0))] = 16.0,
    alike: Positive = 1,
    best_of: Positive | None = None,
    dreams: Natural | None = None,
    out: Path = Path("runs/reinforce"),
    checkpoint: Path | None = None,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Let a generator follow rewards: its crystals are screened as in a campaign; goes on where it was stopped.

    A crystal earns 0.1 near the hull, 0.2 where the campaign's limits and objectives are met, 0.2 for a new family near
    the hull, 0.5 for all of these, nothing where it was drawn before. Writes the last good weights, found.parquet
    (every crystal), rounds.json (what each round gave) and guards.jsonl (what is watched, and why learning stopped).

    Args:
        campaign: campaign file: its chemistry, screen section and objectives count, its generators do not.
        generator: orbits learns which skeletons to fill and with which elements, composition (lstm) which formulas to
            write.
        rounds: of drawing, screening and learning.
        n: crystals of a round.
        final: crystals that are drawn with the last weights and screened, to see what was gained.
        steps: of learning, in each round.
        rate: learning rate. 0.01 by default, 0.001 of composition.
        kl: weight of the divergence from the first weights, per nat of a crystal; more stays nearer.
        clip: how far the probability of a crystal may change in a round before it pushes no further, as a share.
        entropy_floor: mean entropy of a choice, in nats, below which variety is pushed up.
        max_kl: divergence from the first weights, in nats of a crystal, at which learning stops.
        alike: draws from each skeleton, compared with one another; with 1, all crystals of a round are compared.
        best_of: draws for each crystal: that which is foreseen to earn most is screened. 32 by default; orbits alone.
        dreams: times that expected rewards of 512 imagined draws are followed, after each round. 8 by default; orbits
            alone.
        out: folder for everything.
        checkpoint: weights to begin with, instead of the shipped ones.
        seed: of drawing.
    """
    from redoxa.generators.reinforcement.guards import Limits
    from redoxa.generators.reinforcement.objective import Objective
    from redoxa.generators.reinforcement.policy import Steps
    from redoxa.pipeline.campaign.spec_file import read_spec
    from redoxa.pipeline.commands.console import note, progress_bars
    from redoxa.pipeline.reinforcement.files import write_outcome
    from redoxa.pipeline.reinforcement.loop import Plan

    of_orbits = generator == "orbits"
    objective = Objective(clip=clip, kl_weight=kl, entropy_floor=entropy_floor)
    plan = Plan(
        read_spec(campaign), rounds, n, final, checkpoint or shipped(WEIGHTS[generator]), out,
        Steps(steps, rate or (0.01 if of_orbits else 0.001), objective), Limits(kl_nats=max_kl), alike,
        best_of or (32 if of_orbits else 1), dreams if dreams is not None else 8 * of_orbits, seed,
    )  # fmt: skip
    if not of_orbits:
        for option, wanted in (("--alike", alike > 1), ("--best-of", plan.best_of > 1), ("--dreams", plan.dreams > 0)):
            if wanted:
                raise InputError(f"{option}: composition fills no skeletons and foresees nothing; leave it out")
    with progress_bars(quiet=as_json) as on_progress:
        outcome = _reinforced(plan, generator, on_progress)
    write_outcome(plan, outcome)
    print_rounds(outcome, as_json=as_json)
    if outcome.halted:
        note(f"learning stopped: {outcome.halted}. The last good weights are kept")
    weights = out / outcome.file
    note(f"weights and all crystals in {out}")
    note(f"next: redoxa generate --generator {generator} --checkpoint {weights}")
    note(f"or in a campaign: generate: [{{kind: {generator}, checkpoint: {weights}}}]")


def _reinforced(plan: Plan, generator: str, on_progress: OnProgress) -> Outcome:
    from redoxa.generators.reinforcement.formula_policy import FormulaPolicy
    from redoxa.generators.reinforcement.orbit_policy import OrbitPolicy
    from redoxa.pipeline.campaign.stages import condition_of
    from redoxa.pipeline.reinforcement.funnel import Funnel
    from redoxa.pipeline.reinforcement.loop import check_folder, reinforce

    check_folder(plan)
    condition = condition_of(plan.spec)
    with Funnel(plan.spec.screening, plan.out) as screening:
        if generator == "composition":
            return reinforce(plan, FormulaPolicy(plan.start, condition), screening, on_progress)
        return reinforce(plan, OrbitPolicy(plan.start, condition, plan.alike), screening, on_progress)


def print_rounds(outcome: Outcome, *, as_json: bool) -> None:
    """The rounds on stdout."""
    from redoxa.pipeline.commands.console import emit, table
    from redoxa.pipeline.reinforcement.files import round_values, rounds_json

    if as_json:
        for told in rounds_json(outcome):
            emit("reinforced_round", **told)
        return
    shown = []
    for number, found in enumerate(outcome.rounds, 1):
        row: dict[str, object] = {"round": number, "drawn": len(found.judged)}
        values = round_values(found)
        for name in SHOWN:
            value = values[name].value
            row[name.replace("_nats", " (nats)").replace("_", " ")] = None if value is None else f"{value:.3f}"
        shown.append(row)
    table(
        "shares of what was drawn; distinct ones of all draws, refused ones too; divergence of a crystal",
        shown,
        list(shown[0]),
    )
