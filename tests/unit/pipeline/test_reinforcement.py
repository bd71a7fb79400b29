"""`redoxa reinforce`: rewards are what they say, a killed run goes on, a collapse stops it, and the command tells all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.data.progress import OnStep
from redoxa.data.provenance import read_provenance
from redoxa.data.records import Candidate, Crystal, Estimate, Origin, ScreeningResult, Verdict
from redoxa.data.shipped import shipped
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.data.tables.prototypes import prototype
from redoxa.data.tables.reference import Reference, ReferenceEntry, load_reference
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.choice import Foreseen
from redoxa.generators.evaluate.families import Families
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.reinforcement.guards import Limits
from redoxa.generators.reinforcement.objective import Objective
from redoxa.generators.reinforcement.orbit_policy import OrbitEpisode, OrbitPolicy
from redoxa.generators.reinforcement.policy import Steps
from redoxa.pipeline.campaign.spec_file import read_spec
from redoxa.pipeline.campaign.stages import condition_of
from redoxa.pipeline.commands import reinforce as command
from redoxa.pipeline.reinforcement.files import round_values, write_outcome
from redoxa.pipeline.reinforcement.funnel import Funnel
from redoxa.pipeline.reinforcement.loop import Plan, reinforce
from redoxa.pipeline.rewards.expectation import Expectation, likeliest_hits
from redoxa.pipeline.rewards.judge import ALL, PARTS, Judge, Seen
from redoxa.screening.settings import Range
from tests.campaign.conftest import TINY, here
from tests.unit.generators.evaluate.crystals import caesium_chloride, rocksalt, shaken

LI, F, NA, CL, TI = 3, 9, 11, 17, 22
SPEC = read_spec(TINY)
START = shipped("orbits.safetensors")


def estimate(value: float, unit: str) -> Estimate:
    return Estimate(value=value, sigma=0.1, unit=unit, method="made up", model="toy")


def answer(
    crystal: Crystal, hull_eV: float | None, verdict: Verdict = Verdict.PASS, voltage_V: float = 3.0
) -> ScreeningResult:
    """Of a screening that came to the hull, or not even so far."""
    found = {} if hull_eV is None else {
        "stability_discharge": estimate(hull_eV, "eV/atom"), "average_voltage": estimate(voltage_V, "V"),
        "capacity_grav": estimate(200.0, "mAh/g"),
    }  # fmt: skip
    return ScreeningResult(
        candidate_id=crystal.content_hash, formula=crystal.formula, working_ion="Li", verdict=verdict,
        settings_hash="toy", estimates=found, crystals={} if hull_eV is None else {"discharged": crystal},
    )  # fmt: skip


class ToyScreening:
    """Whatever holds oxygen lies on the hull and passes; the rest lies far above."""

    def __init__(self, killed_after: int = 10**9) -> None:
        self.reference, self.killed_after = load_reference(), killed_after
        self.asked: list[str] = []
        self.earlier: list[int] = []

    def screened(
        self, candidates: Sequence[Candidate], earlier: Sequence[Candidate], on_step: OnStep
    ) -> list[ScreeningResult]:
        if len(self.asked) >= self.killed_after:
            raise KeyboardInterrupt
        self.asked += [one.id for one in candidates]
        self.earlier.append(len(earlier))
        good = ["O" in one.crystal.composition for one in candidates]
        return [
            answer(one.crystal, 0.0 if fine else 0.5, Verdict.PASS if fine else Verdict.FAIL)
            for one, fine in zip(candidates, good, strict=True)
        ]


@pytest.fixture(autouse=True)
def _short_dreams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redoxa.pipeline.reinforcement.loop.IMAGINED", 48)


@pytest.fixture(scope="module")
def policy() -> OrbitPolicy:
    return OrbitPolicy(START, condition_of(SPEC))


def plan(out: Path, steps: int = 2, rate: float = 1e-3) -> Plan:
    how = Steps(steps, rate)
    return Plan(SPEC, rounds=2, n=4, final=3, start=START, out=out, how=how, best_of=2, dreams=1, seed=1)


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def test_rewarded_by_hand() -> None:
    """Of Na and Cl, and of Ti and Cl, a phase is known; of Na and F none is, whatever its hull says."""
    energies = {"Na": -1.3, "Cl2": -1.8, "NaCl": -3.5, "F2": -1.9, "Ti": -7.0, "TiCl2": -5.0}
    reference = Reference([ReferenceEntry(f, e, f, "test", "relaxed") for f, e in energies.items()], "test")
    known = KnownMaterials()
    known.add(rocksalt(TI, CL, 5.6), "known family", "test")
    judge = Judge({"average_voltage": Range(min=2.0, max=4.0)}, reference, Families(known))
    salt, fluoride, old = rocksalt(NA, CL, 5.6), caesium_chloride(NA, F, 2.9), rocksalt(TI, CL, 5.0)
    same, other = shaken(salt, 1, 0.01), caesium_chloride(NA, CL, 3.4)
    broken = answer(other, None, Verdict.ERROR)
    found = judge.judge(
        1, [salt, fluoride, old, same, other, other, other],
        [answer(salt, 0.05), answer(fluoride, -1.0), answer(old, 0.05, voltage_V=5.0), answer(same, 0.05),
         answer(other, None, Verdict.FAIL), None, broken],
    )  # fmt: skip
    assert [one.reward for one in found] == [1.0, None, 0.1, 0.0, 0.0, 0.0, None]
    assert [one.repeated for one in found] == [False, False, False, True, False, True, False]
    assert [one.hit for one in found] == [True, *[False] * 6]
    assert found[0].parts == dict.fromkeys(PARTS, 1)
    assert found[2].parts == {"near": 1, "in_range": 0, "new_family": 0}  # known family, voltage too high
    (later,) = judge.judge(2, [other], [answer(other, 0.05)])
    assert later.parts["new_family"] == 0  # of the run's first crystal
    assert later.reward == pytest.approx(0.3)
    assert sum(part.weight for part in PARTS.values()) + ALL == pytest.approx(1.0)
    seen = Seen()
    assert [seen.add(one) for one in (salt, same, other)] == [False, True, False]


def test_expected_by_hand() -> None:
    """Of Li, Ti and O phases are known; of Li, Ti and Cl none. One in two errors of the foresight is seen at once."""
    energies = {"Li": -1.9, "O2": -4.9, "Ti": -7.8, "Li2TiO3": -6.8, "LiTiO2": -6.9, "Cl2": -1.8}
    reference = Reference([ReferenceEntry(f, e, f, "test", "relaxed") for f, e in energies.items()], "test")
    known = KnownMaterials()
    known.add(rocksalt(LI, TI, 4.0), "an alloy", "test")
    judge = Judge({"average_voltage": Range(min=2.0)}, reference, Families(known))
    expectation = Expectation(judge, "Li")
    oxide = Foreseen({"Li": 1, "Ti": 1, "O": 2}, {"stability_discharge": (0.1, 0.05), "average_voltage": (2.0, 0.4)})
    chloride = Foreseen({"Li": 1, "Ti": 1, "Cl": 3}, oxide.values)
    polymorph = Foreseen({"Li": 2, "Ti": 2, "O": 4}, oxide.values)
    half = 0.5 * 0.1 + 0.5 * 0.2 + 0.5 * 0.2 + 0.25 * 0.5  # near, in range and new, and all at once
    assert expectation.rewards([None, chloride, oxide, polymorph]) == pytest.approx([0.0, 0.0, half, 0.0])
    farther = replace(oxide, values=oxide.values | {"stability_discharge": (0.4, 0.05)})
    assert expectation.rewards([farther, oxide]) == pytest.approx([0.0, half])  # the better of a formula counts
    relative = Foreseen({"Li": 1, "V": 1, "Ti": 1, "O": 4}, oxide.values)
    expectation.learn([oxide] * 12, [answer(rocksalt(LI, TI, 4.0), 0.3, voltage_V=2.0)] * 12)
    assert expectation.rewards([oxide]) == [0.0]  # screened
    far = Foreseen({"Li": 2, "Ti": 1, "O": 3}, oxide.values | {"stability_discharge": (0.4, 0.05)})
    layered = prototype("O3 LiCoO2").crystal
    made = layered.model_copy(update={"numbers": tuple(TI if z == 27 else z for z in layered.numbers)})
    assert likeliest_hits(2, judge.objectives, "Li", reference, []).best([far, oxide]) == [1]
    assert likeliest_hits(2, judge.objectives, "Li", reference, [made]).best([far, oxide]) == [0]
    choice = likeliest_hits(1, judge.objectives, "Li", reference, [])
    assert choice.best([far, oxide]) == [1, 0]
    choice.took(made)
    assert choice.best([far, oxide]) == [0, 1]
    value, sigma = expectation.corrected("stability_discharge", 0.1, 0.05)
    assert value == pytest.approx(0.2)  # half of the mean error of 0.2
    assert 0.1 < sigma < 0.12
    assert expectation.rewards([relative]) == [0.0]  # no phase of all four
    assert expectation.corrected("average_voltage", 2.0, 0.4)[1] < 0.4


def test_killed_and_run_again_it_gives_the_same(policy: OrbitPolicy, tmp_path: Path) -> None:
    whole = reinforce(plan(tmp_path / "whole"), policy, ToyScreening(), quiet)
    write_outcome(plan(tmp_path / "whole"), whole)
    asked, cut = plan(tmp_path / "cut"), ToyScreening(killed_after=4)  # in the second round
    with pytest.raises(KeyboardInterrupt):
        reinforce(asked, policy, cut, quiet)
    on = ToyScreening()
    again = reinforce(asked, policy, on, quiet)
    write_outcome(asked, again)
    assert not set(cut.asked) & set(on.asked)  # nothing twice
    assert on.earlier[0] == 4
    assert len(cut.asked + on.asked) == sum(not one.repeated for found in again.rounds for one in found.judged)
    assert [[one.drawn for one in found.judged] for found in again.rounds] == [
        [one.drawn for one in found.judged] for found in whole.rounds
    ]
    a, b = (read_tensors(tmp_path / name / "orbits.safetensors")[0] for name in ("cut", "whole"))
    assert all(torch.equal(tensor, b[name]) for name, tensor in a.items())
    assert not torch.equal(a["decorator.types.weight"], read_tensors(START)[0]["decorator.types.weight"])
    guards = [json.loads(line) for line in (asked.out / "guards.jsonl").read_text().splitlines()]
    assert (asked.out / "guards.jsonl").read_text() == (tmp_path / "whole" / "guards.jsonl").read_text()
    assert [line["round"] for line in guards] == [1, 2, 3]
    assert guards[0]["kl_nats"] == pytest.approx(0.0, abs=1e-6)
    assert guards[2]["kl_nats"] > 1e-4
    frame = pd.read_parquet(asked.out / "found.parquet")
    assert frame["round"].tolist() == [1] * 4 + [2] * 4 + [3] * 3
    assert read_provenance(asked.out / "orbits.safetensors").facts["drawn"] == [4, 4, 3]
    batch, _ = OrbitsGenerator(asked.out / "orbits.safetensors").sample(2, condition_of(SPEC), np.random.default_rng(0))
    assert len(batch) == 2
    with pytest.raises(InputError, match="other options"):
        reinforce(replace(asked, seed=2), policy, on, quiet)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds no reinforcement"):
        reinforce(replace(asked, out=tmp_path / "thesis"), policy, on, quiet)


def test_a_collapse_keeps_the_last_good_weights(policy: OrbitPolicy, tmp_path: Path) -> None:
    """A policy that runs away is stopped before anything of it is screened."""
    wild = Steps(10, 0.3, Objective(kl_weight=0.0, entropy_weight=0.0, clip=0.99))
    asked = replace(plan(tmp_path / "out"), how=wild, n=6, limits=Limits(kl_nats=0.5))
    screening = ToyScreening()
    outcome = reinforce(asked, policy, screening, quiet)
    write_outcome(asked, outcome)
    assert outcome.halted is not None
    assert "nats a crystal" in outcome.halted or "narrow" in outcome.halted
    assert len(screening.asked) == 6
    assert [len(found.judged) for found in outcome.rounds] == [6, 0]
    assert outcome.weights == START
    assert (asked.out / "orbits.safetensors").read_bytes() == START.read_bytes()
    assert json.loads((asked.out / "guards.jsonl").read_text().splitlines()[-1])["halted"] == outcome.halted
    assert round_values(outcome.rounds[1])["hits"].value is None
    again = reinforce(asked, policy, screening, quiet)
    assert (again.halted, len(screening.asked)) == (outcome.halted, 6)


def test_the_real_funnel_answers_in_order(tmp_path: Path) -> None:
    """None of these comes to a relaxation: two equal ones that nothing can be oxidised in, and a known one."""
    chloride, fluoride = rocksalt(LI, CL, 5.1), rocksalt(LI, F, 4.0)
    origin = Origin(generator="made up", seed=0)
    asked = [
        Candidate(crystal=one, working_ion="Li", origin=origin)
        for one in (chloride, fluoride, shaken(chloride, 1, 0.01), chloride)
    ]
    with Funnel(SPEC.screening, tmp_path) as funnel:
        found = funnel.screened(asked[1:], asked[:1], lambda *_: None)
        assert funnel.reference.coverage(["Li", "Cl"]).n_full > 0
    assert [one.formula for one in found] == ["LiF", "LiCl", "LiCl"]
    assert {one.verdict for one in found} == {Verdict.FAIL}
    assert [one.candidate_id for one in found] == [one.id for one in asked[1:]]
    judge = Judge(SPEC.goal.objectives, load_reference(), Families(KnownMaterials()))
    assert [one.reward for one in judge.judge(1, [one.crystal for one in asked[1:]], found)] == [0.0, 0.0, 0.0]


def test_rewards_shift_what_is_drawn(policy: OrbitPolicy, tmp_path: Path) -> None:
    """Where oxygen is rewarded, it becomes likelier on the skeletons that were drawn."""
    asked = replace(plan(tmp_path / "out"), n=16, rounds=1, final=0, how=Steps(8, 2e-3))
    reinforce(asked, policy, ToyScreening(), quiet)
    drawn = json.loads((asked.out / "round_1" / "drawn.json").read_text())
    episodes = [OrbitEpisode.model_validate(one) for one in drawn["episodes"]]
    with torch.no_grad():
        gain = policy.log_probability(episodes)[0] - policy.log_prior(episodes)
    good = torch.tensor(["O" in one["content"] for one in drawn["foreseen"]])
    assert gain[good].mean() > gain[~good].mean()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds through all of it but the relaxations."""

    class Toy(ToyScreening):
        def __init__(self, *_: object) -> None:
            super().__init__()

        def __enter__(self) -> Toy:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

    monkeypatch.setattr("redoxa.pipeline.reinforcement.funnel.Funnel", Toy)
    words = ("reinforce", TINY, "--rounds", 1, "-n", 3, "--final", 2, "--steps", 1, "--out", "own")
    done = here(*words, cwd=tmp_path)
    assert done.code == 0
    assert "hits" in done.out
    assert "next: redoxa generate --generator orbits --checkpoint own/orbits.safetensors" in done.err
    told = here(*words, "--json", cwd=tmp_path)  # all of it is there already
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [(row["schema"], row["round"], row["halted"]) for row in rows] == [
        ("redoxa.reinforced_round/1", 1, None), ("redoxa.reinforced_round/1", 2, None),
    ]  # fmt: skip
    assert rows[0]["values"]["hits"]["of"] == 3
    assert set(command.SHOWN) <= rows[0]["values"].keys()
    assert (tmp_path / "own" / "rounds.json").exists()
    words_of_composition = (*words[:-1], "formulas", "--generator", "composition")
    assert here(*words_of_composition, cwd=tmp_path).code == 0
    assert read_provenance(tmp_path / "formulas" / "composition_lstm.safetensors").facts["drawn"] == [3, 2]
    refused = here(*words_of_composition, "--alike", 2, cwd=tmp_path)
    assert (refused.code, "--alike" in refused.err) == (2, True)
    wrong = here("reinforce", "none.yaml", cwd=tmp_path)
    assert (wrong.code, "Traceback" in wrong.err) == (2, False)
    other = here(*words, "--seed", 4, cwd=tmp_path)
    assert other.code == 2
    assert "other options" in other.err
