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
from redoxa.generators.orbits.blanks import batches
from redoxa.generators.orbits.decoration.decorator import reveal
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.reinforcement.objective import Objective
from redoxa.generators.reinforcement.orbit_policy import OrbitEpisode, OrbitPolicy
from redoxa.generators.reinforcement.policy import Drawn, Steps, learn

LI, O, F, TI, MN, CL = 3, 8, 9, 22, 25, 17
ASKED = Condition(frozenset({LI, O, F, TI, MN, CL}), frozenset({LI}), n_atoms=(4, 12), charge_neutral=True)
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
    for one in drawn.episodes:
        assert LI in one.crystal.numbers
        assert set(one.crystal.numbers) <= ASKED.allowed
        assert sorted(one.turns) == list(range(len(one.numbers)))
        assert one.crystal.formula in drawn.formulas
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
    number = next(i for i in range(len(policy.proposer.table)) if len(policy.proposer.table[i].atoms) == 2)
    blank, many = policy._known.blank(number), 3000
    ((_, types, graphs),) = batches([blank])
    rows = torch.zeros(many, dtype=torch.long)
    with torch.inference_mode():
        found = reveal(policy.network, types[rows], graphs[rows], policy.drawing, torch.Generator().manual_seed(3))
    columns = (x.tolist() for x in (found.types, found.turns, found.placed))
    ways = [tuple(map(tuple, way)) for way in zip(*columns, strict=True)]
    crystal = policy.draw(1, np.random.default_rng(0)).episodes[0].crystal
    common = sorted(set(ways), key=ways.count)[-4:]
    for numbers, turns, placed in common:
        episode = OrbitEpisode(
            crystal=crystal, log_probability=0.0, group=0, skeleton=number, numbers=numbers, turns=turns, placed=placed
        )
        with torch.no_grad():
            chance = float(policy.log_probability([episode])[0].exp())
        share = ways.count((numbers, turns, placed)) / many
        assert share == pytest.approx(chance, abs=4 * (chance * (1 - chance) / many) ** 0.5 + 1e-3)
        assert sorted(turns) == [0, 1]
        assert any(placed)  # lithium is required


def test_what_was_rewarded_becomes_likelier(policy: OrbitPolicy, drawn: Drawn[OrbitEpisode], tmp_path: Path) -> None:
    rewards = [float(O in one.crystal.numbers) for one in drawn.episodes]
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
    assert len(OrbitsGenerator(tmp_path / "orbits.safetensors").sample(2, ASKED, np.random.default_rng(0))[1]) == 2


def test_groups_are_skeletons_where_each_is_filled_often() -> None:
    found = OrbitPolicy(START, ASKED, alike=4).draw(8, np.random.default_rng(2)).episodes
    assert [one.group for one in found] == [one.skeleton for one in found]
    assert len({one.group for one in found}) < len(found)


def test_what_is_not_learned_is_refused() -> None:
    with pytest.raises(GenerationError, match="leave out targets"):
        OrbitPolicy(START, Condition(targets=(Target("stability_discharge", None, 0.1),)))
    with pytest.raises(GenerationError, match="required, not allowed"):
        OrbitPolicy(START, Condition(frozenset({O}), frozenset({LI})))
