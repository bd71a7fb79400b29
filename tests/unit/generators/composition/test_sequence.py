from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.tables.formulas import prepare_formulas
from redoxa.generators.base import Condition
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.grammar import demand, formula_of
from redoxa.generators.composition.network import Cell, NetworkConfig, load_composition_network
from redoxa.generators.composition.sequence import SequenceFamily
from redoxa.generators.composition.training import CompositionTask, read_formulas
from redoxa.generators.training.loop import TrainConfig
from tests.unit.generators.composition.resumed import killed_and_gone_on
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY

ANY = Condition(n_atoms=(1, 10**6))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def quick(out: Path, steps: int = 60) -> TrainConfig:
    return TrainConfig(out, steps=steps, decay_steps=30, warmup_steps=3, rate=1e-2, device="cpu", save_every=20)


@pytest.fixture(scope="module", params=["lstm", "attention"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SequenceFamily:
    config = NetworkConfig(request.param, width=16, layers=1, heads=2, dropout=0.0)
    made = SequenceFamily(TINY, config, quick(tmp_path_factory.mktemp(request.param)))
    made.fit(FORMULAS, seed=0)
    return made


def test_it_keeps_the_contract(family: SequenceFamily) -> None:
    check_family(family, CONDITION, GIVEN)


def test_it_keeps_the_contract_at_another_temperature(family: SequenceFamily) -> None:
    assert family.training is not None
    cold = SequenceFamily.load(family.training.out / "seed-0" / f"composition-{family.name}.safetensors")
    cold.temperature = 0.5
    check_family(cold, CONDITION, GIVEN)
    everything = TINY.everything()
    spread = [
        -(np.exp(f.log_probability(everything).nats) @ f.log_probability(everything).nats) for f in (cold, family)
    ]
    assert spread[0] < spread[1]


@pytest.mark.parametrize("given", [{8: None}, {8: 2, 3: None}, {26: 2}])
def test_it_completes_by_its_conditional(family: SequenceFamily, given: dict[int, int | None]) -> None:
    """The masks alone are far from it."""
    everything = TINY.everything()
    holding = [f for f in everything if demand(TINY, None, given).accepts(f)]
    chances = np.exp(family.log_probability(holding).nats)
    n = 4000
    found = family.complete(given, n, np.random.default_rng(1))
    counts = np.array([found.count(f) for f in holding])
    assert counts.sum() == n
    assert np.abs(counts / n - chances / chances.sum()).sum() / 2 < 0.04


def test_it_has_learned(family: SequenceFamily) -> None:
    learned = family.log_probability(FORMULAS).nats.mean()
    assert learned > -np.log(len(TINY.everything())) + 1


def test_what_is_trained_is_what_is_told(family: SequenceFamily) -> None:
    """The loss under the masks is the negative log probability."""
    task = CompositionTask(TINY, FORMULAS[:4], FORMULAS[4:], family.config)
    assert family.network is not None
    losses = task.losses(family.network, task.held_out()[0], 0, torch.Generator())
    assert losses["loss"].item() == pytest.approx(-family.log_probability(FORMULAS[4:]).nats.mean(), abs=1e-5)


def test_what_comes_later_does_not_reach_back(family: SequenceFamily) -> None:
    assert family.network is not None
    slots = torch.from_numpy(TINY.encode(FORMULAS))[:, :2]
    other = slots.clone()
    other[:, 1] = 3 - slots[:, 1]
    one, two = (family.network(x) for x in (slots, other))
    torch.testing.assert_close(one[:, :2], two[:, :2])
    assert (one[:, 2] != two[:, 2]).any()


@pytest.mark.parametrize("cell", ["lstm", "attention"])
def test_a_killed_training_goes_on_to_the_last_bit(tmp_path: Path, cell: Cell) -> None:
    config = NetworkConfig(cell, width=16, layers=2, heads=2, dropout=0.2)
    task = partial(CompositionTask, TINY, FORMULAS, (), config)
    killed_and_gone_on(task, quick(tmp_path / "whole", 30), quick(tmp_path / "killed", 30))


def test_a_folder_of_other_formulas_is_refused(tmp_path: Path) -> None:
    config = NetworkConfig(width=8, layers=1)
    SequenceFamily(TINY, config, quick(tmp_path, 2)).fit(FORMULAS, seed=0)
    with pytest.raises(InputError, match="trained with another formulas"):
        SequenceFamily(TINY, config, quick(tmp_path, 2)).fit(FORMULAS[1:], seed=0)


def test_what_has_not_learned_says_so(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="learned nothing yet"):
        SequenceFamily(TINY, NetworkConfig(), quick(tmp_path)).sample(1, ANY, np.random.default_rng(0))


def test_a_file_of_the_other_cell_is_refused(family: SequenceFamily) -> None:
    assert family.training is not None
    path = next((family.training.out / "seed-0").glob("composition-*.safetensors"))
    with pytest.raises(InputError, match="is not 'redoxa-composition-"):
        load_composition_network(path, "attention" if family.config.cell == "lstm" else "lstm")


def test_the_command_learns_each_formula_once_from_tables_without_positions(tmp_path: Path) -> None:
    """A formula that two tables have is one; what is held out is on no other side."""
    cells, texts = tmp_path / "cells.parquet", tmp_path / "texts.csv"
    oxides = [[3, 3, 3, 3, z, z, 8, 8, 8, 8] for z in range(21, 31)]
    pd.DataFrame({"atomic_numbers": [*oxides, *oxides, [3] * 21], "energy_above_hull": 0.0}).to_parquet(cells)
    pd.DataFrame({"formula": ["Li2TiO2", "NaCl", "Na2Cl2", "Fe0.5O", "nonsense"]}).to_csv(texts)
    notes: list[str] = []
    prepare_formulas([cells, texts], tmp_path / "formulas.safetensors", on_note=notes.append)
    task = CompositionTask(*read_formulas(tmp_path / "formulas.safetensors"), NetworkConfig())
    formulas = task.grammar.decode(task.slots.numpy())
    assert sorted(formulas) == sorted([formula_of({3: 2, z: 1, 8: 2}) for z in range(21, 31)] + [((11, 1), (17, 1))])
    assert task.learned == 10
    assert notes == [
        f"{cells}: left out 1 of 21 rows, of more than 20 atoms",
        f"{texts}: left out 2 of 5 rows, formula: whole numbers of atoms of elements are wanted",
        "10 formulas to train on; 1 held out to judge the training by",
    ]


def test_a_prepared_file_of_crystals_is_refused(tiny_file: Path) -> None:
    with pytest.raises(InputError, match="is no prepared file of formulas"):
        read_formulas(tiny_file)
