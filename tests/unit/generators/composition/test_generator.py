"""`composition`: formulas first, then crystals of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.tables.known_materials import known_formulas
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.base import Condition, ShortfallError, Target
from redoxa.generators.composition.families import shipped_weights
from redoxa.generators.composition.generator import CompositionGenerator
from redoxa.generators.composition.stored import load_arrays, save_arrays
from redoxa.generators.orbits.generator import OrbitsGenerator
from tests.formulas import small_mixture

LITHIUM = Condition(frozenset({3, 8, 9, 15, 16, 23, 25, 26, 27}), frozenset({3}), n_atoms=(4, 16), charge_neutral=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_mixture(tmp_path_factory.mktemp("composition") / "mixture.safetensors")


@pytest.fixture(scope="module")
def generator(weights: Path) -> CompositionGenerator:
    return CompositionGenerator(weights)


def test_samples_are_new_formulas_each_once(generator: CompositionGenerator) -> None:
    batch, labels = generator.sample(24, LITHIUM, np.random.default_rng(0))
    crystals = batch.to_crystals()
    formulas = [crystal.formula for crystal in crystals]
    assert len(set(formulas)) == 24
    assert not known_formulas().intersection(formulas)
    for crystal, label in zip(crystals, labels, strict=True):
        found = re.fullmatch(r"mixture: (\S+), space group (\d+)", label)
        assert found
        assert found[1] == crystal.formula
        assert spacegroup(crystal, 0.01) == int(found[2])


def test_known_formulas_come_last_and_are_called_so(generator: CompositionGenerator) -> None:
    few = Condition(frozenset({3, 8}), frozenset({3}), n_atoms=(2, 12), charge_neutral=True)
    with pytest.raises(ShortfallError, match=r"only .* of 200 crystals of different formulas") as short:
        generator.sample(200, few, np.random.default_rng(0))
    labels = [one.label for one in short.value.found]
    known = [", known, " in label for label in labels]
    assert any(known)
    assert known == sorted(known)
    assert [one.crystal.formula in known_formulas() for one in short.value.found] == known


def test_small_skeletons_fill_a_cell_of_the_smallest_size(generator: CompositionGenerator) -> None:
    batch, _ = generator.sample(6, Condition(frozenset({3, 11, 9, 17}), n_atoms=(12, 14)), np.random.default_rng(1))
    assert all(12 <= crystal.n_atoms <= 14 for crystal in batch.to_crystals())


def test_given_contents_are_answered_as_orbits_answers(generator: CompositionGenerator) -> None:
    asked = Condition(contents=({3: 1, 27: 1, 8: 2}, {3: 1, 27: 1, 8: 2}, {11: 1, 25: 1, 8: 2}))
    found, labels = generator.sample(3, asked, np.random.default_rng(0))
    orbits = OrbitsGenerator()
    expected, expected_labels = orbits.sample(3, asked, np.random.default_rng(0))
    assert labels == expected_labels
    assert found.to_crystals() == expected.to_crystals()
    assert generator.predictor is orbits.predictor  # weights are read once
    with pytest.raises(GenerationError, match="3 contents were given for 2 samples"):
        generator.sample(2, asked, np.random.default_rng(0))


@pytest.mark.parametrize(
    "asked",
    [
        Condition(like=prototype("O3 LiCoO2").crystal),
        Condition(keep=frozenset({8})),
        Condition(targets=(Target("average_voltage", 3.0),)),
    ],
    ids=["like", "keep", "targets"],
)
def test_what_it_cannot_do_is_refused(generator: CompositionGenerator, asked: Condition) -> None:
    with pytest.raises(GenerationError, match=r"composition cannot choose \w+: use `orbits`"):
        generator.sample(1, asked, np.random.default_rng(0))


def test_space_groups_that_no_formula_has_are_a_shortfall(
    generator: CompositionGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redoxa.generators.composition.generator.TRIES", 8)
    absent = set(range(1, 231)) - set(generator.predictor.proposer.table.groups.tolist())
    with pytest.raises(ShortfallError, match=r"composition \(mixture\) found only"):
        generator.sample(2, replace(LITHIUM, groups=frozenset(absent)), np.random.default_rng(0))


def test_elements_of_no_known_crystal_are_not_written(weights: Path, tmp_path: Path) -> None:
    grammar, (shares, chances) = load_arrays(weights, "mixture", ("weights", "chances"))
    strange = replace(grammar, elements=(102, *grammar.elements[1:]))
    save_arrays(tmp_path / "strange", "mixture", strange, {"weights": shares, "chances": chances})
    generator = CompositionGenerator(tmp_path / "strange")
    with pytest.raises(ShortfallError):
        generator.sample(1, Condition(required=frozenset({102})), np.random.default_rng(0))


def test_the_family_of_a_file_must_be_the_one_asked_for(weights: Path) -> None:
    assert CompositionGenerator(weights, "mixture").family_name == "mixture"
    with pytest.raises(InputError, match="holds a model of the family mixture; hmm was asked for"):
        CompositionGenerator(weights, "hmm")


def test_progress_is_told(generator: CompositionGenerator) -> None:
    told: list[tuple[int, int]] = []
    generator.sample(3, LITHIUM, np.random.default_rng(0), lambda done, of: told.append((done, of)))
    assert told[-1] == (3, 3)


@pytest.mark.parametrize("family", ["lstm", "rbm", "wgan"])
def test_a_family_that_ships_needs_no_file(family: str) -> None:
    made = CompositionGenerator(family=family)
    assert made.checkpoint_sha256 == CompositionGenerator(shipped_weights(family)).checkpoint_sha256
    batch, labels = made.sample(2, LITHIUM, np.random.default_rng(0))
    assert len(batch.to_crystals()) == 2
    assert all(label.startswith(f"{family}: ") for label in labels)
