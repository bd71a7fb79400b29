"""The deep belief network: its contract, its code, and that its probabilities are right."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError, InputError
from redoxa.generators.composition.boltzmann.ais import Anneal, log_partitions_of_chains
from redoxa.generators.composition.boltzmann.deep import Dbn, DbnConfig, Top, log_partition_of_top
from redoxa.generators.composition.boltzmann.deep_family import DbnFamily
from redoxa.generators.composition.boltzmann.deep_training import DbnTask, dbn_maker
from redoxa.generators.composition.boltzmann.network import Rbm, RbmConfig, save_rbm
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.grammar import Grammar
from redoxa.generators.training.loop import TrainConfig, train
from tests.unit.generators.composition.resumed import killed_and_gone_on
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY

LOWER, SMALL = RbmConfig(hidden=8, chains=64), DbnConfig(hidden=5, chains=64)


def quick(out: Path, steps: int = 40) -> TrainConfig:
    return TrainConfig(out, steps=steps, decay_steps=20, warmup_steps=3, rate=1e-2, device="cpu", save_every=20)


def machine(seed: int = 0) -> Rbm:
    """A machine on formulas with weights that make its hidden units do something."""
    torch.manual_seed(seed)
    lower = Rbm(LOWER, TINY).eval()
    with torch.no_grad():
        for parameter in lower.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape)).copy_(parameter.half().float())
    lower.get_buffer("partition").zero_()
    lower.get_buffer("chains").copy_(torch.from_numpy(TINY.encode(2 * TINY.everything()))[:64])
    return lower


def wild() -> Dbn:
    """Large random weights in both machines."""
    network = Dbn(SMALL, machine()).eval()
    with torch.no_grad():
        for parameter in network.top.parameters():
            parameter.add_(0.25 * torch.randn(parameter.shape))
    return network


def states(n: int) -> torch.Tensor:
    return torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * n)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> DbnFamily:
    torch.set_num_threads(1)
    made = DbnFamily(
        TINY, SMALL, replace(quick(tmp_path_factory.mktemp("dbn"), 100), save_every=100), LOWER, Anneal(200, 100)
    )
    made.fit(FORMULAS, seed=0)
    return made


def test_it_keeps_the_contract(family: DbnFamily) -> None:
    check_family(family, CONDITION, GIVEN)


def test_what_formulas_weigh_given_hidden_units_is_summed_exactly() -> None:
    network, everything = machine(), torch.from_numpy(TINY.encode(TINY.everything()))
    tables, units = network.tables(), states(8)[::5]
    with torch.no_grad():
        rest = network.inputs(tables, everything) - tables.hidden
        logs = network.visible(tables, everything).double() + (units @ rest.T).double()
    torch.testing.assert_close(log_partitions_of_chains(network, tables, units), logs.logsumexp(1), atol=1e-4, rtol=0)


def test_log_z_of_the_second_machine_is_that_of_enumeration() -> None:
    top = wild().top
    told, error = log_partition_of_top(top, Anneal(300, 200))
    with torch.no_grad():
        true = top.log_weight(states(8)).double().logsumexp(0).item()
    assert error < 0.05
    assert told == pytest.approx(true, abs=5 * error + 1e-4)


def test_probabilities_are_those_of_enumeration() -> None:
    """The mean of many estimates against the sum over all states of the hidden units."""
    network, everything = wild(), torch.from_numpy(TINY.encode(TINY.everything()))
    with torch.no_grad():  # so mild that estimates have no long tail
        for parameter in network.lower.parameters():
            parameter.mul_(0.3)
    tables, units = network.lower.tables(), states(8)
    with torch.no_grad():
        rest = network.lower.inputs(tables, everything) - tables.hidden
        joint = network.lower.visible(tables, everything).double()[:, None] + (rest @ units.T).double()
        written = joint - log_partitions_of_chains(network.lower, tables, units)
        true = (written + network.top.log_weight(units).log_softmax(0).double()).logsumexp(1)
        log_z = network.top.log_weight(units).double().logsumexp(0)
    assert true.logsumexp(0).item() == pytest.approx(0, abs=1e-4)
    network.top.get_buffer("partition")[0] = log_z
    generator = torch.Generator().manual_seed(0)
    logs = torch.stack([network.log_estimates(everything, generator) for _ in range(400)])
    ratio = (logs - true).exp()
    error = ratio.std(0) / 400**0.5
    assert error.mean() < 0.1
    assert ((ratio.mean(0) - 1).abs() < 5 * error).all()
    assert (logs.mean(0) < true + 1e-3).all()


def test_sweeps_of_the_second_machine_keep_its_distribution() -> None:
    top, n = Top(3, SMALL), 20000
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in top.parameters():
            parameter.copy_(torch.randn(parameter.shape))
        chances = top.log_weight(states(3)).softmax(0)
    generator = torch.Generator().manual_seed(0)
    units = states(3)[torch.multinomial(chances, n, True, generator=generator)]
    for _ in range(5):
        units = top.sweep(units, generator)
    found = torch.stack([(units == state).all(1).float().mean() for state in states(3)])
    assert (found - chances).abs().sum() / 2 < 0.02


def test_the_code_is_of_both_layers_and_always_the_same(family: DbnFamily) -> None:
    code = family.features(FORMULAS)
    assert code.shape == (len(FORMULAS), 8 + 5)
    assert (code > 0).all()
    assert (code < 1).all()
    np.testing.assert_array_equal(code, family.features(FORMULAS))
    np.testing.assert_allclose(code[::-1], family.features(FORMULAS[::-1]), atol=1e-6)
    assert len(np.unique(code.round(6), axis=0)) == len(FORMULAS)
    assert family.features([]).shape == (0, 13)
    with pytest.raises(InputError, match="not a formula of this grammar"):
        family.features([((11, 1),)])


def test_a_killed_training_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    task = partial(DbnTask, machine(), FORMULAS, (), SMALL, Anneal(10, 5))
    gone_on = killed_and_gone_on(task, quick(tmp_path / "whole"), quick(tmp_path / "killed"))
    assert not torch.equal(gone_on["top.chains"], task().network().top.get_buffer("chains"))
    below = machine().state_dict()
    assert all(
        torch.equal(gone_on[f"lower.{name}"].float(), below[name].float()) for name, _ in machine().named_parameters()
    )
    with pytest.raises(InputError, match="was trained with another start"):
        train(partial(DbnTask, machine(1), FORMULAS, (), SMALL, Anneal(10, 5)), quick(tmp_path / "killed"), resume=True)


def test_it_is_written_and_read(family: DbnFamily, tmp_path: Path) -> None:
    family.save(tmp_path / "dbn.safetensors")
    read = DbnFamily.load(tmp_path / "dbn.safetensors")
    np.testing.assert_array_equal(read.log_probability(FORMULAS).nats, family.log_probability(FORMULAS).nats)
    np.testing.assert_array_equal(read.features(FORMULAS), family.features(FORMULAS))
    one, two = (f.sample(50, CONDITION, np.random.default_rng(0)) for f in (read, family))
    assert one == two
    with pytest.raises(GenerationError, match="cannot learn"):
        read.fit(FORMULAS, 0)
    with pytest.raises(InputError):
        DbnFamily.load(Path(__file__))
    with pytest.raises(GenerationError, match="learned nothing yet"):
        DbnFamily(TINY, SMALL, None).features(FORMULAS)


def test_it_begins_with_a_trained_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redoxa.generators.composition.boltzmann.deep_training.shipped", tmp_path.joinpath)
    with pytest.raises(
        InputError, match=r"begins with a trained rbm, .* --generator composition-rbm TABLE` .* --start"
    ):
        dbn_maker(tmp_path / "data", None, None)
    save_rbm(tmp_path / "composition_rbm.safetensors", Rbm(LOWER, Grammar.of([3, 8])))
    assert callable(dbn_maker(tmp_path / "data", None, None))
