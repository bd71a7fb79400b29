"""`redoxa self-train`: every round is judged, learned from and gone on with, and its weights draw crystals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import SAME_UNRELAXED, distance, fingerprint
from redoxa.data.provenance import read_provenance
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import load_templates, write_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.data.tables.reference import Reference, ReferenceEntry
from redoxa.generators.base import Condition
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.orbits import training
from redoxa.generators.orbits.decoration.decorator_training import prepare_graphs
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.orbits.self_training import FineTuning
from redoxa.pipeline.evaluate import relaxation
from redoxa.pipeline.evaluate.relaxation import Outcome
from redoxa.pipeline.self_training import loop as self_training
from redoxa.pipeline.self_training.files import rounds_json, write_outcome
from redoxa.pipeline.self_training.loop import Plan, claim_folder, self_train
from redoxa.pipeline.self_training.rows import Judge, entropy, round_values
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.workers.pool import Finished
from tests.unit.generators.evaluate.crystals import caesium_chloride, rocksalt, shaken

LI, O, F, NA, MG, CL, TI, MN = 3, 8, 9, 11, 12, 17, 22, 25


def ended(crystal: Crystal, per_atom: float, converged: bool = True) -> Relaxation:
    return Relaxation(
        crystal=crystal, energy_eV=per_atom * crystal.n_atoms, converged=converged, steps=1, force_calls=2,
        max_force_eV_A=0.0, max_stress_eV_A3=0.0, seconds=0.1, reason="" if converged else "exploded: gone",
    )  # fmt: skip


class ToyPool:
    """A potential that finds everything far below the hull where it is, but every fifth crystal falls apart."""

    handed_in: list[str] = []
    killed_after = 10**9

    def __init__(self) -> None:
        self.waiting: list[tuple[str, object]] = []

    def submit(self, job_id: str, crystal: object, settings: object, urgency: int = 0) -> None:
        self.waiting.append((job_id, crystal))

    def wait(self) -> Finished:
        if len(self.handed_in) >= self.killed_after:
            raise KeyboardInterrupt
        job_id, subject = self.waiting.pop(0)
        crystal = subject.to_crystal() if isinstance(subject, SymmetricCrystal) else subject
        self.handed_in.append(job_id)
        return Finished(job_id, ended(crystal, -15.0, converged=int(job_id, 16) % 5 > 0))

    def __len__(self) -> int:
        return len(self.waiting)

    def close(self) -> None:
        self.waiting = []


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy potential, and some of the templates to learn beside what is found."""
    folder = tmp_path_factory.mktemp("memory")
    whole = load_templates()
    write_templates(folder / "templates.parquet", [whole[i] for i in range(0, len(whole), 40)])
    some = load_templates(folder / "templates.parquet")
    monkeypatch.setattr(relaxation, "open_pool", lambda _potential, _workers: ToyPool())
    monkeypatch.setattr(ToyPool, "handed_in", [])
    monkeypatch.setattr(ToyPool, "killed_after", 10**9)
    monkeypatch.setattr(self_training, "remember", lambda _table, out: out.exists() or prepare_graphs(some, out, 10))
    monkeypatch.setattr(training, "train_electrode", lambda *_: ({}, {}))


def plan(out: Path) -> Plan:
    condition = Condition(frozenset({LI, O, F, TI, MN, CL}), frozenset({LI}), n_atoms=(4, 12), charge_neutral=True)
    return Plan(2, 5, 4, condition, 0.1, FineTuning(steps=3), False, None, out, seed=1, workers=1)


def test_killed_and_run_again_it_gives_the_same(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = self_train(plan(tmp_path / "whole"), lambda *_: None)
    relaxed = len(ToyPool.handed_in)
    assert relaxed == 14
    monkeypatch.setattr(ToyPool, "handed_in", [])
    monkeypatch.setattr(ToyPool, "killed_after", 8)  # in the second round
    asked = plan(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        self_train(asked, lambda *_: None)
    monkeypatch.setattr(ToyPool, "killed_after", 10**9)
    again = self_train(asked, lambda *_: None)
    assert len(ToyPool.handed_in) == relaxed  # nothing twice
    assert [[one.drawn for one in found] for found in again.found] == [[one.drawn for one in f] for f in whole.found]
    assert again.weights is not None
    assert whole.weights is not None
    a, b = (read_tensors(path)[0] for path in (again.weights, whole.weights))
    assert a.keys() == b.keys()
    assert all(torch.equal(tensor, b[name]) for name, tensor in a.items())

    drawn = [one.drawn for found in again.found for one in found]
    marks = [fingerprint(crystal) for crystal in drawn]
    assert all(distance(a, b) > SAME_UNRELAXED for i, a in enumerate(marks) for b in marks[:i])
    assert 0.5 <= min(again.real_shares) < 1

    write_outcome(asked, again)
    weights = asked.out / "orbits.safetensors"
    record = read_provenance(weights)
    assert (record.facts["rounds"], record.facts["drawn"]) == (2, [5, 5, 4])
    assert record.facts["share_of_real_data"] == [round(share, 4) for share in again.real_shares]
    frame = pd.read_parquet(asked.out / "found.parquet")
    assert frame["round"].tolist() == [1] * 5 + [2] * 5 + [3] * 4
    assert frame["above_hull_eV_per_atom"].notna().sum() == frame["converged"].sum()
    rows = json.loads((asked.out / "rounds.json").read_text())
    assert [row["values"]["sampled"]["of"] for row in rows] == [5, 5, 4]
    assert set(rows[0]["cpu_s"]) >= {"draw", "learn"}
    batch, _ = OrbitsGenerator(weights).sample(2, asked.condition, np.random.default_rng(0))
    assert len(batch) == 2

    with pytest.raises(InputError, match="other options"):
        self_train(replace(asked, seed=2), lambda *_: None)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds no self-training"):
        self_train(replace(asked, out=tmp_path / "thesis"), lambda *_: None)


def test_a_folder_of_reinforcement_is_refused(tmp_path: Path) -> None:
    claim_folder(tmp_path / "out", "reinforcement", "abc", "reinforcement")
    with pytest.raises(InputError, match="of another kind; give another folder"):
        self_train(plan(tmp_path / "out"), lambda *_: None)
    claim_folder(tmp_path / "out", "reinforcement", "abc", "reinforcement")  # its own goes on


def test_the_control_learns_nothing(small: None, tmp_path: Path) -> None:
    outcome = self_train(replace(plan(tmp_path / "out"), tuning=None, rounds=1, final=0), lambda *_: None)
    write_outcome(plan(tmp_path / "out"), outcome)
    assert outcome.weights is None
    assert not (tmp_path / "out" / "orbits.safetensors").exists()
    assert len(rounds_json(outcome)) == 1


def test_judged_by_hand() -> None:
    """Hull of NaCl from Na, Cl2 and a known NaCl at -3.5 eV/atom; nobody knows a phase of Na and F."""
    energies = {"Na": -1.3, "Cl2": -1.8, "NaCl": -3.5, "F2": -1.9}
    hulls = Hulls(Reference([ReferenceEntry(f, e, f, "test", "relaxed") for f, e in energies.items()], "test"))
    known = KnownMaterials()
    known.add(rocksalt(NA, CL, 5.6), "salt", "test")
    judge = Judge(hulls, known, 0.1)
    cscl, salt, fluoride = caesium_chloride(NA, CL, 3.4), rocksalt(NA, CL, 5.6), caesium_chloride(NA, F, 2.9)
    first = judge.judge(
        1, [salt, cscl, fluoride, cscl], [Outcome(ended(salt, -3.5)), Outcome(ended(cscl, -3.45)),
        Outcome(ended(fluoride, -4.0)), Outcome(ended(cscl, -3.45, converged=False))],
    )  # fmt: skip
    assert [one.msun for one in first] == [False, True, True, False]  # known; new; new; no minimum
    assert [one.kept for one in first] == [False, True, False, False]  # of Na and F no phase is known
    assert first[1].above_hull_eV_per_atom == pytest.approx(0.05)
    assert first[3].reason == "exploded: gone"
    (again,) = judge.judge(2, [cscl], [Outcome(ended(shaken(cscl, 1, 0.01), -3.45))])
    assert (again.near, again.unique, again.msun) == (True, False, False)  # of the first round
    judge.confirm(first[1], Outcome(ended(salt, -3.5)))  # with all atoms free it falls into what is known
    assert (first[1].confirmed, first[1].novel, first[1].kept) == (True, False, False)
    judge.confirm(first[2], Outcome(None, "the worker died"))
    assert (first[2].relaxed, first[2].msun, first[2].reason) == (None, False, "the worker died")

    values = round_values(first, {"relax": 20.0, "draw": 10.0})
    assert (values["converged"].value, values["converged"].of) == (2 / 4, 4)
    assert (values["msun"].value, values["msun_full"].value) == (0.0, 0.0)
    assert values["cpu_s"].value == 30.0


def test_entropy_falls_where_variety_is_lost() -> None:
    assert entropy([["Li", "O"], ["Na", "O"]]) == pytest.approx(1.5 * np.log(2))
    assert entropy([["Li", "O"], ["Li", "O"]]) == pytest.approx(np.log(2))
