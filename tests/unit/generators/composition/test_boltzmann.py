"""The restricted Boltzmann machine: its contract, and that its partition function and its chains are right."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError, InputError
from redoxa.generators.base import Condition
from redoxa.generators.composition.boltzmann.ais import Anneal, log_partition, log_partition_of_chain
from redoxa.generators.composition.boltzmann.chain import Asked, chain_of, drawn, sweep
from redoxa.generators.composition.boltzmann.family import RbmFamily
from redoxa.generators.composition.boltzmann.network import Rbm, RbmConfig
from redoxa.generators.composition.boltzmann.training import RbmTask
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.grammar import Formula, Given, Grammar, demand
from redoxa.generators.training.loop import TrainConfig
from tests.unit.generators.composition.resumed import killed_and_gone_on
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY

SMALL = RbmConfig(hidden=12, chains=64)
ANY = Condition(n_atoms=(1, 10**6))


def quick(out: Path, steps: int = 40) -> TrainConfig:
    return TrainConfig(out, steps=steps, decay_steps=20, warmup_steps=3, rate=1e-2, device="cpu", save_every=20)


def wild(grammar: Grammar, seed: int = 0, lateral: bool = True) -> Rbm:
    """A machine of large random weights, which has its hidden units do something."""
    torch.manual_seed(seed)
    machine = Rbm(replace(SMALL, lateral=lateral), grammar).eval()
    with torch.no_grad():
        for parameter in machine.parameters():
            if parameter.requires_grad:
                parameter.add_(0.4 * torch.randn(parameter.shape))
    everything = grammar.everything()
    chances = weights(machine, everything).softmax(0)
    slots = torch.from_numpy(grammar.encode(everything))
    machine.get_buffer("chains").copy_(slots[torch.multinomial(chances, SMALL.chains, True)])
    return machine


def weights(machine: Rbm, formulas: list[Formula]) -> torch.Tensor:
    with torch.no_grad():
        return machine.log_weight(torch.from_numpy(machine.grammar.encode(formulas))).double()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> RbmFamily:
    torch.set_num_threads(1)
    made = RbmFamily(TINY, SMALL, quick(tmp_path_factory.mktemp("rbm"), 150), Anneal(200, 200))
    made.fit(FORMULAS, seed=0)
    return made


def test_it_keeps_the_contract(family: RbmFamily) -> None:
    check_family(family, CONDITION, GIVEN)


def test_it_has_learned_and_its_probabilities_add_up_to_one(family: RbmFamily) -> None:
    everything = TINY.everything()
    told = family.log_probability(everything)
    assert told.kind == "AIS"
    assert family.network is not None
    assert np.log(np.exp(told.nats).sum()) == pytest.approx(0, abs=5 * family.network.log_z_error + 1e-4)
    assert family.log_probability(FORMULAS).nats.mean() > -np.log(len(everything)) + 1


@pytest.mark.parametrize("grammar", [TINY, Grammar.of([3, 8, 9, 26], max_atoms=7, slots=2), Grammar.of([8], 5, 1)])
@pytest.mark.parametrize("lateral", [True, False])
def test_log_z_is_that_of_enumeration(grammar: Grammar, lateral: bool) -> None:
    machine, everything = wild(grammar, lateral=lateral), grammar.everything()
    slots = torch.from_numpy(grammar.encode(everything))
    tables = machine.tables()
    with torch.no_grad():
        base = machine.visible(tables, slots).double().logsumexp(0).item()
        assert log_partition_of_chain(machine, tables) == pytest.approx(base, abs=1e-5)
    told, error = log_partition(machine, Anneal(300, 200))
    assert error < 0.05
    assert told == pytest.approx(weights(machine, everything).logsumexp(0).item(), abs=5 * error + 1e-4)


def test_a_machine_without_interactions_anneals_without_error() -> None:
    machine = wild(TINY)
    with torch.no_grad():
        for name, parameter in machine.named_parameters():
            if name.startswith(("elements", "counts", "kin")):
                parameter.zero_()
    told, error = log_partition(machine, Anneal(20, 5))
    assert error == pytest.approx(0, abs=1e-5)
    assert told == pytest.approx(weights(machine, TINY.everything()).logsumexp(0).item(), abs=1e-4)


def test_the_weight_is_the_sum_over_hidden_units() -> None:
    """The free energy against the sum over all 2 ** 4 states of four hidden units."""
    torch.manual_seed(0)
    machine = Rbm(RbmConfig(hidden=4), TINY)
    slots, tables = torch.from_numpy(TINY.encode(FORMULAS)), machine.tables()
    states = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 4)
    with torch.no_grad():
        summed = machine.visible(tables, slots) + (machine.inputs(tables, slots) @ states.T).logsumexp(1)
        torch.testing.assert_close(summed, machine.log_weight(slots))


def test_all_slots_are_drawn_at_once_as_they_should() -> None:
    """One draw given the hidden units has the distribution of the enumerated formulas given these."""
    machine, everything = wild(TINY), TINY.everything()
    tables, asked, n = machine.tables(), Asked.of(demand(TINY)), 20000
    hidden = (torch.rand(1, 12, generator=torch.Generator().manual_seed(3)) < 0.5).float() - 0.5
    with torch.no_grad():
        slots = torch.from_numpy(TINY.encode(everything))
        logs = machine.visible(tables, slots) + (hidden * machine.inputs(tables, slots)).sum(1)
        made = drawn(chain_of(machine, tables, hidden.expand(n, -1), asked), torch.Generator().manual_seed(0))
    found = TINY.decode(made[asked.accepts(made)].numpy())
    counts = np.array([found.count(formula) for formula in everything])
    assert counts.sum() == len(found) > n / 4
    assert np.abs(counts / counts.sum() - logs.double().softmax(0).numpy()).sum() / 2 < 0.03


@pytest.mark.parametrize("given", [{}, {8: None}, {8: 2, 3: None}, {26: 2}, {3: 1, 8: 1, 26: None}])
def test_chains_keep_what_is_given_and_their_distribution(given: Given) -> None:
    """From the enumerated conditional distribution, sweeps lead to that distribution."""
    machine, everything, n = wild(TINY, 1), TINY.everything(), 8000
    wish = demand(TINY, None, given)
    holding = [formula for formula in everything if wish.accepts(formula)]
    chances = weights(machine, holding).softmax(0)
    generator = torch.Generator().manual_seed(0)
    slots = torch.from_numpy(TINY.encode(holding))[torch.multinomial(chances, n, True, generator=generator)]
    for _ in range(10):
        slots, _ = sweep(machine, machine.tables(), slots, Asked.of(wish), generator)
    found = TINY.decode(slots.numpy())
    counts = np.array([found.count(formula) for formula in holding])
    assert counts.sum() == n
    assert np.abs(counts / n - chances.numpy()).sum() / 2 < 0.035


@pytest.mark.parametrize("given", [{}, {8: None}, {8: 2, 3: None}, {26: 2}])
def test_it_completes_by_its_conditional(given: Given) -> None:
    """From wherever its chains begin."""
    family, n = RbmFamily(TINY, SMALL, None, sweeps=60), 4000
    family.network = wild(TINY, 2)
    holding = [formula for formula in TINY.everything() if demand(TINY, None, given).accepts(formula)]
    chances = weights(family.network, holding).softmax(0).numpy()
    found = family.complete(given, n, np.random.default_rng(1))
    counts = np.array([found.count(formula) for formula in holding])
    assert counts.sum() == n
    assert np.abs(counts / n - chances).sum() / 2 < 0.05


def test_what_is_asked_becomes_masks() -> None:
    """Draws satisfy a condition but for what `accepts` sees to, whatever the weights."""
    wish = demand(TINY, Condition(allowed=frozenset({3, 8}), required=frozenset({8}), n_atoms=(4, 4)), {3: 1})
    machine, asked = wild(TINY), Asked.of(wish)
    with torch.no_grad():
        made = drawn(chain_of(machine, machine.tables(), torch.zeros(500, 12), asked), None)
    for formula in TINY.decode(made.numpy()):
        assert dict(formula).keys() == {3, 8}
        assert dict(formula)[3] == 1
    assert asked.accepts(made).tolist() == [wish.accepts(formula) for formula in TINY.decode(made.numpy())]


def test_a_killed_training_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    task = partial(RbmTask, TINY, FORMULAS, (), SMALL, Anneal(10, 5))
    gone_on = killed_and_gone_on(task, quick(tmp_path / "whole"), quick(tmp_path / "killed"))
    assert not torch.equal(gone_on["chains"], task().network().get_buffer("chains"))


def test_held_out_formulas_are_judged_in_nats(tmp_path: Path) -> None:
    task = RbmTask(TINY, FORMULAS[:5], FORMULAS[5:], SMALL, Anneal(200, 100))
    network = task.network().eval()
    task.save(tmp_path / "rbm.safetensors", network)
    told = task.losses(network, task.held_out()[0], 0, torch.Generator())["nats"].item()
    read = RbmFamily.load(tmp_path / "rbm.safetensors").log_probability(FORMULAS[5:])
    assert told == pytest.approx(-read.nats.mean(), abs=0.01)


def test_it_is_written_and_read(family: RbmFamily, tmp_path: Path) -> None:
    family.save(tmp_path / "rbm.safetensors")
    read = RbmFamily.load(tmp_path / "rbm.safetensors")
    np.testing.assert_array_equal(read.log_probability(FORMULAS).nats, family.log_probability(FORMULAS).nats)
    one, two = (f.sample(50, ANY, np.random.default_rng(0)) for f in (read, family))
    assert one == two
    with pytest.raises(GenerationError, match="cannot learn"):
        read.fit(FORMULAS, 0)
    with pytest.raises(InputError):
        RbmFamily.load(Path(__file__))


def test_what_has_not_learned_says_so() -> None:
    with pytest.raises(GenerationError, match="learned nothing yet"):
        RbmFamily(TINY, SMALL, None).sample(1, CONDITION, np.random.default_rng(0))
