"""The deep Boltzmann machine on several modalities, against enumeration of a tiny one."""

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
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.chain import Asked
from redoxa.generators.composition.boltzmann.multimodal import Dbm, DbmConfig, Means, State
from redoxa.generators.composition.boltzmann.multimodal_family import DbmFamily
from redoxa.generators.composition.boltzmann.multimodal_sampling import log_partition_of_dbm, sweep_all
from redoxa.generators.composition.boltzmann.multimodal_training import DbmTask, Materials, dbm_maker
from redoxa.generators.composition.boltzmann.network import Rbm, RbmConfig, save_rbm
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.grammar import Grammar, demand
from redoxa.generators.training.loop import TrainConfig, Trainer, train
from redoxa.generators.training.workers import workers
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY

LOWER, SMALL = RbmConfig(hidden=6, chains=64), DbmConfig(hidden=2, iterations=30, telling=2.0)
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
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape)).copy_(parameter.half().float())
    made.get_buffer("partition").zero_()
    made.get_buffer("chains").copy_(torch.from_numpy(TINY.encode(2 * EVERYTHING))[:64])
    return made


def wild(seed: int = 0, deep: bool = True) -> Dbm:
    """A machine of large random weights; without its second layer, where that is cut off."""
    made = Dbm(SMALL, lower(seed), BOTH).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.startswith("lower."):
                parameter.copy_((0.2 if name.startswith("amounts") else 0.8) * torch.randn(parameter.shape))
        if not deep:
            made.weight.zero_()
    return made


def joint(network: Dbm) -> torch.Tensor:
    """Log weights by formula, bins of both modalities, and state of the second layer [formulas,3,2,4]; float64."""
    states = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 2)
    slots, tables = torch.from_numpy(TINY.encode(EVERYTHING)), network.tables()
    logs = torch.zeros(len(slots), 3, 2, len(states), dtype=torch.float64)
    with torch.no_grad():
        for i, j, s in product(range(3), range(2), range(len(states))):
            shares = network.shares(torch.tensor([[i, j]])).expand(len(slots), -1)
            means = Means(shares, states[s].expand(len(slots), -1))
            logs[:, i, j, s] = network.log_weight(tables, slots, means).double()
    return logs


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> DbmFamily:
    torch.set_num_threads(1)
    training = replace(quick(tmp_path_factory.mktemp("dbm"), 400), save_every=400, rate=3e-3)
    made = DbmFamily(TINY, SMALL, training, LOWER, BOTH, Anneal(200, 100))
    made.fit_materials(MATERIALS, seed=0)
    return made


def test_it_keeps_the_contract(family: DbmFamily) -> None:
    check_family(family, CONDITION, GIVEN)


def test_it_learns_formulas_alone_too(tmp_path: Path) -> None:
    made = DbmFamily(TINY, SMALL, quick(tmp_path, 20), LOWER, (), QUICK)
    made.fit(FORMULAS, seed=0)
    check_family(made, CONDITION, GIVEN)
    with pytest.raises(InputError, match="band_gap_eV: this machine knows formulas alone"):
        made.tell("band_gap_eV", Materials.plain(FORMULAS))


def test_the_first_layer_is_summed_exactly() -> None:
    network, tables = (made := wild()), made.tables()
    states = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 6)
    slots = torch.from_numpy(TINY.encode(FORMULAS))
    means = Means(network.shares(torch.tensor([[1, 0]] * len(slots))), torch.full((len(slots), 2), 0.5))
    with torch.no_grad():
        inputs = network.lower.inputs(tables, slots) + means.shares @ network.bins + means.units @ network.weight.T
        visible = network.lower.visible(tables, slots) + network.bin_bias[1] + network.bin_bias[3]
        summed = visible + network.unit_bias.sum() / 2 + (inputs @ states.T).logsumexp(1)
        torch.testing.assert_close(network.log_weight(tables, slots, means), summed)


@pytest.mark.parametrize("k", [0, 1])
def test_a_modality_is_told_exactly_where_the_second_layer_is_cut(k: int) -> None:
    made = DbmFamily(TINY, SMALL, None, LOWER, BOTH)
    made.network = wild(deep=False)
    true = joint(made.network).logsumexp(3)
    for other in range(2 if k == 0 else 3):
        bins = np.full((len(EVERYTHING), 2), other)
        told = made.tell(BOTH[k].name, Materials(tuple(EVERYTHING), bins))
        expected = true.select(2 - k, other).softmax(1)
        np.testing.assert_allclose(told, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("k", [0, 1])
def test_it_is_told_nearly_so_by_mean_field(k: int) -> None:
    """All else missing, and with a second layer: within a few hundredths of the enumerated probabilities."""
    made = DbmFamily(TINY, SMALL, None, LOWER, BOTH)
    made.network = wild()
    told = made.tell(BOTH[k].name, Materials.plain(EVERYTHING, 2))
    expected = joint(made.network).logsumexp((2 - k, 3)).softmax(1).numpy()
    assert np.abs(told - expected).mean() < 0.03
    assert np.abs(told.sum(1) - 1).max() < 1e-6


@pytest.mark.parametrize("known", [[-1, -1], [1, -1], [-1, 0], [2, 1]])
def test_the_bound_lies_below_and_touches_where_nothing_is_left_to_it(known: list[int]) -> None:
    slots = torch.from_numpy(TINY.encode(EVERYTHING))
    bins = torch.tensor([known] * len(slots))
    for deep in (True, False):
        network = wild(deep=deep)
        logs = joint(network)
        first, second = (slice(None) if b < 0 else slice(b, b + 1) for b in known)
        true = logs[:, first, second].logsumexp((1, 2, 3))
        bound = network.log_bound(slots, bins).double()
        assert (bound < true + 1e-5).all()
        assert (true - bound).mean() < 0.3
        if not deep and min(known) >= 0:
            torch.testing.assert_close(bound, true, atol=1e-4, rtol=0)


def test_log_z_is_that_of_enumeration() -> None:
    network = wild()
    told, error = log_partition_of_dbm(network, Anneal(300, 200))
    assert error < 0.05
    assert told == pytest.approx(joint(network).logsumexp((0, 1, 2, 3)).item(), abs=5 * error + 1e-4)


@pytest.mark.parametrize("given", [{}, {8: 2, 3: None}])
@pytest.mark.parametrize("clamped", [None, [True, False, True, False, True]])
def test_chains_keep_what_is_clamped_and_their_distribution(given, clamped) -> None:
    """From the enumerated conditional distribution, sweeps lead to that distribution."""
    network, n = wild(1), 12000
    wish, allowed = demand(TINY, None, given), None if clamped is None else torch.tensor(clamped)
    logs = joint(network)
    logs[[not wish.accepts(formula) for formula in EVERYTHING]] = -torch.inf
    if allowed is not None:
        logs[:, ~allowed[:3]] = -torch.inf
        logs[:, :, ~allowed[3:]] = -torch.inf
    chances = logs.flatten().softmax(0)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(chances, n, True, generator=generator)
    f, i, j, s = torch.unravel_index(drawn, logs.shape)
    slots = torch.from_numpy(TINY.encode(EVERYTHING))
    state = State(slots[f], torch.stack([i, j], 1), torch.stack([s // 2, s % 2], 1) - 0.5)
    for _ in range(8):
        state, _ = sweep_all(network, network.tables(), state, Asked.of(wish), generator, allowed)
    place = {formula: i for i, formula in enumerate(EVERYTHING)}
    f = torch.tensor([place[formula] for formula in TINY.decode(state.slots.numpy())])
    on = (state.units > 0).long()
    found = ((f * 3 + state.bins[:, 0]) * 2 + state.bins[:, 1]) * 4 + 2 * on[:, 0] + on[:, 1]
    counts = torch.bincount(found, minlength=len(chances)).double() / n
    assert counts[chances == 0].sum() == 0
    by_formula = [x.reshape(logs.shape).sum((1, 2, 3)) for x in (counts, chances)]
    by_rest = [x.reshape(logs.shape).sum(0).flatten() for x in (counts, chances)]
    for one, other in (by_formula, by_rest):
        assert (one - other).abs().sum() / 2 < 0.035


def test_it_completes_by_its_conditional_with_a_modality_clamped() -> None:
    """From wherever its chains begin; clamping changes what comes."""
    made, n = DbmFamily(TINY, SMALL, None, LOWER, BOTH, sweeps=60), 4000
    made.network = wild(4)
    with torch.no_grad():
        made.network.bins.mul_(2)
    logs = joint(made.network).logsumexp((2, 3))
    logs[[not demand(TINY, None, GIVEN).accepts(formula) for formula in EVERYTHING]] = -torch.inf
    distributions = [logs[:, 0].softmax(0).numpy(), logs.logsumexp(1).softmax(0).numpy()]
    assert np.abs(distributions[0] - distributions[1]).sum() / 2 > 0.1
    for known, chances in zip(({"band_gap_eV": {0}}, None), distributions, strict=True):
        found = made.complete(GIVEN, n, np.random.default_rng(1), known)
        counts = np.array([found.count(formula) for formula in EVERYTHING])
        assert counts.sum() == n
        assert np.abs(counts / n - chances).sum() / 2 < 0.05


def test_it_has_learned_what_goes_with_formulas(family: DbmFamily) -> None:
    told = family.tell("band_gap_eV", MATERIALS)
    known = BINS[:, 0] >= 0
    assert told[known, BINS[known, 0]].mean() > 0.7
    again = family.tell("band_gap_eV", Materials(MATERIALS.formulas, np.where([True, False], -1, BINS)))
    np.testing.assert_array_equal(told, again)  # what is known of it is not looked at
    assert family.log_probability(FORMULAS).nats.mean() > -np.log(len(EVERYTHING)) + 0.5


def test_what_cannot_be_clamped_is_refused(family: DbmFamily) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="voltage_Li_V: this machine knows band_gap_eV, lattice_system"):
        family.sample(1, CONDITION, rng, {"voltage_Li_V": {0}})
    with pytest.raises(InputError, match=r"lattice_system: bins \[5\] are asked for; there are 0 to 1"):
        family.complete(GIVEN, 1, rng, {"lattice_system": {5}})
    assert family.modality("lattice_system") == LATTICE


def test_a_killed_training_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    nothing = Materials.plain((), 2)
    task = partial(DbmTask, lower(), BOTH, MATERIALS, nothing, SMALL, QUICK)
    whole = train(task, quick(tmp_path / "whole"))
    killed = quick(tmp_path / "killed")
    with workers(1, "cpu", lambda worker: None) as worker:
        trainer = Trainer(task(), killed, worker)
        batches = trainer._batches()
        killed.out.mkdir()
        for _ in range(13):
            trainer.advance(next(batches))
        trainer.save()
    (gone_on, _), (never_killed, _) = (read_tensors(path) for path in (train(task, killed, resume=True), whole))
    assert gone_on.keys() == never_killed.keys()
    assert all(torch.equal(tensor, never_killed[name]) for name, tensor in gone_on.items())
    for name in ("lower.chains", "chain_bins", "chain_units"):
        assert not torch.equal(gone_on[name], task().network().get_buffer(name))
    with pytest.raises(InputError, match="was trained with another start"):
        train(partial(DbmTask, lower(1), BOTH, MATERIALS, nothing, SMALL, QUICK), killed, resume=True)


def test_held_out_materials_are_judged_in_nats(tmp_path: Path) -> None:
    half = [Materials(MATERIALS.formulas[:4], BINS[:4]), Materials(MATERIALS.formulas[4:], np.full((3, 2), -1))]
    task = DbmTask(lower(), BOTH, *half, SMALL, Anneal(200, 100))
    network = task.network().eval()
    task.save(tmp_path / "dbm.safetensors", network)
    with torch.no_grad():
        told = task.losses(network, task.held_out()[0], 0, torch.Generator())["nats"].item()
    read = DbmFamily.load(tmp_path / "dbm.safetensors").log_probability(FORMULAS[4:])
    assert told == pytest.approx(-read.nats.mean(), abs=0.01)


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
    with pytest.raises(InputError):
        DbmFamily.load(Path(__file__))
    with pytest.raises(GenerationError, match="learned nothing yet"):
        DbmFamily(TINY, SMALL, None).sample(1, CONDITION, np.random.default_rng(0))


def test_it_begins_with_a_trained_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redoxa.generators.composition.boltzmann.multimodal_training.shipped", tmp_path.joinpath)
    with pytest.raises(
        InputError, match=r"begins with a trained rbm, .* --generator composition-rbm TABLE` .* --start"
    ):
        dbm_maker(tmp_path / "data", None, None)
    save_rbm(tmp_path / "composition_rbm.safetensors", Rbm(LOWER, Grammar.of([3, 8])))
    assert callable(dbm_maker(tmp_path / "data", None, None))
