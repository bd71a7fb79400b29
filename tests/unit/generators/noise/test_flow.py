from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import GenerationError
from redoxa.data.shipped import shipped
from redoxa.data.tables.datasets import LABELS, CrystalData
from redoxa.generators.backbone import Prediction
from redoxa.generators.base import Condition, ShortfallError
from redoxa.generators.contract import check_generator
from redoxa.generators.graph import MASK, N_TYPES, wrap
from redoxa.generators.log_lattice import lattice_to_log, log_to_lattice
from redoxa.generators.noise.flow import FlowGenerator
from redoxa.generators.noise.from_noise import NoiseSettings
from redoxa.generators.noise.sampling.samplers import FLOW_SAMPLERS, Sample, SamplerSettings, euler, noise_for
from redoxa.generators.noise.statistics import ANION_CLASSES, count_statistics
from redoxa.generators.parallel import Progress, shares
from redoxa.generators.sanity import SanityLimits, contacts, is_sane, packing

ELECTRODE = frozenset({3, 26, 25, 27, 28, 23, 22, 15, 8, 9, 16})

needs_checkpoint = pytest.mark.skipif(not shipped("flow.safetensors").exists(), reason="no checkpoint is shipped here")


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint) -> FlowGenerator:
    return FlowGenerator(tiny_checkpoint, NoiseSettings(sampler=SamplerSettings(steps=4), tries=2))


@pytest.mark.parametrize(
    "condition",
    [
        Condition(),
        Condition(allowed=frozenset({3, 8, 26}), required=frozenset({3}), n_atoms=(2, 8)),
        Condition(allowed=frozenset({11, 25, 26, 8, 9}), required=frozenset({11, 8}), charge_neutral=True),
        Condition(contents=({3: 1, 8: 1}, {3: 4, 26: 4, 15: 4, 8: 16}, {26: 1}, {11: 2}, {8: 2}, {92: 1, 8: 2})),
    ],
    ids=["anything", "elements", "neutral", "contents"],
)
def test_contract_holds_however_little_was_learnt(tiny, condition):
    check_generator(tiny, condition)


@pytest.mark.parametrize("neutral", [False, True])
def test_types_may_flow_along_with_the_geometry(tiny_checkpoint, neutral):
    settings = NoiseSettings(types="along", sampler=SamplerSettings(steps=4), tries=30)
    condition = Condition(frozenset({3, 8, 26}), frozenset({3}), (), (2, 8), charge_neutral=neutral)
    generator = FlowGenerator(tiny_checkpoint, settings)
    check_generator(generator, condition)
    _, _, report = generator.sample_with_report(10, condition, np.random.default_rng(0))
    assert report.compositions_drawn == report.geometries
    assert (report.compositions_unbalanced > 0) == neutral


@needs_checkpoint
@pytest.mark.parametrize(
    "condition",
    [
        Condition(allowed=ELECTRODE, required=frozenset({3}), n_atoms=(4, 12), charge_neutral=True),
        Condition(contents=({3: 4, 26: 4, 15: 4, 8: 16}, {3: 1, 27: 1, 8: 2}, {22: 2, 8: 4}), n_atoms=(1, 2)),
    ],
    ids=["electrodes", "contents"],
)
def test_shipped_flow_keeps_the_contract(condition):
    check_generator(FlowGenerator(), condition, n=len(condition.contents) or 6)


@needs_checkpoint
def test_shipped_flow_is_small_and_its_crystals_are_balanced_distinct_and_sane():
    assert shipped("flow.safetensors").stat().st_size <= 10_000_000
    flow = FlowGenerator()
    condition = Condition(allowed=ELECTRODE, required=frozenset({3}), n_atoms=(4, 10), charge_neutral=True)
    batch, labels, report = flow.sample_with_report(16, condition, np.random.default_rng(1))
    crystals = batch.to_crystals()
    assert all(is_charge_balanced(c.composition) for c in crystals)
    assert len({c.content_hash for c in crystals}) == 16
    assert report.kept_strained == labels.count("close contacts") <= 2
    assert 10 * report.geometries >= 16


def test_seeds_differ_and_report_counts_every_geometry(tiny):
    condition = Condition(allowed=frozenset({3, 8, 26}))
    one, labels, report = tiny.sample_with_report(10, condition, np.random.default_rng(1))
    two, _, _ = tiny.sample_with_report(10, condition, np.random.default_rng(2))
    assert one.to_crystals() != two.to_crystals()
    assert report.geometries - report.refused + report.kept_strained == 10
    assert labels.count("close contacts") == report.kept_strained
    assert report.compositions_drawn >= 10


def test_progress_never_passes_the_total_and_ends_there(tiny):
    seen: list[tuple[int, int]] = []
    tiny.sample(5, Condition(), np.random.default_rng(0), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)
    assert all(0 <= done <= total for done, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_samples_do_not_depend_on_the_number_of_threads(tiny):
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            batch, _ = tiny.sample(40, Condition(), np.random.default_rng(5))
            found.append(batch.to_crystals())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


def test_shares_add_up_and_stay_within_their_bounds():
    for n in (0, 1, 31, 32, 100, 201, 777):
        pieces = shares(n)
        assert sum(pieces) == n
        assert all(1 <= piece <= 100 for piece in pieces)
        assert not pieces or max(pieces) - min(pieces) <= 1
    assert len(shares(300)) == 4


def test_progress_of_pieces_adds_up():
    seen: list[tuple[int, int]] = []
    progress = Progress(5, lambda done, total: seen.append((done, total)))
    one, other = progress.piece(), progress.piece()
    one(2), other(1), one(3), other(2)
    assert seen == [(2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("condition", "n", "text"),
    [
        (Condition(allowed=frozenset({2})), 1, "none of the allowed"),
        (Condition(allowed=frozenset({8}), required=frozenset({3})), 1, "not allowed"),
        (Condition(n_atoms=(40, 50)), 1, "40 to 50 atoms"),
        (Condition(contents=({3: 1},)), 2, "1 contents"),
        (Condition(contents=({3: 0},)), 1, "count below 1"),
        (Condition(contents=({3: 500},)), 1, "500 atoms"),
        (Condition(contents=({110: 1},)), 1, "beyond Z"),
        (Condition(contents=({3: 1},), allowed=frozenset({8})), 1, "not allowed"),
        (Condition(contents=({3: 1, 8: 7},), charge_neutral=True), 1, "balanced"),
        (Condition(allowed=frozenset({3, 11}), charge_neutral=True), 1, "no cell"),
    ],
)
def test_impossible_conditions_are_refused_with_the_reason(tiny, condition, n, text):
    with pytest.raises(GenerationError, match=text):
        tiny.sample(n, condition, np.random.default_rng(0))


def test_samples_that_never_were_balanced_do_not_take_the_others_with_them(tiny, monkeypatch):
    fill = FlowGenerator._fill_geometry

    def lose(self, slots, part, progress):
        fill(self, slots, part, progress)
        for slot in slots[:3]:
            slot.types = slot.types[:0]

    monkeypatch.setattr(FlowGenerator, "_fill_geometry", lose)
    with pytest.raises(ShortfallError, match="3 of 5 samples are not charge-neutral") as caught:
        tiny.sample(5, Condition(), np.random.default_rng(0))
    assert len(caught.value.found) == 2
    with pytest.raises(ShortfallError, match="2 of 2") as caught:
        tiny.sample(2, Condition(), np.random.default_rng(0))
    assert caught.value.found == ()


def test_no_sample_at_all_is_an_empty_batch(tiny):
    batch, labels = tiny.sample(0, Condition(), np.random.default_rng(0))
    assert len(batch) == 0
    assert labels == []


class Oracle:
    """The exact velocity towards one known crystal; stands in the network's place to test the samplers' arithmetic."""

    def __init__(self, types: torch.Tensor, coords: torch.Tensor, lattice: torch.Tensor) -> None:
        self.types, self.coords, self.lattice = types, coords, lattice
        self.lattice_std = torch.full((6,), 0.5)

    def reference(self, types: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(types), 6)

    def __call__(self, types, coords, lattice, time, labels=None) -> Prediction:
        left = (1.0 - time)[:, None]
        logits = torch.nn.functional.one_hot(self.types, N_TYPES).float() * 50
        way = wrap(self.coords - coords) / left[:, None]
        return Prediction(logits, way, (self.lattice - lattice) / left / self.lattice_std)


@pytest.mark.parametrize("name", sorted(FLOW_SAMPLERS))
def test_every_sampler_arrives_where_the_exact_velocity_points(name):
    generator = torch.Generator().manual_seed(0)
    types = torch.tensor([[3, 26, 8, 8]])
    coords = torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.3, 0.1], [0.7, 0.8, 0.9]]])
    lattice = lattice_to_log(torch.diag(torch.tensor([3.0, 4.0, 5.0])).unsqueeze(0))
    oracle = Oracle(types, coords, lattice)
    settings = SamplerSettings(steps=10)
    steps: list[tuple[int, int]] = []
    start = noise_for(oracle, torch.tensor([[3, MASK, MASK, MASK]]), settings, generator)
    end = FLOW_SAMPLERS[name](oracle, start, settings, generator, lambda done, total: steps.append((done, total)))
    assert end.types.tolist() == types.tolist()
    assert wrap(end.coords - coords).abs().max() < 1e-4
    assert torch.allclose(log_to_lattice(end.lattice), torch.diag(torch.tensor([3.0, 4.0, 5.0])), atol=1e-3)
    assert steps[-1] == (10, 10)


def test_forbidden_types_are_never_drawn_even_if_the_network_is_sure_of_them():
    generator = torch.Generator().manual_seed(0)
    types = torch.full((50, 6), 92)
    oracle = Oracle(types, torch.rand(50, 6, 3, generator=generator), torch.zeros(50, 6))
    allowed = torch.zeros(N_TYPES, dtype=torch.bool)
    allowed[[3, 8]] = True
    settings = SamplerSettings(steps=3, allowed=allowed)
    start = Sample(torch.full((50, 6), MASK), torch.rand(50, 6, 3, generator=generator), torch.zeros(50, 6))
    drawn = euler(oracle, start, settings, generator).types
    assert set(drawn.flatten().tolist()) == {3, 8}


def test_contacts_and_packing_of_rocksalt():
    coords = torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]])
    primitive = 2.1 * torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])
    types = torch.tensor([[12, 8]])
    # MgO, a = 4.2 Angstrom: Mg-O 2.1, Cordero radii 1.41 + 0.66
    assert contacts(types, coords, primitive).item() == pytest.approx(2.1 / 2.07, abs=1e-3)
    spheres = 4 / 3 * np.pi * (1.41**3 + 0.66**3)
    assert packing(types, primitive).item() == pytest.approx(4.2**3 / 4 / spheres, rel=1e-3)
    limits = SanityLimits()
    assert is_sane(types, coords, primitive, limits).item()
    assert not is_sane(types, coords, 0.6 * primitive, limits).item()
    assert not is_sane(types, coords, 3.0 * primitive, limits).item()
    assert not is_sane(types, 0.1 * coords, primitive, limits).item()


def count(crystals: list[list[int]]):
    numbers = np.array([z for c in crystals for z in c])
    start = np.concatenate([[0], np.cumsum([len(c) for c in crystals])])
    blank = np.zeros((len(numbers), 3), dtype=np.float32)
    cells = np.tile(np.eye(3, dtype=np.float32), (len(crystals), 1, 1))
    unlabelled = np.full((len(crystals), len(LABELS)), np.nan, dtype=np.float32)
    return count_statistics(CrystalData(numbers, blank, cells, start, np.zeros(len(crystals), dtype=bool), unlabelled))


def test_stoichiometry_counts_patterns_by_anion_and_follows_the_condition():
    found = count([[3, 8], [3, 27, 8, 8], [26, 26, 8, 8, 8], [3, 3, 16], [26, 22], [26, 22, 22]])
    assert found.sizes.tolist() == [0, 0, 2, 2, 1, 1]
    patterns = [tuple(p for p in row if p) for row in found.patterns.tolist()]
    assert Counter(patterns) == Counter([(1, 1), (2, 1), (2, 1, 1), (3, 2)])
    allowed = torch.zeros(N_TYPES, dtype=torch.bool)
    allowed[[3, 26, 8]] = True
    weights = dict(zip(patterns, found.pattern_weights(allowed, frozenset({3}), True).tolist(), strict=True))
    assert weights == {(1, 1): 1.0, (2, 1): 0.0, (2, 1, 1): 1.0, (3, 2): 0.0}
    assert len(ANION_CLASSES) * 2 + 2 == found.classes.shape[1]


def test_an_element_scores_best_at_the_share_it_has_in_real_crystals():
    found = count([[3, 8, 8, 8, 8]] * 20 + [[26, 8]] * 2)
    score = found.share_score(torch.tensor([0.2, 0.8]))
    assert score[0, 3] > score[1, 3]
    assert score[1, 8] > score[0, 8]


def test_proportions_are_those_of_real_crystals(tiny):
    condition = Condition(allowed=ELECTRODE, n_atoms=(5, 5))
    batch, _ = replace_settings(tiny).sample(12, condition, np.random.default_rng(3))
    patterns = {tuple(sorted(c.composition.values())) for c in batch.to_crystals()}
    assert patterns == {(1, 1, 3)}


def replace_settings(generator: FlowGenerator) -> FlowGenerator:
    generator.settings = replace(generator.settings, tries=1)
    return generator


@needs_checkpoint
def test_the_shipped_flow_gives_the_samples_it_gave_when_it_was_published():
    condition = Condition(contents=({3: 4, 26: 4, 15: 4, 8: 16}, {3: 1, 27: 1, 8: 2}, {22: 2, 8: 4}))
    batch, _ = FlowGenerator().sample(3, condition, np.random.default_rng(7))
    crystals = batch.to_crystals()
    assert [c.volume_A3 for c in crystals] == pytest.approx([287.678, 36.948, 64.901], abs=0.01)
    seconds = [np.asarray(c.frac_coords)[1].tolist() for c in crystals]
    assert seconds == [
        pytest.approx(expected, abs=1e-3)
        for expected in ([0.5718, 0.6212, 0.4944], [0.8593, 0.4723, 0.0409], [0.0, 0.8294, 0.8873])
    ]
