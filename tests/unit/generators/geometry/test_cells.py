"""Densities of unit cells: they are exact, draws keep the group, learn what rutile looks like, and refuse the unknown."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from redoxa.data.errors import InputError
from redoxa.data.symmetry.cells import CellData, load_cells, prepare_cells, shape_of
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal, cell_parameters
from redoxa.data.symmetry.wyckoff import centring
from redoxa.data.tables.datasets import prepare, reduce_cell
from redoxa.data.tables.formulas import prepare_formulas
from redoxa.generators.geometry.cells import (
    CellConfig,
    CellModel,
    CellNetwork,
    cell_of_shape,
    load_cells_network,
    save_cells_network,
    snapped,
)
from redoxa.generators.geometry.cells_training import CellsTask
from redoxa.generators.training.loop import TrainConfig, train

SMALL = CellConfig(steps=1, components=5, hidden=24, context=24, embedding=8)

RUTILE = 136
TI, O, FE, PU = 22, 8, 26, 94


def row_of(form: SymmetricCrystal) -> dict[str, object]:
    """Of a table of crystals."""
    crystal = form.to_crystal()
    return {
        "atomic_numbers": list(crystal.numbers),
        "frac_coords": [x for row in crystal.frac_coords for x in row],
        "cell": [x for row in crystal.lattice_A for x in row],
    }


@pytest.fixture(scope="module")
def forms() -> list[SymmetricCrystal]:
    """The rutiles among the templates that ship, and other small crystals; none of titania or with plutonium."""
    table, chosen = load_templates(), np.random.default_rng(0)
    small = np.flatnonzero(table.compositions.sum(1) <= 12)
    rutiles = [i for i in small if table.groups[i] == RUTILE and table[int(i)].form.orbits[0].letter == "a"]
    others = chosen.permutation(small)[:150]
    found = [table[int(i)] for i in (*rutiles, *others)]
    return [each.form for each in found if set(each.composition) != {TI, O} and PU not in each.composition]


@pytest.fixture(scope="module")
def data(forms: list[SymmetricCrystal], tmp_path_factory: pytest.TempPathFactory) -> CellData:
    """These crystals, prepared."""
    folder = tmp_path_factory.mktemp("cells")
    pd.DataFrame([row_of(form) for form in forms]).to_parquet(folder / "crystals.parquet")
    return prepare_cells([folder / "crystals.parquet"], folder / "cells.safetensors")


@pytest.fixture(scope="module")
def model(data: CellData, tmp_path_factory: pytest.TempPathFactory) -> CellModel:
    """A small network after some steps."""
    config = TrainConfig(
        tmp_path_factory.mktemp("run"), steps=300, decay_steps=100, warmup_steps=10, rate=1e-2, ema=0.95,
        save_every=300, device="cpu",
    )  # fmt: skip
    return CellModel.load(train(partial(CellsTask, data, SMALL), config))


def content_of(*contents: dict[int, int]) -> np.ndarray:
    """Rows by atomic number."""
    found = np.zeros((len(contents), 104))
    for row, content in zip(found, contents, strict=True):
        for z, n in content.items():
            row[z] = n
    return found


def test_crystals_give_their_group_with_both_cells(data: CellData, forms: list[SymmetricCrystal]) -> None:
    assert len(data) == len(forms)
    assert (data.groups == [form.group for form in forms]).mean() > 0.98  # few templates lie near a higher group
    for i, form in enumerate(forms):
        if data.groups[i] != form.group:
            continue
        volume = abs(np.linalg.det(form.conventional_lattice_A)) / centring(form.group)
        assert data.volumes_A3[i] == pytest.approx(volume, rel=1e-4)
        reduced = reduce_cell(np.array(form.to_crystal().lattice_A), np.zeros((0, 3)))[0]
        assert data.reduced[i] == pytest.approx(shape_of(reduced), abs=1e-4)
        assert np.isfinite(data.conventional[i]).all()
        assert data.conventional[i] == pytest.approx(snapped(form.group, data.conventional[i]), abs=1e-6)


def test_a_table_without_positions_gives_reduced_cells_alone(forms: list[SymmetricCrystal], tmp_path: Path) -> None:
    rows = pd.DataFrame([row_of(form) for form in forms[:20]])
    rows.drop(columns="frac_coords").to_parquet(tmp_path / "cells.parquet")
    rows.to_parquet(tmp_path / "crystals.parquet")
    both = prepare_cells([tmp_path / "cells.parquet", tmp_path / "crystals.parquet"], tmp_path / "both.safetensors")
    assert both.reduced[:20] == pytest.approx(both.reduced[20:])
    assert (both.groups[:20] == 0).all()
    assert np.isnan(both.conventional[:20]).all()
    assert (both.held_out[:20] == both.held_out[20:]).all()  # by formula, not by row
    assert 0 < both.held_out.sum() < 20
    again = load_cells(tmp_path / "both.safetensors")
    np.testing.assert_array_equal(again.conventional, both.conventional)
    rows[["atomic_numbers"]].to_parquet(tmp_path / "formulas.parquet")
    with pytest.raises(InputError, match="lacks the columns cell"):
        prepare_cells([tmp_path / "formulas.parquet"], tmp_path / "none.safetensors")


def test_what_other_networks_hold_out_of_the_same_tables_is_held_out(
    forms: list[SymmetricCrystal], tmp_path: Path
) -> None:
    tables = [tmp_path / "cells.parquet", tmp_path / "crystals.parquet"]
    pd.DataFrame([row_of(form) for form in forms[60:]]).drop(columns="frac_coords").to_parquet(tables[0])
    pd.DataFrame([row_of(form) for form in forms[:90]]).to_parquet(tables[1])
    found = prepare_cells(tables, tmp_path / "prepared.safetensors")
    hidden = {tuple(row) for row in (found.content // gcd(found.content))[found.held_out].tolist()}
    crystals = prepare(tables[1], tmp_path / "data.safetensors")
    of_crystals = np.stack([np.bincount(numbers, minlength=104) for numbers, _, _ in crystals])
    of_formulas = prepare_formulas(tables, tmp_path / "formulas.safetensors")
    others = {tuple(row) for row in (of_crystals // gcd(of_crystals))[crystals.held_out].tolist()}
    formulas = [each for each, held in zip(of_formulas, of_formulas.held_out, strict=True) if held]
    others |= {tuple(row) for row in content_of(*formulas).astype(int).tolist()}
    assert hidden == others


def gcd(content: np.ndarray) -> np.ndarray:
    """Formula units of each row, as a column."""
    return np.gcd.reduce(content, axis=1)[:, None]


@pytest.mark.parametrize("kind", [("maf", 2, 4), ("glow", 2, 4), ("maf", 0, 4), ("glow", 2, 0)])
def test_densities_of_every_kind_add_up_to_one(kind: tuple[str, int, int]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CellNetwork(CellConfig(kind[0], kind[1], kind[2], 16, 8, 4))  # type: ignore[arg-type]
    noise = torch.Generator().manual_seed(1)
    for parameter in network.flow.parameters():
        parameter.data += 0.03 * torch.randn(parameter.shape, generator=noise)
    network.scale.copy_(torch.linspace(0.1, 0.6, 6))
    network.offset.copy_(torch.linspace(-1.0, 1.0, 6))
    content, groups = torch.from_numpy(content_of({TI: 1, O: 2})).float(), torch.tensor([RUTILE])
    with torch.inference_mode():
        many = 40_000
        drawn = network.sample(content.expand(many, -1), groups.expand(many), noise)
        centre, wide = drawn.mean(0), 1.3 * drawn.std(0)
        tried = centre + wide * torch.randn(many, 6, generator=noise)
        of_trial = torch.distributions.Normal(centre, wide).log_prob(tried).sum(1)
        ratio = network.log_density(tried, content.expand(many, -1), groups.expand(many)) - of_trial
    assert float(ratio.exp().mean()) == pytest.approx(1.0, abs=0.05)


def test_a_stated_density_is_that_of_the_flow_at_the_numbers_of_the_cell(model: CellModel, data: CellData) -> None:
    cells = np.array([np.diag([4.59, 4.59, 2.96])])
    content = content_of({TI: 2, O: 4})
    own = float(model.network.volumes[TI] * 2 + model.network.volumes[O] * 4)
    numbers = [math.log(4.59**2 * 2.96 / own), 0.0, math.log(2.96 / 4.59), 0.0, 0.0, 0.0]
    given = torch.from_numpy(content).float(), torch.tensor([RUTILE])
    with torch.inference_mode():
        expected = float(model.network.log_density(torch.tensor([numbers]), *given))
    assert model.log_density(cells, content, [RUTILE])[0] == pytest.approx(expected, abs=1e-3)
    swollen = model.log_density(1.5 * cells, content, [RUTILE])[0]
    assert swollen < expected - 5


def test_a_rutile_that_was_never_seen_gets_a_rutiles_cell(model: CellModel) -> None:
    generator = torch.Generator().manual_seed(0)
    content = np.repeat(content_of({TI: 2, O: 4}), 200, axis=0)
    drawn = model.sample(content, [RUTILE] * 200, generator)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 3:] == 90.0).all()
    assert np.median(drawn[:, 2] / drawn[:, 0]) == pytest.approx(2.96 / 4.59, abs=0.06)
    assert np.median(drawn[:, 0] ** 2 * drawn[:, 2]) == pytest.approx(4.59**2 * 2.96, rel=0.25)
    surer = model.sample(content, [RUTILE] * 200, generator, temperature=0.5)
    assert model.log_density(as_cells(surer), content, [RUTILE] * 200).mean() > (
        model.log_density(as_cells(drawn), content, [RUTILE] * 200).mean()
    )


def as_cells(parameters: np.ndarray) -> np.ndarray:
    """Row vectors of cells with right angles."""
    return np.stack([np.diag(row[:3]) for row in parameters])


@pytest.mark.parametrize(("group", "free"), [(1, 6), (14, 4), (62, 3), (136, 2), (166, 2), (194, 2), (225, 1)])
def test_draws_are_exactly_of_their_group_and_volume(model: CellModel, group: int, free: int) -> None:
    drawn = model.sample(content_of({FE: 2, O: 3}), [group], torch.Generator().manual_seed(2))[0]
    lengths = [*drawn[:3]]
    kept = {1: [*drawn], 14: [*lengths, drawn[4]], 62: lengths, 225: lengths[:1]}.get(group, [lengths[0], lengths[2]])
    assert len(kept) == free
    assert cell_parameters(group, np.array(kept)) == pytest.approx(drawn)


def test_shapes_that_no_cell_has_are_none() -> None:
    assert np.isnan(cell_of_shape(np.array([0.0, 0.0, 1.01, 0.0, 0.0]), 60.0)).all()
    assert np.isnan(cell_of_shape(np.array([0.0, 0.0, -0.9, -0.9, -0.9]), 60.0)).all()
    cube = cell_of_shape(np.zeros(5), 64.0)
    assert cube == pytest.approx([4, 4, 4, 90, 90, 90])


def test_what_nobody_knows_is_refused(model: CellModel) -> None:
    generator, cell = torch.Generator(), np.array([4.0 * np.eye(3)])
    with pytest.raises(InputError, match=r"atomic numbers \[94\]"):
        model.sample(content_of({PU: 1, O: 2}), [225], generator)
    with pytest.raises(InputError, match=r"atomic numbers \[94\]"):
        model.log_density(cell, content_of({PU: 1, O: 2}), [0])
    with pytest.raises(InputError, match="231 is no space group"):
        model.sample(content_of({FE: 1, O: 1}), [231], generator)
    with pytest.raises(InputError, match="no atoms"):
        model.log_density(cell, content_of({}), [0])


def test_networks_read_back_and_other_files_are_refused(tmp_path: Path, data: CellData) -> None:
    network = CellsTask(data, replace(SMALL, kind="glow")).network().eval()
    save_cells_network(tmp_path / "cells.safetensors", network)
    again = load_cells_network(tmp_path / "cells.safetensors")
    assert again.config == network.config
    assert torch.equal(again.volumes, network.volumes)
    with pytest.raises(InputError, match="cannot be read"):
        load_cells_network(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="no prepared file of cells"):
        load_cells(tmp_path / "cells.safetensors")
