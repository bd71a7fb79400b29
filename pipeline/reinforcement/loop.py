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
from redoxa.generators.evaluate.families import Families
from redoxa.generators.reinforcement.guards import Limits, Watched, collapse, distinct
from redoxa.generators.reinforcement.objective import divergence
from redoxa.generators.reinforcement.policy import E, Episode, Policy, Steps, learn
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.reinforcement.funnel import Screening
from redoxa.pipeline.reinforcement.rewards import Judge, Judged, Seen
from redoxa.pipeline.self_training.loop import Meter, claim_folder


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
    seed: int = 0

    def digest(self) -> str:
        """Hash of all that decides what comes out; more rounds may be asked for later."""
        asked = repr((self.spec.id, self.n, self.how, self.limits, self.alike, self.seed))
        return content_hash([asked, sha256_of(self.start)])


@dataclass(frozen=True)
class Round:
    """What a round gave.

    Attributes:
        watched: of its draws.
        judged: its crystals with what they earned; empty where learning had stopped.
        cpu_s: by step (draw, screen, learn).
    """

    watched: Watched
    judged: list[Judged]
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
    """What a round drew."""

    episodes: list[E]
    watched: Watched


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
        self.meter, self.seen = Meter(plan.out / "cost.jsonl"), Seen()  # counts from here on, the tables being read
        self.watched: list[Watched] = []
        self.judged: list[list[Judged]] = []
        self.episodes: list[E] = []
        self._earlier: list[Candidate] = []

    def rounds(self) -> list[Round]:
        """What they gave."""
        judged = [*self.judged, *([] for _ in self.watched[len(self.judged) :])]
        return [
            Round(watched, found, self.meter.total(number))
            for number, (watched, found) in enumerate(zip(self.watched, judged, strict=True), 1)
        ]

    def round(self, number: int, weights: Path) -> str | None:
        """Draw, screen and reward; returns why learning stops, and then nothing is screened."""
        drawn = self._drawn(number)
        self.episodes = drawn.episodes
        self.watched.append(drawn.watched)
        halted = collapse(self.watched[0], drawn.watched, self.plan.limits)
        if halted is None:
            self.judged.append(self._screened(number, drawn.episodes, weights))
        self._write_guards(halted)
        return halted

    def learned(self, number: int) -> Path:
        """Weights that have followed the rewards of the round; the same as before where these teach nothing."""
        out = self._folder(number) / self.policy.file
        if out.exists():
            return out
        pairs = zip(self.episodes, self.judged[-1], strict=True)
        taught = [(one, found.reward) for one, found in pairs if found.reward is not None]
        losses: list[float] = []
        if len({reward for _, reward in taught}) > 1:
            episodes, rewards = zip(*taught, strict=True)
            step = partial(self.on_progress, f"learn {number}")
            losses = learn(self.policy, episodes, rewards, self.plan.how, step)
        note = {"episodes": len(taught), "losses": [round(loss, 6) for loss in losses]}
        _write(self._folder(number) / "learned.json", json.dumps(note))
        self.policy.save(out)
        self.meter.tick(number, "learn")
        return out

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
            episodes = [self.policy.episode.model_validate(one) for one in kept["episodes"]]
            return _Draws(episodes, Watched(**kept["watched"]))
        n = self.plan.final if number > self.plan.rounds else self.plan.n
        self.on_progress(f"draw, {self._name(number)}", 0, n)
        drawn = self.policy.draw(n, np.random.default_rng([self.plan.seed, number]))
        if not drawn.episodes:
            raise GenerationError(
                f"{self._name(number)}: not one new crystal was found; allow more elements or atoms in the campaign"
            )
        found = _Draws(drawn.episodes, self._watch(drawn.episodes, drawn.formulas[: self.plan.n]))
        text = {"watched": asdict(found.watched), "episodes": [one.model_dump(mode="json") for one in found.episodes]}
        _write(file, json.dumps(text))
        self.on_progress(f"draw, {self._name(number)}", n, n)
        self.meter.tick(number, "draw")
        return found

    def _watch(self, episodes: Sequence[E], formulas: Sequence[str]) -> Watched:
        """Of equally many draws in each round: shares of different ones fall with their number."""
        with torch.no_grad():
            logs, entropies = self.policy.log_probability(episodes)
            kl_nats = float(divergence(logs, self.policy.log_prior(episodes)).mean())
        return Watched(*distinct(formulas), float(entropies.mean()), kl_nats)

    def _screened(self, number: int, episodes: Sequence[Episode], weights: Path) -> list[Judged]:
        """Screen and reward what the run did not draw before."""
        file = self._folder(number) / "results.jsonl"
        crystals = [one.crystal for one in episodes]
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
        return self.judge.judge(number, crystals, [next(answers) if is_first else None for is_first in first])

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
        for number, watched in enumerate(self.watched, 1):
            judged = self.judged[number - 1] if number <= len(self.judged) else []
            rewarded = sum(bool(one.reward) for one in judged) / len(judged) if judged else None
            why = halted if number == len(self.watched) else None
            lines.append(json.dumps({"round": number, **asdict(watched), "rewarded": rewarded, "halted": why}) + "\n")
        _write(self.plan.out / "guards.jsonl", "".join(lines))


def _write(file: Path, text: str) -> None:
    with whole(file) as draft:
        draft.write_text(text, encoding="utf-8")
