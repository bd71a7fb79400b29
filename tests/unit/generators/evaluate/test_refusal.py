"""One refusal of what is known and of repeats, for every generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import KnownMaterial, KnownMaterials
from redoxa.generators.base import Condition
from redoxa.generators.evaluate.refusal import KnownRefusal, draw_new
from tests.unit.generators.evaluate.crystals import caesium_chloride, rocksalt, shaken, zincblende

NA, CL, K, BR, LI, F = 11, 17, 19, 35, 3, 9
SALT, BROMIDE, FLUORIDE = rocksalt(NA, CL, 5.64), rocksalt(K, BR, 6.6), rocksalt(LI, F, 4.0)


def known(*crystals: Crystal) -> KnownMaterials:
    table = KnownMaterials([KnownMaterial("LiF", "only its formula", "test")])
    for crystal in crystals:
        table.add(crystal, "known", "test")
    return table


class Deck:
    """A generator that deals crystals in turn, over and over."""

    name, summary, aims, checkpoint_sha256 = "deck", "for tests", frozenset[str](), None

    def __init__(self, checkpoint: Path | None = None, crystals: tuple[Crystal, ...] = ()) -> None:
        self.crystals, self.dealt = crystals, 0

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        places = range(self.dealt, self.dealt + n)
        self.dealt += n
        crystals = [self.crystals[i % len(self.crystals)] for i in places]
        return CrystalBatch.from_crystals(crystals), [f"card {i}" for i in places]


def drawn(n: int, *crystals: Crystal, table: KnownMaterials) -> list[str]:
    found = draw_new(Deck(crystals=crystals), n, Condition(), np.random.default_rng(0), table)
    return [crystal.formula for crystal, _ in found]


def test_known_formulas_and_repeats_are_refused() -> None:
    refusal = KnownRefusal(known(SALT))
    assert not refusal.passes(SALT)
    assert not refusal.passes(zincblende(NA, CL, 6.1))  # another form of a known formula
    assert not refusal.passes(FLUORIDE)
    assert refusal.passes(BROMIDE)
    assert not refusal.passes(shaken(BROMIDE, 1, 0.02))
    assert refusal.passes(caesium_chloride(K, BR, 3.9))  # another form is no repeat


def test_late_new_forms_of_known_formulas_pass() -> None:
    refusal = KnownRefusal(known(SALT))
    refusal.known_formulas = True
    assert not refusal.passes(shaken(SALT, 2, 0.02))
    assert refusal.passes(zincblende(NA, CL, 6.1))
    assert refusal.passes(FLUORIDE)


def test_what_is_missing_is_drawn_again() -> None:
    deck = Deck(crystals=(SALT, BROMIDE, BROMIDE, caesium_chloride(K, BR, 3.9)))
    found = draw_new(deck, 2, Condition(), np.random.default_rng(0), known(SALT))
    assert [label for _, label in found] == ["card 1", "card 3"]
    assert deck.dealt == 4  # two, then one at a time


def test_the_draws_end() -> None:
    assert drawn(1, SALT, zincblende(NA, CL, 6.1), table=known(SALT)) == ["NaCl"]
    with pytest.raises(GenerationError, match="deck drew only 1 of 2 crystals that are new"):
        drawn(2, SALT, BROMIDE, table=known(SALT))
