"""The LSTM of `composition` as a policy: exact probabilities, and what was rewarded becomes likelier."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError
from redoxa.data.shipped import shipped
from redoxa.generators.base import Condition, Target
from redoxa.generators.choice import Choice
from redoxa.generators.composition.generator import CompositionGenerator
from redoxa.generators.composition.sequence import SequenceFamily
from redoxa.generators.reinforcement.formula_policy import FormulaEpisode, FormulaPolicy, log_writing, write
from redoxa.generators.reinforcement.objective import Objective
from redoxa.generators.reinforcement.policy import Drawn, Steps, learn

LI, O, F, TI, MN = 3, 8, 9, 22, 25
ASKED = Condition(frozenset({LI, O, F, TI, MN}), frozenset({LI}), n_atoms=(4, 12), charge_neutral=True)
START = shipped("composition_lstm.safetensors")


@pytest.fixture(scope="module")
def policy() -> FormulaPolicy:
    return FormulaPolicy(START, ASKED)


@pytest.fixture(scope="module")
def drawn(policy: FormulaPolicy) -> Drawn[FormulaEpisode]:
    return policy.draw(8, np.random.default_rng(1))


def test_draws_are_what_was_asked_for(policy: FormulaPolicy, drawn: Drawn[FormulaEpisode]) -> None:
    assert len(drawn.episodes) == len({crystal.formula for crystal in drawn.crystals}) == 8
    for crystal, one in zip(drawn.crystals, drawn.episodes, strict=True):
        assert LI in crystal.numbers
        assert set(crystal.numbers) <= ASKED.allowed
        assert 4 <= crystal.n_atoms <= 12
        assert crystal.formula in drawn.formulas
        assert FormulaEpisode.model_validate_json(one.model_dump_json()) == one


def test_probabilities_are_those_of_drawing(policy: FormulaPolicy, drawn: Drawn[FormulaEpisode]) -> None:
    with torch.no_grad():
        logs, entropies = policy.log_probability(drawn.episodes)
    assert logs.tolist() == pytest.approx([one.log_probability for one in drawn.episodes], abs=1e-4)
    assert logs.tolist() == pytest.approx(policy.log_prior(drawn.episodes).tolist(), abs=1e-4)
    assert (entropies > 0).all()


def test_without_a_condition_they_are_those_of_the_family() -> None:
    free = FormulaPolicy(START, Condition())
    slots = write(free.network, free.masks, 20, torch.Generator().manual_seed(5))
    formulas = free.network.grammar.decode(slots.numpy())
    expected = SequenceFamily.load(START).log_probability(formulas).nats
    assert log_writing(free.prior, free.masks, slots)[0].tolist() == pytest.approx(expected.tolist(), abs=1e-3)


def test_shares_of_draws_are_their_probabilities(policy: FormulaPolicy) -> None:
    many = 6000
    slots = write(policy.network, policy.masks, many, torch.Generator().manual_seed(7))
    counts = Counter(tuple(map(tuple, row)) for row in slots.tolist())
    for row, count in counts.most_common(4):
        with torch.no_grad():
            chance = float(log_writing(policy.network, policy.masks, torch.tensor([row]))[0].exp())
        assert count / many == pytest.approx(chance, abs=4 * (chance * (1 - chance) / many) ** 0.5 + 1e-3)


def test_what_was_rewarded_becomes_likelier(
    policy: FormulaPolicy, drawn: Drawn[FormulaEpisode], tmp_path: Path
) -> None:
    rewards = [float(F in crystal.numbers) for crystal in drawn.crystals]
    assert 0 < sum(rewards) < len(rewards)
    try:
        learn(policy, drawn.episodes, rewards, Steps(6, 2e-3, Objective(kl_weight=0.0)), lambda *_: None)
        with torch.no_grad():
            gain = policy.log_probability(drawn.episodes)[0] - policy.log_prior(drawn.episodes)
        good = torch.tensor(rewards) > 0
        assert gain[good].mean() > gain[~good].mean() + 0.05
        policy.save(tmp_path / policy.file)
    finally:
        policy.load(START)
    assert len(CompositionGenerator(tmp_path / policy.file).sample(2, ASKED, np.random.default_rng(0))[1]) == 2


def test_what_is_not_learned_is_refused() -> None:
    with pytest.raises(GenerationError, match="leave out targets"):
        FormulaPolicy(START, Condition(targets=(Target("stability_discharge", None, 0.1),)))
    policy = FormulaPolicy(START, ASKED)
    with pytest.raises(GenerationError, match="foresees nothing"):
        policy.draw(1, np.random.default_rng(0), Choice(2, lambda foreseen: [0.0] * len(foreseen)))
    with pytest.raises(GenerationError, match="foresees nothing"):
        policy.imagine(1, np.random.default_rng(0))
