"""`orbits`: the best judged first, energies count where they can be had, and nothing is left unanswered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from redoxa.data.progress import OnStep
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.generators.base import Condition, Relaxed, make_generator
from redoxa.generators.choice import Choice, Foreseen
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.foresight.foresight import Foresight
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.orbits.prediction import MOST
from redoxa.pipeline.tasks.relaxer import SymmetricRelaxer, lend

LI, O, CO, XE, CS = 3, 8, 27, 54, 55
CONTENT = {LI: 1, CO: 1, O: 2}


@pytest.fixture(scope="module")
def generator() -> OrbitsGenerator:
    return OrbitsGenerator()


class Backwards:
    """An energy that falls with the space group's number, to see that energies decide."""

    def __init__(self) -> None:
        self.asked: list[SymmetricCrystal] = []

    def __call__(self, forms: Sequence[SymmetricCrystal], on_step: OnStep | None = None) -> list[Relaxed | None]:
        self.asked += forms
        return [None if f.group == 166 else Relaxed(f.to_crystal(), -float(f.group)) for f in forms]


def test_requests_of_one_content_get_different_answers(generator: OrbitsGenerator) -> None:
    batch, labels = generator.sample(4, Condition(contents=(CONTENT,) * 4), np.random.default_rng(0))
    assert labels[0].startswith("space group 166, p = ")  # the known one
    chances = [float(label.split("p = ")[1]) for label in labels]
    assert chances == sorted(chances, reverse=True)
    assert len({crystal.content_hash for crystal in batch.to_crystals()}) == 4


def test_energies_decide_among_the_likely(generator: OrbitsGenerator) -> None:
    generator.relaxer = relaxer = Backwards()
    try:
        _, labels = generator.sample(3, Condition(contents=(CONTENT,) * 3), np.random.default_rng(0))
    finally:
        generator.relaxer = None
    assert 3 <= len(relaxer.asked) <= MOST
    groups = [int(label.split(",")[0].split()[-1]) for label in labels]
    relaxed = [f.group for f in relaxer.asked if f.group != 166]
    assert groups[0] == max(relaxed)  # what cannot be relaxed comes last
    assert "eV/atom" in labels[0]


def test_what_no_skeleton_holds_is_written_or_comes_from_noise(generator: OrbitsGenerator) -> None:
    strange = {CS: 7, XE: 5, CO: 4, LI: 2, O: 1}
    assert generator.proposer.proposals(strange) == []
    batch, labels = generator.sample(2, Condition(contents=(strange, CONTENT)), np.random.default_rng(0))
    assert "sequence model" in labels[0] or "from noise" in labels[0]
    assert "p = " in labels[1]
    assert sorted(batch.to_crystals()[0].numbers) == sorted([CS] * 7 + [XE] * 5 + [CO] * 4 + [LI] * 2 + [O])


def test_the_lent_potential_relaxes_within_the_symmetry(generator: OrbitsGenerator) -> None:
    lend(generator, SymmetricRelaxer(workers=1))
    try:
        batch, labels = generator.sample(1, Condition(contents=(CONTENT,)), np.random.default_rng(0))
    finally:
        generator.relaxer = None
    assert labels[0].startswith("space group 166")
    energy = float(labels[0].split(", ")[-1].split()[0])
    assert energy == pytest.approx(-6.36, abs=0.05)  # CHGNet 0.3.0, O3 LiCoO2
    assert batch.to_crystals()[0].volume_A3 == pytest.approx(33.0, abs=1.5)


def test_the_best_of_several_are_made() -> None:
    condition = Condition(frozenset({LI, CO, O}), frozenset({LI}), charge_neutral=True)
    plain, chooses = OrbitsGenerator(), make_generator(OrbitsGenerator, best_of=4)
    seen: list[tuple[int, int]] = []

    def on_step(done: int, total: int) -> None:
        seen.append((done, total))

    foresight = Foresight(condition, plain.predictor.decorator, plain.de_novo._surrogate())

    def distances(generator: OrbitsGenerator) -> list[float]:
        found = generator.de_novo.draw(condition, 16, np.random.default_rng(0), generator.choice)
        rows = [(torch.tensor([one.numbers]), GraphBatch.of([OrbitGraph.of(one.template.form)])) for one in found]
        return [foresight(*row)[0]["stability_discharge"][0] for row in rows]

    assert np.mean(distances(chooses)) < np.mean(distances(plain)) - 0.02
    assert len(chooses.foreseen(4, condition, np.random.default_rng(0), on_step)) == 4
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_is_best_is_for_the_caller_to_say(generator: OrbitsGenerator) -> None:
    condition = Condition(frozenset({LI, CO, O}), frozenset({LI}), charge_neutral=True)
    told, took = list[Foreseen](), list[str]()

    def with_lithium(foreseen: Sequence[Foreseen]) -> list[float]:
        told.extend(foreseen)
        return [one.content["Li"] / sum(one.content.values()) for one in foreseen]

    generator.choice = Choice(8, with_lithium, lambda crystal: took.append(crystal.formula))
    try:
        rich = generator.sample(8, condition, np.random.default_rng(0))[0]
    finally:
        generator.choice = None
    shares = [one.content["Li"] / sum(one.content.values()) for one in told]
    assert np.mean([one.numbers.count(LI) / one.n_atoms for one in rich]) > np.mean(shares) + 0.05
    assert took == [one.formula for one in rich]
    assert {*told[0].values} == {"stability_discharge", "average_voltage", "max_delta_volume"}
