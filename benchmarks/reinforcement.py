"""Reinforcement against the same processor time without it: how many good new crystals each way of drawing finds.

    python benchmarks/reinforcement.py my.yaml                       # seven arms, three seeds, 1,200 s each
    python benchmarks/reinforcement.py my.yaml --seconds 60 --seeds 1 -n 8

All arms draw from `orbits` under the chemistry of the campaign, go through its own funnel, and are counted alike: a
hit lies near the hull of phases that hold all its elements, meets all limits and objectives, and is of a new
family. `aimed` draws as a campaign does, with its objectives as targets, and `best of N in a campaign` with `best_of`;
`prior` without either. `nearest of N` and `best of N` draw N times as many, and screen what the energy model puts
nearest to the hull, or what is expected to earn most by all that is foreseen and by what the run has screened.
`self-training` is fine-tuned after each round on what lay near so far, beside real crystals. `reinforcement` is
`redoxa reinforce`: it chooses as `best of N` does, and learns. An arm begins no round once its seconds are spent.
Drawing, screening and learning are paid for, reading the tables is not, nor are the graphs of the templates for
self-training (some 100 s, once). A killed run goes on in `--work`; the first two arms begin anew.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.processor_time import processor_s
from redoxa.data.records import Candidate, Origin, ScreeningResult
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.generators.base import Condition
from redoxa.generators.choice import Choice
from redoxa.generators.evaluate.families import Families, family
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.orbits.self_training import FineTuning, fine_tune, prepare_found
from redoxa.generators.orbits.training import remember, with_decorator
from redoxa.generators.reinforcement.guards import Limits
from redoxa.generators.reinforcement.orbit_policy import OrbitEpisode, OrbitPolicy
from redoxa.generators.reinforcement.policy import Drawn, Steps
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.campaign.spec_file import read_spec
from redoxa.pipeline.campaign.stages import condition_of
from redoxa.pipeline.reinforcement.funnel import Funnel
from redoxa.pipeline.reinforcement.loop import Plan, check_folder, reinforce
from redoxa.pipeline.rewards.expectation import likeliest_hits
from redoxa.pipeline.rewards.judge import Judge, Judged, NEAR_eV_PER_ATOM, Seen
from redoxa.pipeline.self_training.loop import Meter

ROUNDS = 10_000
"""More than any budget allows."""

STILL = Steps(steps=0)
"""Of arms that do not follow rewards."""

CHOOSE = ("best of N", "reinforcement")
"""Arms that screen of N draws the one that is expected to earn most."""

AIMED = ("aimed", "best of N in a campaign")
"""Arms that draw as campaigns do."""

ARMS = (*AIMED, "prior", "nearest of N", "best of N", "self-training", "reinforcement")


class NearestOf(OrbitPolicy):
    """Of `many` draws makes the one that is foreseen nearest to the hull."""

    def __init__(self, start: Path, condition: Condition, many: int) -> None:
        super().__init__(start, condition)
        self.by_hull = Choice(many)

    def draw(self, n: int, rng: np.random.Generator, choice: Choice | None = None) -> Drawn[OrbitEpisode]:
        """See `Policy`."""
        return super().draw(n, rng, choice or self.by_hull)


class SelfTrained(OrbitPolicy):
    """Is fine-tuned, whenever its weights are saved, on all of the run's crystals that lay near the hull."""

    def __init__(self, start: Path, condition: Condition, run: Path, memory: Path, tuning: FineTuning) -> None:
        super().__init__(start, condition)
        self.run, self.memory, self.tuning = run, memory, tuning

    def save(self, path: Path) -> None:
        """See `Policy`."""
        forms = self._near()
        if not forms:
            super().save(path)
            return
        graphs, train = path.parent / "graphs.safetensors", path.parent / "train"
        prepare_found(self.memory, forms, load_templates(), graphs)
        decorator, _ = fine_tune(self.start, graphs, self.tuning, train, 0)
        with_decorator(self.start, decorator, False, path)
        graphs.unlink()

    def _near(self) -> list[SymmetricCrystal]:
        forms = []
        for file in sorted(self.run.glob("round_*/results.jsonl")):
            for line in file.read_text(encoding="utf-8").splitlines():
                result = ScreeningResult.model_validate_json(line)
                above, crystal = result.estimates.get("stability_discharge"), result.crystals.get("discharged")
                full = ", 0 of them with all its elements" not in result.notes.get("hull_coverage_discharge", "")
                if above is None or crystal is None or above.value > NEAR_eV_PER_ATOM or not full:
                    continue
                try:
                    forms.append(canonical(symmetric(crystal, 0.02)))
                except StructureError:
                    continue
        return forms


class SpentError(Exception):
    """The budget of an arm is used up."""


@dataclass(frozen=True)
class Found:
    """What an arm gave with one seed."""

    drawn: int
    near: int
    hits: int
    families: int
    cpu_s: float


def run_arm(plan: Plan, policy: OrbitPolicy, seconds: float) -> Found:
    """Rounds until the seconds are spent."""
    check_folder(plan)
    meter = Meter(plan.out / "cost.jsonl")

    def spent(number: int) -> float:
        return sum(sum(meter.total(i).values()) for i in range(1, number + 1))

    def on_progress(what: str, done: int, _total: int) -> None:
        number = int(what.rpartition(" ")[2])
        if what.startswith("draw") and done == 0 and spent(number) >= seconds:
            raise SpentError

    with Funnel(plan.spec.screening, plan.out / "relaxed") as screening:
        try:
            outcome = reinforce(plan, policy, screening, on_progress)
        except SpentError:
            done = len(list(plan.out.glob("round_*/learned.json")))
            outcome = reinforce(replace(plan, rounds=done), policy, screening, lambda *_: None)
    judged = [one for found in outcome.rounds for one in found.judged]
    return counted(judged, spent(len(outcome.rounds)))


def aimed(spec: CampaignSpec, n: int, seconds: float, seed: int, best_of: int) -> Found:
    """`orbits` as campaigns have it."""
    generator, ion, objectives = OrbitsGenerator(), spec.goal.working_ion, spec.goal.objectives
    condition = condition_of(spec, frozenset() if best_of > 1 else generator.aims)
    judged, earlier = list[Judged](), list[Candidate]()
    with tempfile.TemporaryDirectory() as out, Funnel(spec.screening, Path(out)) as screening:
        judge = Judge(objectives, screening.reference, Families(load_known_materials()))
        seen, started, number = Seen(), processor_s(), 0
        while (spent := processor_s() - started) < seconds:
            if best_of > 1:
                before = [one.crystal for one in earlier]
                generator.choice = likeliest_hits(best_of, objectives, ion, screening.reference, before)
            drawn, _ = generator.sample(n, condition, np.random.default_rng([seed, number]))
            origin = Origin(generator=generator.name, seed=seed, campaign=spec.name, round=number)
            candidates = [Candidate(crystal=one, working_ion=ion, origin=origin) for one in drawn if not seen.add(one)]
            results = screening.screened(candidates, earlier, lambda *_: None)
            judged += judge.judge(number, [one.crystal for one in candidates], results)
            earlier += candidates
            number += 1
    return counted(judged, spent)


def arm(name: str, seed: int, options: argparse.Namespace) -> Found:
    """One arm with one seed."""
    spec, memory = read_spec(options.campaign), options.work / "memory.safetensors"
    condition, start = condition_of(spec), shipped(OrbitPolicy.file)
    out, follows = options.work / f"{name.replace(' ', '-')}-{seed}", name == "reinforcement"
    how = Steps(options.steps, options.rate) if follows else STILL
    limits = Limits() if follows else Limits(narrow=0.0, kl_nats=float("inf"))
    best_of, dreams = (options.many if name in CHOOSE else 1), (options.dreams if follows else 0)
    plan = Plan(spec, ROUNDS, options.n, 0, start, out, how, limits, best_of=best_of, dreams=dreams, seed=seed)
    makers: dict[str, Callable[[], OrbitPolicy]] = {
        "nearest of N": partial(NearestOf, start, condition, options.many),
        "self-training": partial(SelfTrained, start, condition, out, memory, FineTuning(options.tuning)),
    }
    if name in AIMED:
        return aimed(spec, options.n, options.seconds, seed, options.many if "of N" in name else 1)
    if name == "self-training":
        remember(load_templates(), memory)
    make = makers.get(name, partial(OrbitPolicy, start, condition))
    return run_arm(plan, make(), options.seconds)


def counted(judged: Sequence[Judged], cpu_s: float) -> Found:
    """Sums over the crystals of an arm."""
    hits = [one for one in judged if one.hit]
    families = {family(one.drawn.composition) for one in hits}
    near = sum(bool(one.parts["near"]) and one.reward is not None and not one.repeated for one in judged)
    return Found(len(judged), near, len(hits), len(families), cpu_s)


def told(values: Sequence[float], digits: int = 0) -> str:
    """Mean and standard deviation over seeds."""
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def table(found: dict[str, list[Found]]) -> str:
    """One row an arm."""
    lines = [
        "| arm | CPU s | drawn | near, full phase | hits | hits of drawn | hits in 1000 s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, runs in found.items():
        cells = [told([float(getattr(one, what)) for one in runs], 0) for what in ("cpu_s", "drawn", "near", "hits")]
        cells.append(told([one.hits / max(one.drawn, 1) for one in runs], 3))
        cells.append(told([1000 * one.hits / max(one.cpu_s, 1e-9) for one in runs], 1))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--seconds", type=float, default=1200, help="processor time of an arm and seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("-n", type=int, default=48, help="crystals of a round")
    parser.add_argument("--many", type=int, default=32, help="N of those that choose")
    parser.add_argument("--steps", type=int, default=Steps().steps, help="of reinforcement, a round")
    parser.add_argument("--dreams", type=int, default=8, help="of reinforcement, a round")
    parser.add_argument("--rate", type=float, default=Steps().rate)
    parser.add_argument("--tuning", type=int, default=FineTuning().steps, help="steps of self-training, a round")
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks/reinforcement"))
    options = parser.parse_args()
    found: dict[str, list[Found]] = {}
    for seed in range(options.first, options.first + options.seeds):
        for name in options.arms:
            found.setdefault(name, []).append(arm(name, seed, options))
            print(f"seed {seed}, {name}: {found[name][-1]}", flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
