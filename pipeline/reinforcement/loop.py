"""`redoxa reinforce`: draw, screen, reward, follow the rewards, and draw again.

Everything is kept in files of the folder, so that a killed run goes on: what was drawn in each round, every relaxation
by its content hash, the results, the weights, and what each step cost. Rewards are told from these anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic

import numpy as np
import torch

from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnProgress
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Candidate, Crystal, Origin, ScreeningResult, content_hash
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.whole import whole
from redoxa.generators.choice import Choice, Foreseen
from redoxa.generators.evaluate.families import Families
from redoxa.generators.reinforcement.guards import Limits, Watched, collapse, distinct
from redoxa.generators.reinforcement.objective import divergence
from redoxa.generators.reinforcement.policy import Drawn, E, Policy, Steps, learn
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.reinforcement.funnel import Screening
from redoxa.pipeline.rewards.expectation import Expectation
from redoxa.pipeline.rewards.judge import Judge, Judged, Seen
from redoxa.pipeline.self_training.loop import Meter, claim_folder

IMAGINED = 512
"""Draws of a dream: a tenth of them or so would be a new crystal of a known hull."""


@dataclass(frozen=True)
class Plan:
    """What `redoxa reinforce` was asked for.

    Attributes:
        spec: the campaign: its chemistry, its `screen` section and its objectives.
        rounds: of drawing, screening and learning.
        n: crystals of a round.
        final: crystals that are drawn and screened with the last weights, and not learned from.
        how: steps, rate and objective of learning.
        limits: where learning stops.
        alike: draws from each skeleton, which are then compared with one another; 1 compares all of a round.
        best_of: draws for each crystal; that which is expected to earn most is made and screened.
        dreams: times that the policy follows the expected rewards of imagined draws, after each round.
        start: weights to begin with.
        out: folder for everything.
        seed: of drawing.
    """

    spec: CampaignSpec
    rounds: int
    n: int
    final: int
    start: Path
    out: Path
    how: Steps = field(default_factory=Steps)
    limits: Limits = field(default_factory=Limits)
    alike: int = 1
    best_of: int = 1
    dreams: int = 0
    seed: int = 0

    def digest(self) -> str:
        """Hash of all that decides what comes out; more rounds may be asked for later."""
        asked = repr((self.spec.id, self.n, self.how, self.limits, self.alike, self.best_of, self.dreams, self.seed))
        return content_hash([asked, sha256_of(self.start)])


@dataclass(frozen=True)
class Round:
    """What a round gave.

    Attributes:
        watched: of its draws.
        judged: its crystals with what they earned; empty where learning had stopped.
        expected: what each was expected to earn; empty where the policy foresees nothing.
        cpu_s: by step (draw, screen, learn).
    """

    watched: Watched
    judged: list[Judged]
    expected: list[float]
    cpu_s: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What reinforcement gives.

    Attributes:
        rounds: all of them, the final sample last.
        weights: the last good ones.
        file: what they are called.
        halted: why learning stopped before its end, as a sentence; None where it did not.
    """

    rounds: list[Round]
    weights: Path
    file: str
    halted: str | None


@dataclass(frozen=True)
class _Draws(Generic[E]):
    """What a round drew, and what these crystals were expected to earn."""

    drawn: Drawn[E]
    watched: Watched
    expected: list[float]


def reinforce(plan: Plan, policy: Policy[E], screening: Screening, on_progress: OnProgress) -> Outcome:
    """Do all rounds; killed and run again, it goes on.

    Args:
        plan: what was asked for.
        policy: draws and learns; is left with the last good weights.
        screening: of the campaign.
        on_progress: called with what goes on.

    Raises:
        InputError: the folder belongs to something else.
        GenerationError: the condition leaves nothing to draw.
    """
    check_folder(plan)
    run = _Run(plan, policy, screening, on_progress)
    weights = before = plan.start
    for number in range(1, plan.rounds + 1 + bool(plan.final)):
        policy.load(weights)
        if (halted := run.round(number, weights)) is not None:
            policy.load(before)
            return Outcome(run.rounds(), before, policy.file, halted)
        if number <= plan.rounds:
            before, weights = weights, run.learned(number)
    policy.load(weights)
    return Outcome(run.rounds(), weights, policy.file, None)


def check_folder(plan: Plan) -> None:
    """The folder is empty or holds this very plan.

    Raises:
        InputError: it holds something else.
    """
    claim_folder(plan.out, "reinforcement", plan.digest(), "reinforcement")


class _Run(Generic[E]):
    """The rounds so far."""

    def __init__(self, plan: Plan, policy: Policy[E], screening: Screening, on_progress: OnProgress) -> None:
        self.plan, self.policy, self.screening, self.on_progress = plan, policy, screening, on_progress
        self.judge = Judge(plan.spec.goal.objectives, screening.reference, Families(load_known_materials()))
        self.expectation = Expectation(self.judge, plan.spec.goal.working_ion)
        self.choice = Choice(plan.best_of, self.expectation.rewards) if plan.best_of > 1 else None
        self.meter, self.seen = Meter(plan.out / "cost.jsonl"), Seen()  # counts from here on, the tables being read
        self.judged: list[list[Judged]] = []
        self.draws: list[_Draws[E]] = []
        self._earlier: list[Candidate] = []

    def rounds(self) -> list[Round]:
        """What they gave."""
        judged = [*self.judged, *([] for _ in self.draws[len(self.judged) :])]
        return [
            Round(drawn.watched, found, drawn.expected, self.meter.total(number))
            for number, (drawn, found) in enumerate(zip(self.draws, judged, strict=True), 1)
        ]

    def round(self, number: int, weights: Path) -> str | None:
        """Draw, screen and reward; returns why learning stops, and then nothing is screened."""
        self.draws.append(self._drawn(number))
        halted = collapse(self.draws[0].watched, self.draws[-1].watched, self.plan.limits)
        if halted is None:
            self.judged.append(self._screened(number, self.draws[-1].drawn, weights))
        self._write_guards(halted)
        return halted

    def learned(self, number: int) -> Path:
        """Weights that have followed the rewards of the round; the same as before where these teach nothing."""
        out = self._folder(number) / self.policy.file
        if out.exists():
            return out
        pairs = zip(self.draws[-1].drawn.episodes, self.judged[-1], strict=True)
        taught = [(one, found.reward) for one, found in pairs if found.reward is not None]
        losses = self._follow(number, *zip(*taught, strict=True)) if taught else []
        for dream in range(self.plan.dreams):
            self.on_progress(f"imagine {number}", dream, self.plan.dreams)
            imagined, foreseen = self.policy.imagine(IMAGINED, np.random.default_rng([self.plan.seed, number, dream]))
            self._follow(number, imagined, self.expectation.rewards(foreseen))
        note = {"episodes": len(taught), "losses": [round(loss, 6) for loss in losses]}
        _write(self._folder(number) / "learned.json", json.dumps(note))
        self.policy.save(out)
        self.meter.tick(number, "learn")
        return out

    def _follow(self, number: int, episodes: Sequence[E], rewards: Sequence[float]) -> list[float]:
        """Losses of learning; none where all earned the same."""
        if len(set(rewards)) < 2:
            return []
        return learn(self.policy, episodes, rewards, self.plan.how, partial(self.on_progress, f"learn {number}"))

    def _folder(self, number: int) -> Path:
        """Of a round; a final sample has its own, so that more rounds may follow another day."""
        final = number > self.plan.rounds
        return self.plan.out / (f"final_{self.plan.final}_after_{self.plan.rounds}" if final else f"round_{number}")

    def _name(self, number: int) -> str:
        return "final sample" if number > self.plan.rounds else f"round {number}"

    def _drawn(self, number: int) -> _Draws[E]:
        """What a round draws; kept in a file."""
        file = self._folder(number) / "drawn.json"
        if file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
            drawn = Drawn(
                [self.policy.episode.model_validate(one) for one in kept["episodes"]],
                [Crystal.model_validate(one) for one in kept["crystals"]],
                [Foreseen(one["content"], one["values"]) for one in kept["foreseen"]],
            )
            return _Draws(drawn, Watched(**kept["watched"]), kept["expected"])
        n = self.plan.final if number > self.plan.rounds else self.plan.n
        self.on_progress(f"draw, {self._name(number)}", 0, n)
        drawn = self.policy.draw(n, np.random.default_rng([self.plan.seed, number]), self.choice)
        if not drawn.episodes:
            raise GenerationError(
                f"{self._name(number)}: not one new crystal was found; allow more elements or atoms in the campaign"
            )
        watched = self._watch(drawn.episodes, drawn.formulas[: self.plan.n])
        found = _Draws(drawn, watched, self.expectation.rewards(drawn.foreseen))
        told = {
            "watched": asdict(watched),
            "episodes": [one.model_dump(mode="json") for one in drawn.episodes],
            "crystals": [one.model_dump(mode="json") for one in drawn.crystals],
            "foreseen": [asdict(one) for one in drawn.foreseen],
            "expected": found.expected,
        }
        _write(file, json.dumps(told))
        self.on_progress(f"draw, {self._name(number)}", n, n)
        self.meter.tick(number, "draw")
        return found

    def _watch(self, episodes: Sequence[E], formulas: Sequence[str]) -> Watched:
        """Of equally many draws in each round: shares of different ones fall with their number."""
        with torch.no_grad():
            logs, entropies = self.policy.log_probability(episodes)
            kl_nats = float(divergence(logs, self.policy.log_prior(episodes)).mean())
        return Watched(*distinct(formulas), float(entropies.mean()), kl_nats)

    def _screened(self, number: int, drawn: Drawn[E], weights: Path) -> list[Judged]:
        """Screen and reward what the run did not draw before."""
        file, crystals = self._folder(number) / "results.jsonl", drawn.crystals
        first = [not self.seen.add(crystal) for crystal in crystals]
        fresh = [crystal for crystal, is_first in zip(crystals, first, strict=True) if is_first]
        candidates = [self._candidate(number, crystal, weights) for crystal in fresh]
        if file.exists():
            lines = file.read_text(encoding="utf-8").splitlines()
            results = [ScreeningResult.model_validate_json(line) for line in lines]
        else:
            step = partial(self.on_progress, f"screen, {self._name(number)}")
            results = self.screening.screened(candidates, self._earlier, step)
            if not any(result.is_lost for result in results):  # else they are asked for again another day
                _write(file, "".join(result.model_dump_json() + "\n" for result in results))
            self.meter.tick(number, "screen")
        self._earlier += candidates
        answers = iter(results)
        found = [next(answers) if is_first else None for is_first in first]
        if drawn.foreseen:
            self.expectation.learn(drawn.foreseen, found)
        return self.judge.judge(number, crystals, found)

    def _candidate(self, number: int, crystal: Crystal, weights: Path) -> Candidate:
        spec = self.plan.spec
        origin = Origin(
            generator=self.policy.name, checkpoint_sha256=sha256_of(weights), seed=self.plan.seed, campaign=spec.name,
            round=number - 1, detail=self._name(number),
        )  # fmt: skip
        return Candidate(crystal=crystal, working_ion=spec.goal.working_ion, origin=origin)

    def _write_guards(self, halted: str | None) -> None:
        """All rounds so far, one a line."""
        lines = []
        for number, one in enumerate(self.draws, 1):
            judged = self.judged[number - 1] if number <= len(self.judged) else []
            rewarded = sum(bool(one.reward) for one in judged) / len(judged) if judged else None
            why = halted if number == len(self.draws) else None
            told = {"round": number, **asdict(one.watched), "rewarded": rewarded, "halted": why}
            lines.append(json.dumps(told) + "\n")
        _write(self.plan.out / "guards.jsonl", "".join(lines))


def _write(file: Path, text: str) -> None:
    with whole(file) as draft:
        draft.write_text(text, encoding="utf-8")
