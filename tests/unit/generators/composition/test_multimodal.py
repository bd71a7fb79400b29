"""The deep Boltzmann machine on what is known of a material, against enumeration of a tiny one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.tables.materials import Modality
from redoxa.generators.base import Condition, Target
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.multimodal import Dbm, DbmConfig
from redoxa.generators.composition.boltzmann.multimodal_family import DbmFamily
from redoxa.generators.composition.boltzmann.multimodal_training import DbmTask, Materials, dbm_maker
from redoxa.generators.composition.boltzmann.network import Rbm, RbmConfig, save_rbm
from redoxa.generators.composition.boltzmann.training import settled
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.grammar import Grammar, demand
from redoxa.generators.training.loop import TrainConfig, train
from tests.unit.generators.composition.resumed import killed_and_gone_on
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY

LOWER, SMALL = RbmConfig(hidden=6, chains=64), DbmConfig(width=16, first=4, second=2, iterations=30, drop=0.0)
GAP, LATTICE = Modality("band_gap_eV", edges=(0.001, 1.0)), Modality("lattice_system", kinds=("cubic", "other"))
BOTH = (GAP, LATTICE)
BINS = np.array([[0 if dict(f).get(8) is None else 2, int(len(f) == 1)] for f in FORMULAS], np.int64)
BINS[1, 0] = BINS[3, 1] = -1
MATERIALS = Materials(tuple(FORMULAS), BINS)
QUICK = Anneal(20, 10)
EVERYTHING = TINY.everything()


def quick(out: Path, steps: int = 40) -> TrainConfig:
    return TrainConfig(out, steps=steps, decay_steps=20, warmup_steps=3, rate=1e-2, device="cpu", save_every=20)


def lower(seed: int = 0) -> Rbm:
    torch.manual_seed(seed)
    made = Rbm(LOWER, TINY).eval()
    made.get_buffer("chains").copy_(torch.from_numpy(TINY.encode(2 * EVERYTHING))[:64])
    return settled(made, Anneal(200, 50))


def wild(deep: bool = True) -> DbmFamily:
    """One of large random weights; without its second units, where these are cut off."""
    made = Dbm(SMALL, lower(), BOTH).eval()
    torch.manual_seed(1)
    made.begin_with(torch.from_numpy(TINY.encode(EVERYTHING)), torch.full((len(EVERYTHING), 2), -1))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.startswith("lower."):
                parameter.copy_(0.6 * torch.randn(parameter.shape))
        if not deep:
            made.weight.zero_()
    family = DbmFamily(TINY, SMALL, None, LOWER)
    family.network = made
    return family


@torch.no_grad()
def enumerated(network: Dbm) -> torch.Tensor:
    """Probabilities of the bins of both modalities given each formula, all units summed out [formulas,3,2]."""
    reading = network.read(torch.from_numpy(TINY.encode(EVERYTHING)))
    units = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 6)
    h, g = units[:, :4], units[:, 4:]
    logs = torch.zeros(len(EVERYTHING), 3, 2)
    for i, j in product(range(3), range(2)):
        m = network.shares(torch.tensor([[i, j]]))
        of_units = reading.units @ h.T + ((h @ network.weight) * g).sum(1) + g @ network.offset
        logs[:, i, j] = (reading.bins * m).sum(1) + (of_units + (m @ network.bins) @ h.T).logsumexp(1)
    return logs.flatten(1).softmax(1).reshape(-1, 3, 2)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> DbmFamily:
    training = replace(quick(tmp_path_factory.mktemp("dbm"), 300), save_every=300)
    made = DbmFamily(TINY, SMALL, training, LOWER, Anneal(200, 100))
    made.fit_materials(MATERIALS, BOTH, seed=0)
    return made


def test_it_keeps_the_contract(family: DbmFamily) -> None:
    check_family(family, CONDITION, GIVEN)


def test_it_learns_formulas_alone_too(tmp_path: Path) -> None:
    made = DbmFamily(TINY, SMALL, quick(tmp_path, 5), LOWER, QUICK)
    made.fit(FORMULAS, seed=0)
    with pytest.raises(InputError, match="band_gap_eV: this machine knows formulas alone"):
        made.tell("band_gap_eV", Materials.plain(FORMULAS))


@pytest.mark.parametrize("k", [0, 1])
def test_a_modality_is_told_exactly_where_the_second_units_are_cut_off(k: int) -> None:
    made = wild(deep=False)
    true = enumerated(made.learned())
    for other in range(2 if k == 0 else 3):
        told = made.tell(BOTH[k].name, Materials(tuple(EVERYTHING), np.full((len(EVERYTHING), 2), other)))
        expected = true.select(2 - k, other)
        np.testing.assert_allclose(told, expected / expected.sum(1, keepdim=True), atol=1e-5)


@pytest.mark.parametrize("k", [0, 1])
def test_it_is_told_nearly_so_by_mean_field(k: int) -> None:
    """All else missing, and with the second units: within a few hundredths of the enumerated probabilities."""
    made = wild()
    told = made.tell(BOTH[k].name, Materials.plain(EVERYTHING, 2))
    expected = enumerated(made.learned()).sum(2 - k).numpy()
    assert np.abs(told - expected).mean() < 0.03
    assert np.abs(told.sum(1) - 1).max() < 1e-6
    assert expected.std(0).min() > 0.02  # formulas differ in it


def test_formulas_come_as_likely_as_what_is_given_makes_them() -> None:
    made, n = wild(deep=False), 1500
    plain = np.exp(made.log_probability(EVERYTHING).nats)
    plain[[not demand(TINY, None, GIVEN).accepts(formula) for formula in EVERYTHING]] = 0
    joint = enumerated(made.learned()).numpy()
    for known, share in (
        ({"band_gap_eV": {0, 2}}, joint[:, [0, 2]].sum((1, 2))),
        ({"band_gap_eV": {0}, "lattice_system": {1}}, joint[:, 0, 1]),
        ({}, 1.0),
    ):
        expected = plain * share / (plain * share).sum()
        found = made.complete(GIVEN, n, np.random.default_rng(1), known)
        counts = np.array([found.count(formula) for formula in EVERYTHING])
        assert counts.sum() == n
        assert np.abs(counts / n - expected).sum() / 2 < 0.06


def test_it_has_learned_what_goes_with_formulas(family: DbmFamily) -> None:
    told = family.tell("band_gap_eV", MATERIALS)
    known = BINS[:, 0] >= 0
    assert told[known, BINS[known, 0]].mean() > 0.8
    again = family.tell("band_gap_eV", Materials(MATERIALS.formulas, np.where([True, False], -1, BINS)))
    np.testing.assert_array_equal(told, again)  # what is known of it is not looked at


def test_what_cannot_be_given_is_refused(family: DbmFamily) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="voltage_Li_V: this machine knows band_gap_eV, lattice_system"):
        family.sample(1, CONDITION, rng, {"voltage_Li_V": {0}})
    with pytest.raises(InputError, match=r"lattice_system: bins \[5\] are asked for; there are 0 to 1"):
        family.complete(GIVEN, 1, rng, {"lattice_system": {5}})
    assert family.modality("lattice_system") == LATTICE


def test_a_voltage_that_is_aimed_at_is_that_of_the_screening(tmp_path: Path) -> None:
    volts = Modality("voltage_Li_V", edges=(2.0, 3.0, 4.0))
    family = wild()
    family.network = Dbm(SMALL, lower(), [volts])
    lithium, sodium = (
        Condition(required=frozenset({z}), targets=(Target("average_voltage", 2.6, 3.0),)) for z in (3, 11)
    )
    assert family.aimed(lithium) == {"voltage_Li_V": {1}}  # 2.23 to 2.67 V on the scale of what was learned
    assert family.aimed(Condition(required=frozenset({3}), targets=(Target("average_voltage", 3.7),))) == {
        "voltage_Li_V": {2, 3}
    }
    assert family.aimed(CONDITION) == {}
    with pytest.raises(
        GenerationError, match="cannot aim at average_voltage: it knows average_voltage, with Li required"
    ):
        family.aimed(sodium)
    with pytest.raises(GenerationError, match="cannot aim at capacity_grav"):
        family.aimed(Condition(required=frozenset({3}), targets=(Target("capacity_grav", 100.0),)))
    with pytest.raises(InputError, match="no bin lies from"):
        family.aimed(Condition(required=frozenset({3}), targets=(Target("average_voltage", 3.0, 3.1),)))


def test_a_killed_training_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    nothing, config = Materials.plain((), 2), replace(SMALL, drop=0.2)
    task = partial(DbmTask, lower(), BOTH, MATERIALS, nothing, config)
    killed_and_gone_on(task, quick(tmp_path / "whole"), quick(tmp_path / "killed"))
    with pytest.raises(InputError, match="was trained with another start"):
        train(partial(DbmTask, lower(1), BOTH, MATERIALS, nothing, config), quick(tmp_path / "killed"), resume=True)


def test_it_is_written_and_read(family: DbmFamily, tmp_path: Path) -> None:
    family.save(tmp_path / "dbm.safetensors")
    read = DbmFamily.load(tmp_path / "dbm.safetensors")
    assert read.modalities == BOTH
    np.testing.assert_array_equal(read.log_probability(FORMULAS).nats, family.log_probability(FORMULAS).nats)
    np.testing.assert_array_equal(read.tell("lattice_system", MATERIALS), family.tell("lattice_system", MATERIALS))
    one, two = (f.sample(50, CONDITION, np.random.default_rng(0), {"band_gap_eV": {2}}) for f in (read, family))
    assert one == two
    with pytest.raises(GenerationError, match="cannot learn"):
        read.fit(FORMULAS, 0)
    with pytest.raises(GenerationError, match="learned nothing yet"):
        DbmFamily(TINY, SMALL, None).sample(1, CONDITION, np.random.default_rng(0))


def test_it_begins_with_a_trained_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redoxa.generators.composition.boltzmann.deep_training.shipped", tmp_path.joinpath)
    with pytest.raises(
        InputError, match=r"begins with a trained rbm, .* --generator composition-rbm TABLE` .* --start"
    ):
        dbm_maker(tmp_path / "data", None, None)
    save_rbm(tmp_path / "composition_rbm.safetensors", Rbm(LOWER, Grammar.of([3, 8])))
    assert callable(dbm_maker(tmp_path / "data", None, None))
