from __future__ import annotations

import numpy as np
import pytest
import torch

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError, InputError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.sequences import load_sequences
from redoxa.generators.base import Condition, ShortfallError, Target
from redoxa.generators.contract import check_generator
from redoxa.generators.vae.checkpoint import load_vae
from redoxa.generators.vae.crystal_graph import graphs_of, joined
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.graph_encoder import GraphEncoder
from redoxa.generators.vae.latent import LatentSpace, goals_for, information_gap, main_plane, mutual_information
from redoxa.generators.vae.network import PROPERTIES, cyclical, kl_by_dimension, mmd
from redoxa.generators.vae.training import batch_of
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.sequence import DrawSettings

CPU = torch.device("cpu")
CESIUM_CHLORIDE = Crystal(numbers=(55, 17), frac_coords=((0, 0, 0), (0.5, 0.5, 0.5)), lattice_A=4.12 * np.eye(3))
SPINEL_LIKE = Crystal(
    numbers=(3, 22, 8, 8, 8),
    frac_coords=((0.02, 0, 0), (0.5, 0.47, 0.5), (0.5, 0.5, 0.04), (0.5, 0.03, 0.5), (0, 0.5, 0.5)),
    lattice_A=((3.8, 0.1, 0), (0.2, 4.0, 0), (0, 0.3, 4.2)),
)


@pytest.fixture(scope="module")
def space(tiny_vae) -> LatentSpace:
    return LatentSpace(load_vae(tiny_vae))


@pytest.fixture(scope="module")
def generator(tiny_vae) -> VaeGenerator:
    return VaeGenerator(tiny_vae)


def encoded(encoder: GraphEncoder, crystal: Crystal) -> torch.Tensor:
    with torch.no_grad():
        mean, _ = encoder(joined(graphs_of(CrystalBatch.from_crystals([crystal])), CPU))
    return mean


def test_edges_reach_about_twenty_neighbours_and_are_counted_by_hand():
    # Simple cubic: 6 neighbours at a, 12 at 1.414 a; those at 1.732 a lie beyond the reach of 1.7.
    cubic = Crystal(numbers=(84,), frac_coords=((0, 0, 0),), lattice_A=3.35 * np.eye(3))
    graph = graphs_of(CrystalBatch.from_crystals([cubic]))[0]
    assert graph.edge_index.shape == (2, 18)
    assert sorted({round(float(x), 3) for x in graph.length}) == [round(1 / 1.7, 3), round(2**0.5 / 1.7, 3)]
    salt = graphs_of(CrystalBatch.from_crystals([CESIUM_CHLORIDE]))[0]
    assert int((salt.edge_index[0] != salt.edge_index[1]).sum()) == 2 * 8


def test_the_encoder_does_not_see_axes_origin_order_or_size_of_atoms():
    torch.manual_seed(0)
    encoder = GraphEncoder(8).eval()
    base = encoded(encoder, SPINEL_LIKE)
    coords, cell = np.array(SPINEL_LIKE.frac_coords), np.array(SPINEL_LIKE.lattice_A)
    order = [4, 2, 0, 3, 1]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    other = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    moved = Crystal(
        numbers=tuple(SPINEL_LIKE.numbers[i] for i in order),
        frac_coords=((coords[order] + [0.3, 0.1, 0.7]) @ np.linalg.inv(other)).tolist(),
        lattice_A=(1.1 * other @ cell @ turn).tolist(),
    )
    assert torch.allclose(encoded(encoder, moved), base, atol=1e-4)
    pushed = coords.copy()
    pushed[0, 0] += 0.05
    assert not torch.allclose(
        encoded(encoder, Crystal(numbers=SPINEL_LIKE.numbers, frac_coords=pushed.tolist(), lattice_A=cell.tolist())),
        base,
        atol=1e-3,
    )


def test_the_divergence_is_that_of_two_normals():
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.2, -0.7]])
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert torch.allclose(kl_by_dimension(mean, log_variance), expected[0])


def test_the_discrepancy_is_none_between_equal_distributions_and_grows_with_a_shift():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(400, 6, generator=generator) for _ in range(2))
    values = [float(mmd(a, b + shift)) for shift in (0.0, 0.5, 1.0)]
    assert abs(values[0]) < 0.003
    assert values[0] < values[1] < values[2]
    # Two points a distance apart: mean of the kernels by hand, unbiased own terms of one pair each.
    x, y = torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]])
    cross = np.mean([np.exp(-1 / s) for s in (0.5, 1.0, 2.0)])
    assert float(mmd(x, y)) == pytest.approx(2 - 2 * cross, abs=1e-6)


def test_the_weight_of_the_divergence_rises_and_starts_again():
    assert [cyclical(step, 100) for step in (-30, 0, 25, 50, 99, 100, 125)] == [0, 0, 0.5, 1, 1, 0, 0.5]


def test_search_ends_inside_the_windows_and_near_the_data(space):
    goals = goals_for([Target("stability_discharge", 0.10, 0.12)], frozenset())
    starts = space.network.from_prior(12, torch.Generator().manual_seed(0))
    found = space.search(starts, goals)
    assert float(space.penalty(starts, goals).max()) > 0.0
    assert float(space.penalty(found, goals).max()) == 0.0
    values = space.properties(found)[:, PROPERTIES.index("hull_distance_eV_per_atom")]
    assert 0.10 <= float(values.min()) <= float(values.max()) <= 0.12
    assert float(space.whitened(found).square().mean()) < 2.0


def test_vectors_of_crystals_that_meet_a_wish_have_the_better_chance(space, tiny_sequences):
    data = load_sequences(tiny_sequences).crystals
    crystals = batch_of(data).to_crystals()
    latent = space.encode(crystals)
    for wish in (Wish(frozenset({3, 22, 8})), Wish(frozenset(range(1, 104)), frozenset({22}))):
        chances = space.chances(latent, wish).detach().numpy()
        meets = np.array([set(c.numbers) <= wish.allowed and wish.required <= set(c.numbers) for c in crystals])
        assert chances[meets].mean() > chances[~meets].mean() + 0.3
    assert float(space.chances(latent, Wish(frozenset({3}), groups=frozenset({1}))).max()) <= 0.0


def test_voltages_are_of_the_required_ion_and_other_targets_are_refused():
    window = [Target("average_voltage", 3.0)]
    assert PROPERTIES[goals_for(window, frozenset({3}))[0].head] == "voltage_Li_V"
    assert PROPERTIES[goals_for(window, frozenset({11}))[0].head] == "voltage_Na_V"
    assert goals_for(window, frozenset({3}))[0].high == np.inf
    with pytest.raises(GenerationError, match="max_delta_volume"):
        goals_for([Target("max_delta_volume", 0.0, 0.1)], frozenset())


def test_whitened_samples_of_the_prior_have_unit_covariance(space):
    drawn = space.whitened(space.network.from_prior(20_000, torch.Generator().manual_seed(0)))
    assert torch.allclose(torch.cov(drawn.T), torch.eye(drawn.shape[1]), atol=0.05)


def test_interpolation_begins_and_ends_at_the_crystals_and_stays_as_far_out(space):
    ends = space.network.from_prior(2, torch.Generator().manual_seed(1))
    path = space.interpolate(ends[0], ends[1], 5)
    assert torch.allclose(path[0], ends[0], atol=1e-4)
    assert torch.allclose(path[-1], ends[1], atol=1e-4)
    radii, limits = space.whitened(path).norm(dim=1), space.whitened(ends).norm(dim=1)
    assert float(radii.min()) > 0.6 * float(limits.min())


def test_the_nearest_neighbour_of_a_crystal_is_itself(space):
    library = space.encode([SPINEL_LIKE, CESIUM_CHLORIDE])
    distances, places = space.neighbours(library, library, 2)
    assert places.tolist() == [[0, 1], [1, 0]]
    assert distances[:, 0].tolist() == pytest.approx([0.0, 0.0], abs=1e-3)


def test_a_crystal_of_the_training_data_is_less_of_an_anomaly_than_strange_ones(space):
    salt = Crystal(numbers=(3, 8), frac_coords=((0, 0, 0), (0.5, 0.5, 0.5)), lattice_A=(4.0 * 0.66) * np.eye(3))
    strange = Crystal(
        numbers=(92, 54, 79, 1),
        frac_coords=((0, 0, 0), (0.41, 0.13, 0.32), (0.74, 0.55, 0.71), (0.2, 0.7, 0.5)),
        lattice_A=((4, 0.3, 0), (0, 7, 1), (0.5, 0, 5)),
    )
    known, odd = space.anomalies([salt, strange])
    assert known.score < odd.score
    assert odd.nats > 3.0


def test_information_of_a_dimension_that_is_the_property():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(4000, 3))
    values = np.stack([np.exp(latent[:, 1]), rng.normal(size=4000)], axis=1)
    values[:1000, 0] = np.nan
    information = mutual_information(latent, values)
    assert information[1, 0] == pytest.approx(1.0, abs=0.01)
    assert information[0, 0] < 0.05
    gap = information_gap(information)
    assert gap[0] > 0.9
    assert gap[1] < 0.02


def test_the_map_shows_the_two_widest_directions():
    rng = np.random.default_rng(0)
    latent = torch.from_numpy(rng.normal(size=(500, 5)) * [1, 5, 0.1, 3, 0.2]).float()
    plane = main_plane(latent + 7.0)
    shown = plane(latent + 7.0)
    assert shown.shape == (500, 2)
    assert shown.std(0).tolist() == pytest.approx([5.0, 3.0], rel=0.1)
    assert shown.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=1e-4)
    assert float(plane.axes[0].abs().argmax()) == 1
    assert float(plane.axes[0, 1]) > 0


CONDITIONS = {
    "elements": Condition(frozenset({3, 8, 22}), frozenset({3}), n_atoms=(2, 10)),
    "contents": Condition(contents=({3: 1, 22: 1, 8: 3}, {3: 2, 8: 2}, {3: 11, 8: 11})),
    "groups": Condition(groups=frozenset({221, 225})),
    "target": Condition(required=frozenset({3}), targets=(Target("stability_discharge", 0.05, 0.12),)),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_samples_satisfy_their_condition(generator, name):
    steps: list[tuple[int, int]] = []
    check_generator(generator, CONDITIONS[name], n=3)
    generator.sample(3, CONDITIONS[name], np.random.default_rng(1), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (3, 3)


def test_what_was_found_outlives_what_was_not(tiny_vae, monkeypatch):
    monkeypatch.setattr("redoxa.generators.vae.generator.FRESH_STARTS", 1)
    wanted = Condition(frozenset({3, 8, 22}), frozenset({3}), n_atoms=(2, 10), charge_neutral=True)
    hasty = VaeGenerator(tiny_vae, DrawSettings(rounds=1, geometries=1))
    with pytest.raises(ShortfallError, match=r"\d+ of 80 crystals had no sane geometry or were refused") as caught:
        hasty.sample(80, wanted, np.random.default_rng(0))
    assert 0 < len(caught.value.found) < 80
    assert all(3 in one.crystal.numbers for one in caught.value.found)


def test_what_fails_begins_again_with_other_vectors(generator, monkeypatch):
    attempts, asked = generator.model.attempts, []

    def worse(wishes, rng, **given):
        asked.append(len(wishes))
        made = attempts(wishes, rng, **given)
        return made if len(asked) > 1 else [*made[:1], *[None] * (len(made) - 1)]

    monkeypatch.setattr(generator.model, "attempts", worse)
    batch, _ = generator.sample(4, Condition(frozenset({3, 8, 22})), np.random.default_rng(0))
    assert (len(batch), asked) == (4, [4, 3])


def test_a_content_without_a_candidate_is_left_out(generator, monkeypatch):
    attempts = generator.model.attempts

    def without_the_first(wishes, rng, **given):
        lost = wishes[0]
        return [None if wish is lost else one for wish, one in zip(wishes, attempts(wishes, rng, **given), strict=True)]

    monkeypatch.setattr(generator.model, "attempts", without_the_first)
    aim = (Target("stability_discharge", 0.05, 0.12),)
    with pytest.raises(ShortfallError) as caught:
        generator.sample(
            2, Condition(contents=({3: 2, 8: 1}, {3: 1, 22: 1, 8: 3}), targets=aim), np.random.default_rng(0)
        )
    assert [sorted(one.crystal.numbers) for one in caught.value.found] == [[3, 8, 8, 8, 22]]


def test_what_cannot_be_met_is_said(generator):
    for condition, said in (
        (Condition(frozenset({3, 8}), frozenset({11})), "Na"),
        (Condition(contents=({92: 1, 8: 2},)), "U"),
        (Condition(frozenset({92})), "allowed"),
    ):
        with pytest.raises(GenerationError, match=said):
            generator.sample(1, condition, np.random.default_rng(0))


def test_another_file_is_not_a_vae(tiny_wyckoff):
    with pytest.raises(InputError, match="format"):
        load_vae(tiny_wyckoff)


def test_the_file_knows_its_latent_space_and_the_scale_of_its_labels(tiny_vae, tiny_sequences):
    network, data = load_vae(tiny_vae), load_sequences(tiny_sequences)
    head = PROPERTIES.index("hull_distance_eV_per_atom")
    known = data.crystals.labels[~data.crystals.held_out, 1]
    assert float(network.property_mean[head]) == pytest.approx(float(known.mean()), rel=1e-4)
    assert float(network.property_spread[head]) == pytest.approx(float(known.std()), rel=1e-4)
    assert float(network.latent_spread.tril().sub(network.latent_spread).abs().max()) == 0.0
    assert float(network.latent_spread.diagonal().min()) > 0.0
    assert float(network.usual_nats[1]) > 0.0


def test_heads_learn_the_labels(space, tiny_sequences):
    data = load_sequences(tiny_sequences)
    kept = data.crystals.subset(~data.crystals.held_out)
    said = space.properties(space.encode(batch_of(kept).to_crystals())).detach()
    true = torch.from_numpy(kept.labels[:, 1])
    error = said[:, PROPERTIES.index("hull_distance_eV_per_atom")] - true
    assert float(error.square().mean().sqrt()) < 0.5 * float(true.std())
