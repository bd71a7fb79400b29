"""The flow of the free numbers: symmetry holds, nothing depends on how a crystal is written, and it can learn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import distance, fingerprint, spacegroup
from redoxa.data.symmetry.normaliser import equal_forms
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates, template_of, write_templates
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.exchange.proposals import element_volumes
from redoxa.generators.geometry.flow import GeometryConfig, GeometryFlow, GeometryNetwork, load_geometry, save_geometry
from redoxa.generators.geometry.free_space import as_forms, as_tensors, place, project, strains
from redoxa.generators.geometry.pairs import aligned
from redoxa.generators.geometry.training import GeometryTask, prepare_pairs
from redoxa.generators.training.loop import TrainConfig, train

SMALL = GeometryConfig(hidden=16, edge=16, layers=2, radials=8)

RUTILE = SymmetricCrystal(136, (Orbit("a", 22, ()), Orbit("f", 8, (0.305,))), (4.59, 2.96))


@pytest.fixture(scope="module")
def table() -> TemplateTable:
    return load_templates()


@pytest.fixture(scope="module")
def forms(table: TemplateTable) -> list[SymmetricCrystal]:
    chosen = np.random.default_rng(3).choice(len(table), 40, replace=False)
    return [table[int(i)].form for i in chosen if table.groups[i] > 1]


@pytest.fixture(scope="module")
def stirred() -> GeometryFlow:
    """A flow that is not trained, and moves everything a little."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GeometryNetwork(SMALL)
        for parameter in (*network.pulls.parameters(), *network.size.parameters()):
            torch.nn.init.normal_(parameter, std=0.1)
    return GeometryFlow(network.eval())


def test_a_batch_is_what_each_crystal_is_by_itself(forms: list[SymmetricCrystal]) -> None:
    for form in forms:
        frame, state = as_tensors([form])
        coords, lattice = place(frame, state)
        alone = form.to_crystal()
        gap = coords[0].numpy() - np.array(alone.frac_coords)
        assert np.abs(gap - np.round(gap)).max() < 1e-4
        assert lattice[0].numpy() == pytest.approx(np.array(alone.lattice_A), abs=1e-4)
        assert tuple(frame.types[0].tolist()) == alone.numbers


def test_a_move_along_free_numbers_is_projected_on_itself(forms: list[SymmetricCrystal]) -> None:
    noise = torch.Generator().manual_seed(0)
    for form in forms:
        frame, state = as_tensors([form])
        free = torch.tensor([[float(k < len(o.free)) for k in range(3)] for o in form.orbits])
        u = 0.01 * free * torch.randn(state.u.shape, generator=noise)
        cell = torch.einsum("bkc,bc->bk", frame.directions, 0.01 * torch.randn(1, 6, generator=noise))
        moves = frame.moves(u) @ place(frame, state)[1]
        found = project(frame, state, moves, torch.einsum("bk,bkij->bij", cell, strains(state.cell)))
        torch.testing.assert_close(found.u, u, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.cell, cell, atol=1e-4, rtol=0)


def test_symmetry_holds_whatever_the_network_says(stirred: GeometryFlow, forms: list[SymmetricCrystal]) -> None:
    moved = 0
    for before, after in zip(forms, stirred.refine(forms), strict=True):
        assert (after.group, [(o.letter, o.number) for o in after.orbits]) == (
            before.group,
            [(o.letter, o.number) for o in before.orbits],
        )
        assert spacegroup(after.to_crystal(), 0.001) >= before.group
        moved += any(
            x != y
            for a, b in zip(after.orbits, before.orbits, strict=True)
            for x, y in zip(a.free, b.free, strict=True)
        )
    assert moved > len(forms) / 2


def test_equal_crystals_flow_to_equal_crystals(stirred: GeometryFlow, forms: list[SymmetricCrystal]) -> None:
    rng, compared = np.random.default_rng(0), 0
    for form in forms[:25]:
        for other in equal_forms(form, 2, rng):
            one, two = (fingerprint(f.to_crystal()) for f in stirred.refine([form, other]))
            assert distance(one, two) < 0.01
            compared += 1
    assert compared > 20


def test_the_result_does_not_depend_on_the_company(stirred: GeometryFlow, forms: list[SymmetricCrystal]) -> None:
    together = stirred.refine(forms)
    for form, found in zip(forms, together, strict=True):
        (alone,) = stirred.refine([form])
        assert alone.lengths_A == pytest.approx(found.lengths_A, abs=1e-4)
        for a, b in zip(alone.orbits, found.orbits, strict=True):
            assert np.abs(np.sin(np.pi * (np.array(a.free) - np.array(b.free)))).max(initial=0.0) < 1e-4


def test_nothing_moves_before_training(forms: list[SymmetricCrystal]) -> None:
    for before, after in zip(forms, GeometryFlow(GeometryNetwork(SMALL).eval()).refine(forms), strict=True):
        assert after.lengths_A == pytest.approx(before.lengths_A, abs=1e-4)


def test_a_crystal_in_another_setting_is_found_again(table: TemplateTable) -> None:
    rng, volumes = np.random.default_rng(1), element_volumes(table)
    for index in rng.choice(len(table), 25, replace=False).tolist():
        template = table[index]
        for other in equal_forms(template.form, 1, rng):
            pair = aligned(template, template_of(other), volumes)
            assert pair is not None
            assert pair.move_A < 0.01
            assert pair.start_cell == pytest.approx(pair.end_cell, abs=1e-3)


def test_a_pair_goes_the_short_way() -> None:
    start, volumes = template_of(RUTILE), np.full(104, 12.0)
    far = replace(RUTILE, orbits=(Orbit("a", 23, ()), Orbit("f", 9, (0.79,))), lengths_A=(4.5, 3.1))
    pair = aligned(start, template_of(far), volumes)
    assert pair is not None
    assert pair.numbers == (23, 9)
    # 0.79 is 0.21 at another site of the orbit; in the setting that is shifted by half a cell, it is 0.29.
    assert pair.end[1, 0] == pytest.approx(0.29) or pair.end[1, 0] == pytest.approx(0.21)


def _toy(folder: Path) -> TemplateTable:
    """Rutiles whose free coordinate and axial ratio follow from the cation."""
    templates = []
    for z in range(21, 31):
        for anion in (8, 9, 16, 17):
            x, ratio = 0.28 + 0.004 * (z - 20), 0.60 + 0.01 * (z - 20)
            form = SymmetricCrystal(136, (Orbit("a", z, ()), Orbit("f", anion, (x,))), (4.6, 4.6 * ratio))
            templates.append(template_of(form))
    write_templates(folder / "toy.parquet", templates)
    return load_templates(folder / "toy.parquet")


def test_it_learns_a_law_and_keeps_to_its_seed(tmp_path: Path) -> None:
    prepare_pairs(_toy(tmp_path), tmp_path / "pairs.safetensors", holdout=4)
    task = partial(GeometryTask, tmp_path / "pairs.safetensors", SMALL)
    lines: list[dict[str, float]] = []
    config = TrainConfig(
        tmp_path / "a", steps=150, decay_steps=50, warmup_steps=5, rate=5e-3, ema=0.9, save_every=150, log_every=150
    )
    one = train(task, config, lines.append)
    assert lines[-1]["held_out_move_A"] < 0.75 * lines[-1]["held_out_move_before_A"]
    assert lines[-1]["held_out_strain"] < 0.9 * lines[-1]["held_out_strain_before"]
    short = replace(config, steps=10, save_every=10, log_every=10)
    two, three = (read_tensors(train(task, replace(short, out=tmp_path / name)))[0] for name in "bc")
    assert two.keys() == three.keys()
    assert all(torch.equal(two[name], three[name]) for name in two)  # the file's header comes in any order
    assert GeometryFlow(load_geometry(one)).refine([RUTILE]) == GeometryFlow(load_geometry(one)).refine([RUTILE])


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    save_geometry(tmp_path / "a.safetensors", GeometryNetwork(SMALL))
    assert load_geometry(tmp_path / "a.safetensors").config == SMALL
    with pytest.raises(InputError, match="format"):
        load_geometry(Path("data/assets/orbits.safetensors"))


def test_forms_come_back(forms: list[SymmetricCrystal]) -> None:
    for form in forms:
        (back,) = as_forms([form], as_tensors([form])[1])
        assert distance(fingerprint(back.to_crystal()), fingerprint(form.to_crystal())) < 1e-3
