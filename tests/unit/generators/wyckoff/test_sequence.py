from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError, InputError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.symmetry.positions import position_table
from redoxa.data.symmetry.sequences import load_sequences
from redoxa.data.symmetry.skeletons import template_of
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.generators.sanity import SanityLimits
from redoxa.generators.wyckoff.checkpoint import load_sequence_network
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.network import SequenceNetwork
from redoxa.generators.wyckoff.objective import (
    SequenceBatch,
    Sequences,
    batch_of_form,
    context_for,
    fit_buffers,
    log_likelihood,
)
from redoxa.generators.wyckoff.sequence import DrawSettings, WyckoffModel, sane_crystal
from redoxa.generators.wyckoff.training import WyckoffTask
from tests.unit.generators.conftest import TINY_SEQUENCE

ROOT = Path(__file__).parents[4]
RUTILE = SymmetricCrystal(136, (Orbit("a", 22, ()), Orbit("f", 8, (0.305,))), (4.594, 2.959))
OLIVINE = SymmetricCrystal(
    62,
    (
        Orbit("a", 3, ()),
        Orbit("c", 26, (0.2822, 0.9747)),
        Orbit("c", 15, (0.0948, 0.4182)),
        Orbit("c", 8, (0.0968, 0.7428)),
        Orbit("c", 8, (0.4571, 0.2060)),
        Orbit("d", 8, (0.1656, 0.0465, 0.2848)),
    ),
    (10.33, 6.01, 4.69),
)


@pytest.fixture(scope="module")
def network() -> SequenceNetwork:
    torch.manual_seed(0)
    return SequenceNetwork(TINY_SEQUENCE, position_table()).eval()


@pytest.fixture(scope="module")
def model(tiny_wyckoff) -> WyckoffModel:
    return WyckoffModel.load(tiny_wyckoff)


def joined(a: SequenceBatch, b: SequenceBatch) -> SequenceBatch:
    """Two crystals as one padded batch."""
    most = max(a.numbers.shape[1], b.numbers.shape[1])

    def padded(x: torch.Tensor, orbits: bool) -> torch.Tensor:
        return torch.cat([x, x.new_zeros(1, most - x.shape[1], *x.shape[2:])], dim=1) if orbits else x

    return SequenceBatch(
        *(
            torch.cat([padded(getattr(one, name), name in ("positions", "numbers", "free")) for one in (a, b)])
            for name in SequenceBatch.__dataclass_fields__
        )
    )


@pytest.mark.parametrize("told", [False, True])
def test_the_likelihood_of_a_crystal_does_not_depend_on_its_batch(network, told):
    table = position_table()
    alone = [batch_of_form(form, table) for form in (RUTILE, OLIVINE)]
    together = joined(*alone)
    with torch.no_grad():
        both = log_likelihood(network, together, context_for(together, torch.tensor([told, told])))
        each = [log_likelihood(network, b, context_for(b, torch.tensor([told]))) for b in alone]
    for name, value in both.items():
        assert value.tolist() == pytest.approx([float(one[name][0]) for one in each], abs=1e-4), name


def test_what_comes_later_does_not_change_what_came_before(network):
    table = position_table()
    changed = replace(OLIVINE, orbits=(*OLIVINE.orbits[:5], replace(OLIVINE.orbits[5], number=9)))
    with torch.no_grad():
        hidden = []
        for form in (OLIVINE, changed):
            batch = batch_of_form(form, table)
            given = context_for(batch, torch.tensor([False]))
            places = network.places()
            x = network.discrete_inputs(places, batch.groups, (batch.positions, batch.numbers), given)
            hidden.append(network.trunk(x, network.context(given), torch.ones(x.shape[:2], dtype=torch.bool)))
    assert torch.allclose(hidden[0][:, :7], hidden[1][:, :7], atol=1e-5)
    assert not torch.allclose(hidden[0][:, 7], hidden[1][:, 7], atol=1e-3)


def test_probabilities_of_all_positions_of_a_group_sum_to_one(network):
    groups = torch.tensor([225, 1])
    with torch.no_grad():
        h = torch.randn(2, 1, TINY_SEQUENCE.width)
        logits = network.position_logits(h, network.places(), groups, torch.tensor([[8], [8]]))
    shares = logits.softmax(-1)
    assert (shares[0, 0] > 0).sum() == 12
    assert (shares[1, 0] > 0).sum() == 1
    assert shares.sum(-1).flatten().tolist() == pytest.approx([1.0, 1.0])


def test_cells_are_measured_from_the_volume_of_their_atoms(network):
    cells, groups = torch.tensor([[1.4, 2.6, 0.0, 0.0, 0.0, 0.0]]), torch.tensor([166])
    scaled = network.scaled_cells(cells, groups, torch.tensor([60.0]))
    assert scaled[0, 0] == pytest.approx((1.4 - np.log(60.0 * 3) / 3) / 0.3, abs=1e-5)
    assert torch.allclose(network.unscaled_cells(scaled, groups, torch.tensor([60.0])), cells, atol=1e-5)


def test_random_forms_and_orders_are_the_same_crystals(tiny_sequences):
    sequences = Sequences(load_sequences(tiny_sequences))
    rows = torch.arange(20)
    generator = torch.Generator().manual_seed(0)
    canonical = sequences.take(rows, torch.zeros(20, dtype=torch.bool), generator)
    drawn = sequences.take(rows, torch.ones(20, dtype=torch.bool), generator)
    assert torch.equal(canonical.content, drawn.content)
    assert torch.equal(canonical.numbers.sort(1).values, drawn.numbers.sort(1).values)
    assert not torch.equal(canonical.positions, drawn.positions)
    again = sequences.take(rows, torch.zeros(20, dtype=torch.bool), generator)
    assert torch.equal(again.positions, canonical.positions)


def test_volumes_of_elements_are_fitted(tiny_sequences):
    data = load_sequences(tiny_sequences)
    network = SequenceNetwork(TINY_SEQUENCE, data.table)
    fit_buffers(network, data, ~data.crystals.held_out)
    assert network.volumes[16] > network.volumes[8] > 1.0
    assert network.known.nonzero().flatten().tolist() == [3, 8, 9, 11, 12, 16, 22, 23, 25, 26, 28]


def test_a_trained_model_finds_the_structure_of_a_perovskite(model):
    found = model.propose({3: 1, 22: 1, 8: 3}, 20, np.random.default_rng(0))
    best = found[0]
    assert best.form.group == 221
    assert sorted(orbit.letter for orbit in best.form.orbits) in (["a", "b", "c"], ["a", "b", "d"])
    assert best.form.lengths_A[0] == pytest.approx(3.9, rel=0.08)
    assert [one.log_probability for one in found] == sorted((o.log_probability for o in found), reverse=True)
    keys = {repr(template_of(one.form).decorated([o.number for o in one.form.orbits])) for one in found}
    assert len(keys) == len(found)


def test_crystals_meet_their_wishes_and_follow_the_seed(model):
    known = model.sampler.known
    wishes = [
        Wish(frozenset({3, 8, 22}), frozenset({3}), atoms=(2, 8)),
        Wish(known, content={3: 2, 8: 2}),
        Wish(known, groups=frozenset({225})),
        Wish(frozenset({11, 8, 26}), atoms=(2, 10), neutral=True),
    ]
    drawn = model.crystals(wishes, np.random.default_rng(3))
    assert drawn == model.crystals(wishes, np.random.default_rng(3))
    assert 3 in drawn[0].crystal.numbers
    assert set(drawn[0].crystal.numbers) <= {3, 8, 22}
    assert 2 <= drawn[0].crystal.n_atoms <= 8
    assert Counter(drawn[1].crystal.numbers) == {3: 2, 8: 2}
    assert spacegroup(drawn[2].crystal, 0.01) in range(225, 231)
    for one in drawn:
        assert sane_crystal(one.form, SanityLimits()) == one.crystal


def test_given_orbits_are_kept_and_gone_on_from(model):
    start = SymmetricCrystal(221, (Orbit("a", 3, ()), Orbit("b", 22, ())), (4.0,))
    prefix = model.prefix(start)
    for one in model.crystals([Wish(model.sampler.known, atoms=(5, 8))] * 5, np.random.default_rng(0), prefix=prefix):
        assert one.form.group == 221
        assert [(orbit.letter, orbit.number) for orbit in one.form.orbits[:2]] == [("a", 3), ("b", 22)]
        assert 5 <= one.crystal.n_atoms <= 8


def test_a_geometry_is_to_be_sane_before_and_after_it_is_refined(model):
    def larger(forms):
        return [replace(form, lengths_A=tuple(10 * x for x in form.lengths_A)) for form in forms]

    wishes = [Wish(model.sampler.known, content={3: 2, 8: 1})] * 2
    thin = SanityLimits(packing=(0.0, 1e6))
    settings = replace(model.settings, limits=thin)
    grown = WyckoffModel(model.sampler.network, settings, larger).crystals(wishes, np.random.default_rng(0))
    assert all(one.crystal.volume_A3 > 1000 for one in grown)
    with pytest.raises(GenerationError, match="no sane geometry"):
        WyckoffModel(model.sampler.network, DrawSettings(rounds=1), larger).crystals(wishes, np.random.default_rng(0))


def test_impossible_wishes_are_refused(model):
    with pytest.raises(GenerationError, match="no space group"):
        model.crystals([Wish(frozenset({3}), atoms=(2, 3), groups=frozenset({62}))], np.random.default_rng(0))
    stubborn = WyckoffModel(model.sampler.network, DrawSettings(rounds=2))
    with pytest.raises(GenerationError, match="2 rounds"):
        stubborn.crystals([Wish(frozenset({3}))], np.random.default_rng(0), accept=lambda crystal: False)


def test_other_files_are_not_taken_for_a_network(tiny_checkpoint, tmp_path):
    with pytest.raises(InputError, match="format"):
        load_sequence_network(tiny_checkpoint)
    with pytest.raises(InputError, match=r"none\.safetensors"):
        load_sequence_network(tmp_path / "none.safetensors")


def test_a_network_may_begin_with_the_weights_of_another(tiny_sequences, tiny_wyckoff):
    begun = WyckoffTask(tiny_sequences, TINY_SEQUENCE, start=tiny_wyckoff).network()
    given = load_sequence_network(tiny_wyckoff).state_dict()
    assert all(torch.equal(value, given[name]) for name, value in begun.named_parameters())
    with pytest.raises(InputError, match="another size"):
        WyckoffTask(tiny_sequences, replace(TINY_SEQUENCE, width=16), start=tiny_wyckoff).network()


def test_impossible_angles_and_coinciding_sites_are_no_crystals():
    flat = SymmetricCrystal(1, (Orbit("a", 3, (0.0, 0.0, 0.0)),), (3.0, 3.0, 3.0), (30.0, 30.0, 90.0))
    assert sane_crystal(flat, SanityLimits()) is None
    twice = SymmetricCrystal(225, (Orbit("a", 3, ()), Orbit("a", 8, ())), (4.0,))
    assert sane_crystal(twice, SanityLimits()) is None
    assert sane_crystal(RUTILE, SanityLimits()) is not None


def test_training_needs_no_chemistry_packages(tiny_sequences, tmp_path):
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'pymatgen', 'ase', 'prefect', 'pydantic', 'chgnet', 'spglib', 'sqlalchemy', 'scipy', 'torch_geometric'}}:
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Block())
from functools import partial
from pathlib import Path
from redoxa.generators.training.loop import TrainConfig, train
from redoxa.generators.wyckoff.network import SequenceConfig
from redoxa.generators.wyckoff.training import WyckoffTask
task = partial(WyckoffTask, Path({str(tiny_sequences)!r}), SequenceConfig(width=8, layers=1, heads=1, components=2, own=2))
train(task, TrainConfig(Path({str(tmp_path)!r}), steps=2, save_every=2))
print('trained')
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "trained", done.stderr
