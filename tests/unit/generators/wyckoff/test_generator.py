from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from redoxa.data.errors import GenerationError
from redoxa.data.fingerprint import spacegroup
from redoxa.generators.base import Condition, ShortfallError, Target
from redoxa.generators.contract import check_generator
from redoxa.generators.wyckoff import generator as module
from redoxa.generators.wyckoff.generator import WyckoffGenerator
from redoxa.generators.wyckoff.sequence import DrawSettings

CONDITIONS = {
    "elements": Condition(frozenset({3, 8, 22}), frozenset({3}), n_atoms=(2, 10)),
    "neutral": Condition(frozenset({3, 8, 22}), frozenset({3}), n_atoms=(2, 10), charge_neutral=True),
    "contents": Condition(contents=({3: 1, 22: 1, 8: 3}, {3: 2, 8: 2}, {3: 11, 8: 11})),
    "groups": Condition(groups=frozenset({221, 225})),
}


@pytest.fixture(scope="module")
def generator(tiny_wyckoff) -> WyckoffGenerator:
    return WyckoffGenerator(tiny_wyckoff)


@pytest.mark.parametrize("name", CONDITIONS)
def test_samples_satisfy_their_condition(generator, name):
    steps: list[tuple[int, int]] = []
    check_generator(generator, CONDITIONS[name], n=3)
    generator.sample(3, CONDITIONS[name], np.random.default_rng(1), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (3, 3)


def test_answers_to_a_content_begin_with_the_likeliest(generator):
    perovskite = {3: 1, 22: 1, 8: 3}
    batch, labels = generator.sample(3, Condition(contents=(perovskite,) * 3), np.random.default_rng(0))
    assert labels[0] == "space group 221"
    assert all(Counter(crystal.numbers) == perovskite for crystal in batch)
    assert len({crystal.content_hash for crystal in batch}) == 3


def test_where_too_few_are_ranked_more_are_drawn(generator, monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 1)
    monkeypatch.setattr(module, "BY_ANSWER", 0)
    batch, _ = generator.sample(4, Condition(contents=({3: 1, 8: 1},) * 4), np.random.default_rng(0))
    assert len(batch) == 4


def test_no_crystal_has_another_group_than_asked_for(generator):
    wanted = Condition(contents=({3: 1, 22: 1, 8: 3},) * 2, groups=frozenset({221}))
    batch, _ = generator.sample(2, wanted, np.random.default_rng(0))
    assert [spacegroup(crystal, 0.01) for crystal in batch] == [221, 221]


def test_what_was_found_outlives_what_was_not(tiny_wyckoff):
    hasty = WyckoffGenerator(tiny_wyckoff, DrawSettings(rounds=1, geometries=1))
    with pytest.raises(ShortfallError, match=r"\d+ of 80 crystals had no sane geometry or were refused") as caught:
        hasty.sample(80, CONDITIONS["neutral"], np.random.default_rng(0))
    assert 0 < len(caught.value.found) < 80


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (Condition(frozenset({3, 8}), frozenset({11})), "Na"),
        (Condition(contents=({92: 1, 8: 2},)), "U"),
        (Condition(frozenset({92})), "allowed"),
        (Condition(required=frozenset({3}), targets=(Target("average_voltage", 3.0),)), "use `orbits` or `vae`"),
        (Condition(frozenset({3}), n_atoms=(2, 3), groups=frozenset({62})), "no space group"),
    ],
)
def test_what_cannot_be_met_is_said(generator, condition, said):
    with pytest.raises(GenerationError, match=said):
        generator.sample(1, condition, np.random.default_rng(0))
