"""Nearest templates and random substitution on a small table made of the prototype library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import GenerationError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import template_of, write_templates
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.prototypes import load_prototypes
from redoxa.generators.base import Condition
from redoxa.generators.contract import check_generator
from redoxa.generators.exchange.template import TemplateGenerator


def z(symbols: str) -> frozenset[int]:
    return frozenset(atomic_numbers[s] for s in symbols.split())


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> TemplateGenerator:
    path: Path = tmp_path_factory.mktemp("templates") / "templates.parquet"
    write_templates(path, [template_of(canonical(symmetric(e.crystal))) for e in load_prototypes()])
    return TemplateGenerator(path)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(z("Li O Mn Fe Co Ti"), z("Li"), n_atoms=(4, 12)),
        Condition(z("Na O P Mn Fe V"), z("Na"), n_atoms=(4, 30), charge_neutral=True),
        Condition(contents=({3: 1, 28: 1, 8: 2}, {3: 4, 27: 4, 15: 4, 8: 16}, {11: 2, 26: 2, 8: 4})),
    ],
    ids=["elements", "neutral", "contents"],
)
def test_contract(generator: TemplateGenerator, condition: Condition) -> None:
    check_generator(generator, condition, n=len(condition.contents) or 6)


def test_the_nearest_template_is_the_one_a_chemist_would_take(generator: TemplateGenerator) -> None:
    contents = ({3: 1, 28: 1, 8: 2}, {3: 4, 24: 4, 15: 4, 8: 16})
    batch, labels = generator.sample(2, Condition(contents=contents), np.random.default_rng(0))
    layered, olivine = batch.to_crystals()
    assert spacegroup(layered) in (166, 12)  # O3 or its Jahn-Teller variant
    assert spacegroup(olivine) == 62
    assert labels[0].endswith("as it is")  # the library holds LiNiO2
    assert "->Cr" in labels[1]
    # between LiCoPO4 (284 A^3) and LiMnPO4 (302 A^3)
    assert olivine.volume_A3 == pytest.approx(293, rel=0.06)


def test_the_shipped_table_knows_the_electrodes_of_large_cells() -> None:
    batch, labels = TemplateGenerator().sample(
        1, Condition(contents=({3: 4, 25: 4, 15: 4, 8: 16},)), np.random.default_rng(0)
    )
    assert labels == ["space group 62: as it is"]  # olivine LiMnPO4
    assert batch.to_crystals()[0].n_atoms == 28


def test_a_content_asked_twice_gets_the_next_template(generator: TemplateGenerator) -> None:
    contents = ({3: 1, 28: 1, 8: 2},) * 3
    batch, _ = generator.sample(3, Condition(contents=contents), np.random.default_rng(0))
    assert len({c.content_hash for c in batch}) == 3


def test_multiples_of_a_template_are_supercells(generator: TemplateGenerator) -> None:
    contents = ({3: 5, 28: 5, 8: 10},)
    batch, _ = generator.sample(1, Condition(contents=contents), np.random.default_rng(0))
    assert batch.to_crystals()[0].n_atoms == 20


def test_random_substitutions_differ_and_balance(generator: TemplateGenerator) -> None:
    condition = Condition(z("Na O S F P Mn Fe V Ti Cr"), z("Na"), n_atoms=(4, 30), charge_neutral=True)
    crystals = generator.sample(60, condition, np.random.default_rng(1))[0].to_crystals()
    assert len({c.content_hash for c in crystals}) == 60
    assert all(is_charge_balanced(c.composition) for c in crystals)
    assert np.mean([spacegroup(c) > 1 for c in crystals]) > 0.9


def test_its_checkpoint_is_the_table(generator: TemplateGenerator) -> None:
    assert generator.checkpoint_sha256 == generator.templates.sha256 != TemplateGenerator().checkpoint_sha256


def test_an_unknown_stoichiometry_is_refused(generator: TemplateGenerator) -> None:
    with pytest.raises(GenerationError, match=r"contents\[0\] = Li7O1: no"):
        generator.sample(1, Condition(contents=({3: 7, 8: 1},)), np.random.default_rng(0))
