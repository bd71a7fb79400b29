from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError
from redoxa.data.shipped import shipped
from redoxa.generators.backbone import Backbone, BackboneConfig, Prediction
from redoxa.generators.base import Condition, Target
from redoxa.generators.contract import check_generator
from redoxa.generators.graph import MASK, N_TYPES, wrap
from redoxa.generators.labels import LabelEmbedding
from redoxa.generators.log_lattice import lattice_to_log, log_to_lattice
from redoxa.generators.noise.diffusion import DiffusionGenerator
from redoxa.generators.noise.from_noise import NoiseSettings
from redoxa.generators.noise.sampling.diffusion_samplers import DIFFUSION_SAMPLERS
from redoxa.generators.noise.sampling.guidance import LABELS_BELOW_CHGNET_V, Guided, aim_for
from redoxa.generators.noise.sampling.samplers import SamplerSettings, noise_for
from redoxa.generators.noise.sampling.wrapped_normal import score, score_scale, sigma_at
from redoxa.generators.noise.training import NoiseTask
from redoxa.generators.training.loop import TrainConfig, train

TINY = BackboneConfig(hidden=24, edge=16, layers=2, harmonics=3, radials=8, labels=4)
VOLTAGE = Target("average_voltage", 3.0, 4.0)


@pytest.fixture(scope="module")
def checkpoint(tiny_file, tmp_path_factory) -> Path:
    config = TrainConfig(tmp_path_factory.mktemp("run"), steps=30, decay_steps=10, warmup_steps=5, save_every=30)
    return train(partial(NoiseTask, "diffusion", tiny_file, TINY), config)


@pytest.fixture(scope="module")
def tiny(checkpoint) -> DiffusionGenerator:
    return DiffusionGenerator(checkpoint, NoiseSettings("ode", sampler=SamplerSettings(steps=4), tries=2))


class Oracle:
    """The exact score and rotation of data that are one crystal; stands in the network's place."""

    def __init__(self, types: torch.Tensor, coords: torch.Tensor, lattice: torch.Tensor) -> None:
        self.types, self.coords, self.lattice = types, coords, lattice
        self.lattice_std = torch.full((6,), 0.5)

    def reference(self, types: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(types), 6)

    def __call__(self, types, coords, lattice, time, labels=None) -> Prediction:
        sigma = sigma_at(time)
        widths, which = sigma.unique(return_inverse=True)  # one scale does for thousands of samples at one time
        pull = score(wrap(coords - self.coords), sigma[:, None, None]) / score_scale(widths)[which, None, None]
        angle = math.pi / 2 * (1 - time[:, None])
        y, crystal = ((log - 1) / self.lattice_std for log in (lattice, self.lattice))
        noise = (y - angle.cos() * crystal) / angle.sin()
        logits = torch.nn.functional.one_hot(self.types, N_TYPES).float() * 50
        return Prediction(logits, pull, angle.cos() * noise - angle.sin() * crystal)


@pytest.mark.parametrize("name", sorted(DIFFUSION_SAMPLERS))
def test_every_sampler_arrives_where_the_exact_score_points(name):
    generator = torch.Generator().manual_seed(0)
    types = torch.tensor([[3, 26, 8, 8]]).expand(50, 4)
    coords = torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.3, 0.1], [0.7, 0.8, 0.9]]])
    cell = torch.diag(torch.tensor([3.0, 4.0, 5.0]))
    oracle = Oracle(types, coords, lattice_to_log(cell.unsqueeze(0)))
    settings = SamplerSettings(steps=60, lattice_noise=1.0)
    steps: list[tuple[int, int]] = []
    hidden = torch.tensor([[3, MASK, MASK, MASK]]).expand(50, 4)
    start = noise_for(oracle, hidden, settings, generator)
    end = DIFFUSION_SAMPLERS[name](oracle, start, settings, generator, lambda done, total: steps.append((done, total)))
    assert torch.equal(end.types, types)
    assert wrap(end.coords - coords).abs().max() < 1e-3
    torch.testing.assert_close(log_to_lattice(end.lattice), cell.expand(50, 3, 3), atol=1e-3, rtol=0)
    assert steps[-1] == (60, 60)


def test_the_noise_that_is_drawn_on_the_way_has_the_width_of_its_time():
    # One step before the end, the coordinates are normal about the crystal with the last width but one.
    generator = torch.Generator().manual_seed(0)
    coords = torch.full((4000, 1, 3), 0.5)
    oracle = Oracle(torch.full((4000, 1), 8), coords, torch.ones(1, 6))
    settings = SamplerSettings(steps=40, lattice_noise=1.0, anneal=0.0)
    seen: list[torch.Tensor] = []

    class Watch(Oracle):
        def __call__(self, types, coords, lattice, time, labels=None) -> Prediction:
            seen.append(torch.cat([wrap(coords - self.coords).flatten(1), (lattice - 1) / self.lattice_std], 1))
            return super().__call__(types, coords, lattice, time, labels)

    watch = Watch(oracle.types, oracle.coords, oracle.lattice)
    DIFFUSION_SAMPLERS["predictor_corrector"](
        watch, noise_for(watch, oracle.types, settings, generator), settings, generator
    )
    last = seen[-1]
    assert last[:, :3].std().item() == pytest.approx(sigma_at(torch.tensor(39 / 40)).item(), rel=0.03)
    assert last[:, 3:].std().item() == pytest.approx(math.sin(math.pi / 2 / 40), rel=0.03)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(),
        Condition(allowed=frozenset({11, 25, 26, 8, 9}), required=frozenset({11, 8}), charge_neutral=True),
        Condition(contents=({3: 1, 8: 1}, {3: 4, 26: 4, 15: 4, 8: 16}, {26: 1}, {11: 2}, {8: 2}, {92: 1, 8: 2})),
        Condition(required=frozenset({3}), targets=(VOLTAGE, Target("stability_discharge", high=0.05))),
    ],
    ids=["anything", "neutral", "contents", "targets"],
)
@pytest.mark.parametrize("method", sorted(DIFFUSION_SAMPLERS))
def test_contract_holds_however_little_was_learnt(checkpoint, condition, method):
    settings = NoiseSettings(method, sampler=SamplerSettings(steps=4, lattice_noise=1.0), tries=2)
    check_generator(DiffusionGenerator(checkpoint, settings), condition)


@pytest.mark.parametrize(
    ("targets", "required", "text"),
    [
        ((VOLTAGE,), frozenset({12}), "Li or Na only"),
        ((VOLTAGE,), frozenset({3, 11}), "Li or Na only"),
        ((Target("capacity_grav", 100.0),), frozenset({3}), "follows from the composition"),
    ],
)
def test_targets_that_it_cannot_aim_at_are_refused_with_the_reason(tiny, targets, required, text):
    with pytest.raises(GenerationError, match=text):
        tiny.sample(2, Condition(required=required, targets=targets), np.random.default_rng(0))


def labels_with_statistics() -> LabelEmbedding:
    labels = LabelEmbedding(4, 8)
    labels.fit(torch.tensor([[-3.0, 0.0, 2.0, math.nan], [-1.0, 0.1, 4.0, math.nan]]))
    return labels


def test_labels_are_drawn_evenly_in_the_ranges_and_open_ends_follow_the_data():
    labels = labels_with_statistics()
    assert labels.mean.tolist() == pytest.approx([-2.0, 0.05, 3.0, 0.0])
    targets = (VOLTAGE, Target("stability_discharge", high=0.02))
    aim = aim_for("diffusion", Condition(required=frozenset({3}), targets=targets), labels)
    drawn = aim.draw(20_000, torch.Generator().manual_seed(0))
    assert drawn[:, [0, 3]].isnan().all()
    middle_V = 3.5 - LABELS_BELOW_CHGNET_V  # 3 to 4 V as screening has them
    assert drawn[:, 2].mean().item() == pytest.approx(middle_V, abs=0.01)
    assert drawn[:, 2].std().item() == pytest.approx(1 / math.sqrt(12), abs=0.01)
    assert 0.0 <= drawn[:, 1].min() < 0.001
    assert 0.019 < drawn[:, 1].max() <= 0.02
    open_end = aim_for(
        "diffusion", Condition(required=frozenset({3}), targets=(Target("average_voltage", 3.0),)), labels
    )
    assert open_end.high[2].item() == pytest.approx(3.0 + 2 * math.sqrt(2))
    beyond = aim_for("diffusion", Condition(required=frozenset({3}), targets=(Target("average_voltage", 9.0),)), labels)
    assert beyond.low[2].item() == beyond.high[2].item() == 9.0 - LABELS_BELOW_CHGNET_V


def test_guidance_extrapolates_from_without_labels_to_with_them():
    torch.manual_seed(0)
    network = Backbone(TINY).eval()
    torch.nn.init.normal_(network.labels.outer.weight)
    state = torch.tensor([[3, 8]]), torch.rand(1, 2, 3), torch.tensor([[3.0, 0, 0, 0, 0, 0]]), torch.tensor([0.3])
    labels = torch.tensor([[math.nan, 0.1, math.nan, 3.0]])
    with torch.no_grad():
        given, without = network(*state, labels), network(*state)
        for weight in (0.0, 1.0, 2.0):
            found = Guided(network, weight)(*state, labels)
            for name in ("types", "coords", "lattice"):
                expected = (1 + weight) * getattr(given, name) - weight * getattr(without, name)
                torch.testing.assert_close(getattr(found, name), expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(given.types, without.types)
        assert torch.equal(Guided(network, 2.0)(*state).types, without.types)


def test_an_untrained_label_changes_nothing_and_training_moves_it(checkpoint):
    torch.manual_seed(0)
    fresh = Backbone(TINY).eval()
    state = torch.tensor([[3, 8]]), torch.rand(1, 2, 3), torch.tensor([[3.0, 0, 0, 0, 0, 0]]), torch.tensor([0.3])
    with torch.no_grad():
        assert torch.equal(fresh(*state, torch.tensor([[1.0, 2.0, 3.0, 4.0]])).types, fresh(*state).types)
    trained = DiffusionGenerator(checkpoint).network.network
    assert trained.labels.outer.weight.abs().max() > 0


@pytest.mark.skipif(not shipped("diffusion.safetensors").exists(), reason="no checkpoint is shipped here")
def test_shipped_diffusion_is_small_and_follows_an_aim_within_its_hard_limits():
    assert shipped("diffusion.safetensors").stat().st_size <= 5_000_000
    allowed = frozenset({3, 22, 25, 26, 27, 8, 9, 15, 16})
    condition = Condition(allowed, frozenset({3}), n_atoms=(4, 10), charge_neutral=True, targets=(VOLTAGE,))
    settings = NoiseSettings("ode", sampler=SamplerSettings(steps=10), tries=2)
    check_generator(DiffusionGenerator(settings=settings), condition)
