"""`orbits` as a policy: probabilities are those of what was drawn, and what learns is what was rewarded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError
from redoxa.data.shipped import shipped
from redoxa.generators.base import Condition, Target
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.choice import Choice, nearness
from redoxa.generators.orbits.blanks import batches
from redoxa.generators.orbits.decoration.decorator import reveal
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.reinforcement.objective import Objective
from redoxa.generators.reinforcement.orbit_policy import OrbitEpisode, OrbitPolicy
from redoxa.generators.reinforcement.policy import Drawn, Steps, learn

LI, O, F, TI, MN, CL = 3, 8, 9, 22, 25, 17
ASKED = Condition(frozenset({LI, O, F, TI, MN, CL}), frozenset({LI}), n_atoms=(4, 8), charge_neutral=True)
START = shipped("orbits.safetensors")


@pytest.fixture(scope="module")
def policy() -> OrbitPolicy:
    return OrbitPolicy(START, ASKED)


@pytest.fixture(scope="module")
def drawn(policy: OrbitPolicy) -> Drawn[OrbitEpisode]:
    return policy.draw(12, np.random.default_rng(1))


def test_draws_are_what_was_asked_for(policy: OrbitPolicy, drawn: Drawn[OrbitEpisode]) -> None:
    assert len(drawn.episodes) == 12
    assert len(drawn.formulas) >= 12
    for crystal, one in zip(drawn.crystals, drawn.episodes, strict=True):
        assert LI in crystal.numbers
        assert set(crystal.numbers) <= ASKED.allowed
        assert crystal.formula in drawn.formulas
        assert sorted(one.turns) == list(range(len(one.numbers)))
        assert OrbitEpisode.model_validate_json(one.model_dump_json()) == one
    assert policy.draw(12, np.random.default_rng(1)) == drawn


def test_probabilities_are_those_of_drawing(policy: OrbitPolicy, drawn: Drawn[OrbitEpisode]) -> None:
    with torch.no_grad():
        logs, entropies = policy.log_probability(drawn.episodes)
        alone = torch.cat([policy.log_probability([one])[0] for one in drawn.episodes])
    assert logs.tolist() == pytest.approx([one.log_probability for one in drawn.episodes], abs=1e-4)
    assert alone.tolist() == pytest.approx(logs.tolist(), abs=1e-4)
    assert logs.tolist() == pytest.approx(policy.log_prior(drawn.episodes).tolist(), abs=1e-4)
    assert ((entropies > 0) & (entropies < np.log(104))).all()


def test_shares_of_draws_are_their_probabilities(policy: OrbitPolicy) -> None:
    """A skeleton of two orbits, filled often: each outcome with its order is as frequent as it is said to be."""
    number = next(i for i in policy._skeletons if len(policy.proposer.table[i].atoms) == 2)
    found = policy._chances()[policy._skeletons.index(number)]
    blank, many = policy._known.blank(number), 3000
    ((_, types, graphs),) = batches([blank])
    rows = torch.zeros(many, dtype=torch.long)
    with torch.inference_mode():
        revealed = reveal(policy.network, types[rows], graphs[rows], policy.drawing, torch.Generator().manual_seed(3))
    columns = (x.tolist() for x in (revealed.types, revealed.turns, revealed.placed))
    ways = [tuple(map(tuple, way)) for way in zip(*columns, strict=True)]
    common = sorted(set(ways), key=ways.count)[-4:]
    for numbers, turns, placed in common:
        episode = OrbitEpisode(
            log_probability=0.0, group=0, skeleton=number, numbers=numbers, turns=turns, placed=placed
        )
        with torch.no_grad():
            chance = float(policy.log_probability([episode])[0].exp()) / found
        share = ways.count((numbers, turns, placed)) / many
        assert share == pytest.approx(chance, abs=4 * (chance * (1 - chance) / many) ** 0.5 + 1e-3)
        assert sorted(turns) == [0, 1]
        assert any(placed)  # lithium is required


def test_what_was_rewarded_becomes_likelier(policy: OrbitPolicy, drawn: Drawn[OrbitEpisode], tmp_path: Path) -> None:
    rewards = [float(O in crystal.numbers) for crystal in drawn.crystals]
    assert 0 < sum(rewards) < len(rewards)
    try:
        losses = learn(policy, drawn.episodes, rewards, Steps(6, 2e-3, Objective(kl_weight=0.0)), lambda *_: None)
        assert losses[-1] < losses[0]
        with torch.no_grad():
            gain = policy.log_probability(drawn.episodes)[0] - policy.log_prior(drawn.episodes)
        good = torch.tensor(rewards) > 0
        assert gain[good].mean() > gain[~good].mean() + 0.05
        policy.save(tmp_path / "orbits.safetensors")
    finally:
        policy.load(START)
    before, after = (read_tensors(path)[0] for path in (START, tmp_path / "orbits.safetensors"))
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"decorator.types.weight", "decorator.types.bias"}
    assert after.keys() - before.keys() == {"preference.weight", "preference.mean", "preference.spread"}
    assert len(OrbitsGenerator(tmp_path / "orbits.safetensors").sample(2, ASKED, np.random.default_rng(0))[1]) == 2


def test_the_best_of_several_is_made(policy: OrbitPolicy, drawn: Drawn[OrbitEpisode]) -> None:
    best = policy.draw(12, np.random.default_rng(1), Choice(4))
    assert len(best.crystals) == len(best.foreseen) == 12
    assert np.mean(nearness(best.foreseen)) > np.mean(nearness(drawn.foreseen)) + 0.01
    for crystal, one in zip(best.crystals, best.foreseen, strict=True):
        assert crystal.composition == one.content
        assert set(one.values) == {"stability_discharge", "average_voltage", "max_delta_volume"}


def test_imagined_draws_have_the_probabilities_of_drawing(policy: OrbitPolicy) -> None:
    episodes, foreseen = policy.imagine(60, np.random.default_rng(3))
    assert len(episodes) == len(foreseen) == 60
    assert 0 < sum(one is not None for one in foreseen) < 60
    with torch.no_grad():
        logs = policy.log_probability(episodes)[0]
    assert logs.tolist() == pytest.approx([one.log_probability for one in episodes], abs=1e-4)
    for one in foreseen:
        assert one is None or {"Li"} < set(one.content) <= {"Li", "O", "F", "Ti", "Mn", "Cl"}


def test_skeletons_that_were_rewarded_are_found_more_often(policy: OrbitPolicy, tmp_path: Path) -> None:
    episodes, _ = policy.imagine(200, np.random.default_rng(5))
    small = np.array([len(policy.proposer.table[i].atoms) <= 3 for i in policy._skeletons])
    rewards = [float(small[policy._places[one.skeleton]]) for one in episodes]
    before = policy._chances()[small].sum()
    try:
        learn(policy, episodes, rewards, Steps(8, 1e-2, Objective(kl_weight=0.0)), lambda *_: None)
        after = policy._chances()[small].sum()
        policy.save(tmp_path / "orbits.safetensors")
        policy.load(tmp_path / "orbits.safetensors")
        assert policy._chances()[small].sum() == pytest.approx(after, abs=1e-6)
    finally:
        policy.load(START)
    assert after > before + 0.1
    assert policy._chances()[small].sum() == pytest.approx(before)
    own = OrbitsGenerator(tmp_path / "orbits.safetensors")
    shares = [
        np.mean([len(one.numbers) <= 3 for one in found if not one.new])
        for found in (
            list(network.draw(ASKED, 60, np.random.default_rng(1)))
            for network in (own.de_novo, OrbitsGenerator().de_novo)
        )
    ]
    assert shares[0] > shares[1]


def test_groups_are_skeletons_where_each_is_filled_often() -> None:
    found = OrbitPolicy(START, ASKED, alike=4).draw(8, np.random.default_rng(2)).episodes
    assert [one.group for one in found] == [one.skeleton for one in found]
    assert len({one.group for one in found}) < len(found)


def test_what_is_not_learned_is_refused() -> None:
    with pytest.raises(GenerationError, match="leave out targets"):
        OrbitPolicy(START, Condition(targets=(Target("stability_discharge", None, 0.1),)))
    with pytest.raises(GenerationError, match="required, not allowed"):
        OrbitPolicy(START, Condition(frozenset({O}), frozenset({LI})))
