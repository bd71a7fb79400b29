"""The adversarial family: its contract, its safeguards, and that it learns."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError, InputError
from redoxa.generators.base import Condition
from redoxa.generators.composition.adversarial.family import WganFamily
from redoxa.generators.composition.adversarial.network import Critic, Soft, WganConfig, Writer, one_hots
from redoxa.generators.composition.adversarial.training import WganTask
from redoxa.generators.composition.contract import check_family
from redoxa.generators.training.loop import TrainConfig
from tests.unit.generators.composition.resumed import killed_and_gone_on
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY

SMALL = WganConfig(noise=8, width=16, critic=24)


def quick(out: Path, steps: int = 40) -> TrainConfig:
    return TrainConfig(out, steps=steps, decay_steps=20, warmup_steps=3, rate=3e-3, device="cpu", save_every=10)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> WganFamily:
    torch.set_num_threads(1)
    made = WganFamily(TINY, SMALL, quick(tmp_path_factory.mktemp("wgan"), 400))
    made.fit(FORMULAS, seed=0)
    return made


def test_it_keeps_the_contract(family: WganFamily) -> None:
    check_family(family, CONDITION, GIVEN)


def test_what_it_tells_adds_up_to_one_and_is_what_it_samples(family: WganFamily) -> None:
    everything = TINY.everything()
    told = family.log_probability(everything)
    assert told.kind == "bound"
    chances = np.exp(told.nats)
    assert chances.sum() == pytest.approx(1, abs=1e-6)
    found = family.sample(8000, Condition(n_atoms=(1, 6)), np.random.default_rng(0))
    counts = np.array([found.count(formula) for formula in everything])
    assert np.abs(counts / counts.sum() - chances).sum() / 2 < 0.1  # 128 noises stand for all


def test_it_learns_from_the_critic(family: WganFamily) -> None:
    """Of the 55 formulas of the grammar, 7 are learned."""
    found = family.sample(2000, Condition(n_atoms=(1, 6)), np.random.default_rng(0))
    share = sum(formula in FORMULAS for formula in found) / len(found)
    assert share > 2 * len(FORMULAS) / len(TINY.everything())
    assert len(set(found)) > 10


def test_the_critic_is_kept_from_stretching() -> None:
    torch.manual_seed(0)
    kept, free = (Critic(WganConfig(critic=24, spectral=spectral), TINY).eval() for spectral in (True, False))
    for layer in ("first", "second", "last"):
        assert torch.linalg.matrix_norm(getattr(kept, layer).weight, 2).item() < 1.3
        with torch.no_grad():
            getattr(free, layer).weight.mul_(10)
    slots = Soft(*one_hots(torch.from_numpy(TINY.encode(FORMULAS)), TINY))
    assert free(slots).std() > kept(slots).std()


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_what_is_written_ascends_and_ends(slots: int) -> None:
    writer = Writer(SMALL, TINY)
    written = writer.write(torch.randn(200, SMALL.noise), torch.Generator().manual_seed(0), slots)
    codes, counts = written.codes.argmax(-1), written.counts.argmax(-1)
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        used = [k for k in code if k]
        assert 1 <= len(used) <= slots
        assert used == sorted(set(used))
        assert code == used + [0] * (len(code) - len(used))
        assert [bool(n) for n in count] == [bool(k) for k in code]
    assert written.codes.requires_grad


def test_each_network_is_a_constant_to_the_other() -> None:
    """The writer learns every few steps, the critic always, and neither gets the gradient of the other."""
    torch.manual_seed(0)
    task = WganTask(TINY, FORMULAS, (), SMALL)
    pair, rows = task.network(), torch.arange(len(FORMULAS))

    def gradients(step: int) -> tuple[torch.Tensor | None, torch.Tensor]:
        pair.zero_grad(set_to_none=True)
        task.losses(pair, rows, step, torch.Generator().manual_seed(0))["loss"].backward()
        writer, critic = pair.writer.to_element.weight.grad, pair.critic.last.bias.grad
        assert critic is not None
        return writer, critic

    pair.eval()  # so that the spectral norms stay as they are
    taught, critic = gradients(0)
    assert taught is not None
    untaught, same = gradients(1)
    assert untaught is None
    torch.testing.assert_close(critic, same)


def test_a_killed_training_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    task = partial(WganTask, TINY, FORMULAS, (), SMALL)
    killed_and_gone_on(task, quick(tmp_path / "whole"), quick(tmp_path / "killed"))


def test_it_is_written_and_read(family: WganFamily, tmp_path: Path) -> None:
    family.save(tmp_path / "wgan.safetensors")
    read = WganFamily.load(tmp_path / "wgan.safetensors")
    np.testing.assert_array_equal(read.log_probability(FORMULAS).nats, family.log_probability(FORMULAS).nats)
    with pytest.raises(GenerationError, match="cannot learn"):
        read.fit(FORMULAS, 0)
    with pytest.raises(InputError):
        WganFamily.load(Path(__file__))


def test_what_has_not_learned_says_so() -> None:
    with pytest.raises(GenerationError, match="learned nothing yet"):
        WganFamily(TINY, SMALL, None).sample(1, CONDITION, np.random.default_rng(0))
