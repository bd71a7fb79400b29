"""Fingerprints and the table of known materials."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import (
    ANY_RANKS,
    LIKE_RANKS,
    SAME,
    SAME_UNRELAXED,
    SHAPE_WEIGHT,
    STEP,
    WIDTH,
    Fingerprint,
    distance,
    fingerprint,
    mean_shape,
    neighbours,
    spacegroup,
)
from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure, to_structure
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.known_materials import (
    KnownMaterial,
    KnownMaterials,
    load_known_materials,
    write_known_materials,
)
from redoxa.data.tables.prototypes import build_crystal, prototype


def rutile() -> Crystal:
    return build_crystal("P4_2/mnm", (4.594, 4.594, 2.959, 90, 90, 90), ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)])[0]


def anatase() -> Crystal:
    return build_crystal("I4_1/amd:1", (3.784, 3.784, 9.515, 90, 90, 90), ["Ti", "O"], [(0, 0, 0), (0, 0, 0.208)])[0]


def rock_salt(a: float = 5.64) -> Crystal:
    return build_crystal("Fm-3m", (a, a, a, 90, 90, 90), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])[0]


def transformed(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """The same crystal as a rotated, shifted, shuffled supercell in a skewed setting."""
    structure = to_structure(crystal)
    structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 1, 2]])
    structure.translate_sites(list(range(len(structure))), rng.random(3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(structure))
    return Crystal(
        numbers=[structure[int(i)].specie.Z for i in order],
        frac_coords=structure.frac_coords[order].tolist(),
        lattice_A=(structure.lattice.matrix @ rotation).tolist(),
    )


def perturbed(crystal: Crystal, sigma_A: float, strain: float, rng: np.random.Generator) -> Crystal:
    lattice = np.array(crystal.lattice_A)
    noise = rng.normal(0, strain, (3, 3))
    positions = np.array(crystal.frac_coords) @ lattice + rng.normal(0, sigma_A, (crystal.n_atoms, 3))
    return Crystal(
        numbers=crystal.numbers,
        frac_coords=(positions @ np.linalg.inv(lattice)).tolist(),
        lattice_A=(lattice @ (np.eye(3) + (noise + noise.T) / 2)).tolist(),
    )


def test_rock_salt_by_hand() -> None:
    """Around each ion: 6 unlike at a/2, 12 like at a/sqrt 2, 8 unlike at a sqrt 3/2, 6 like at a, 24 like at a sqrt 1.5."""
    a = 5.64
    mark = fingerprint(rock_salt(a))
    shells = np.repeat([0.5, math.sqrt(0.5), math.sqrt(0.75), 1.0, math.sqrt(1.25)], [6, 12, 8, 6, 24])
    likes = np.repeat([math.sqrt(0.5), 1.0, math.sqrt(1.5)], [12, 6, 24])
    any_unit, like_unit = 0.5, 0.25 ** (1 / 3)  # (V/N)^(1/3) and the spacing of one sublattice, in units of a
    row = np.concatenate([shells[ANY_RANKS - 1] / any_unit, likes[LIKE_RANKS - 1] / like_unit])
    assert mark.formula == "NaCl"
    blocks = mark.vector.reshape(2, WIDTH)
    np.testing.assert_allclose(blocks[:, :-2], np.stack([row, row]), atol=1e-6)
    np.testing.assert_allclose(blocks[:, -2:], SHAPE_WEIGHT / 3, atol=1e-3)  # the third shell is cut, with small weight


@pytest.mark.parametrize(
    "crystal", [rutile(), anatase(), prototype("olivine LiFePO4").crystal], ids=lambda c: c.formula
)
def test_setting_does_not_matter(crystal: Crystal) -> None:
    rng = np.random.default_rng(7)
    assert distance(fingerprint(crystal), fingerprint(transformed(crystal, rng))) < 1e-4
    niggli = from_structure(to_structure(crystal).get_reduced_structure("niggli"))
    assert distance(fingerprint(crystal), fingerprint(niggli)) < 1e-4


def test_uniform_strain_does_not_matter() -> None:
    assert distance(fingerprint(rock_salt(5.64)), fingerprint(rock_salt(5.90))) < 1e-3


def test_distances_agree_with_ase_in_a_skewed_cell() -> None:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    rng = np.random.default_rng(3)
    cell = np.array([[3.0, 0.0, 0.0], [1.4, 9.0, 0.0], [0.7, 2.0, 4.0]])
    positions = rng.random((5, 3)) @ cell
    vectors = neighbours(positions, positions, cell, 24)
    found = np.linalg.norm(vectors, axis=2).mean(axis=0)
    i, d = neighbor_list("id", Atoms("H5", positions=positions, cell=cell, pbc=True), 12.0)
    expected = np.mean([np.sort(d[i == k])[:24] for k in range(5)], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_small_distortions_stay_within_the_tolerance() -> None:
    rng = np.random.default_rng(11)
    crystals = [rutile(), anatase(), rock_salt(), prototype("olivine LiFePO4").crystal, prototype("O3 LiCoO2").crystal]
    for crystal in crystals:
        mark = fingerprint(crystal)
        gaps = [distance(mark, fingerprint(perturbed(crystal, 0.03, 0.01, rng))) for _ in range(5)]
        assert max(gaps) < SAME
        assert min(gaps) > 0.001


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (rutile(), anatase()),
        (prototype("olivine NaFePO4").crystal, prototype("maricite NaFePO4").crystal),
        (prototype("O3 NaCoO2").crystal, prototype("P2 NaCoO2").crystal),
    ],
    ids=["TiO2", "NaFePO4", "NaCoO2"],
)
def test_polymorphs_are_told_apart(a: Crystal, b: Crystal) -> None:
    assert a.formula == b.formula
    assert distance(fingerprint(a), fingerprint(b)) > SAME_UNRELAXED


def test_shape_of_a_flat_and_of_a_linear_neighbourhood() -> None:
    """Six in a plane: eigenvalues 1/2, 1/2, 0. Two on a line: 1, 0, 0. What is as far as the last weighs nothing."""
    angles = np.arange(6) * math.pi / 3
    hexagon = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    line = np.array([[0, 0, 1.0], [0, 0, -1.0]])
    edge = np.array([[0.6, 0.0, 1.6], [1.6, 0.6, 0.0]]) * 1.5
    np.testing.assert_allclose(mean_shape(np.concatenate([hexagon, edge])[None]), [0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(mean_shape(np.concatenate([line, edge])[None]), [1.0, 0.0], atol=1e-12)


def test_layered_and_spinel_order_are_told_apart() -> None:
    """Both order Li and Co on one rock-salt lattice with the same pair distances to all orders (and the same triplets)."""
    layered = [(0, 0, 0), (0, 0, 0.5), (0, 0, 0.25)]
    a = build_crystal("R-3m:H", (2.828, 2.828, 13.856, 90, 90, 120), ["Li", "Co", "O"], layered)[0]
    spinel = [(0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)]
    b = build_crystal("Fd-3m:2", (8, 8, 8, 90, 90, 90), ["Li", "Co", "O"], spinel)[0]
    assert a.formula == b.formula == "LiCoO2"
    assert distance(fingerprint(a), fingerprint(b)) > SAME_UNRELAXED


def test_other_formulas_are_infinitely_far() -> None:
    assert distance(fingerprint(rutile()), fingerprint(rock_salt())) == math.inf


def test_packing() -> None:
    mark = fingerprint(anatase())
    again = Fingerprint.unpack(mark.formula, mark.packed())
    assert len(mark.packed()) == 2 * WIDTH
    assert distance(mark, again) <= STEP / 2 + 1e-12


def test_spacegroups() -> None:
    assert spacegroup(rutile()) == 136
    assert spacegroup(rock_salt()) == 225
    assert fingerprint(anatase(), symmetry=True).spacegroup == 141


def test_known_by_structure_by_formula_or_not() -> None:
    known = KnownMaterials([KnownMaterial("LiFePO4", "mp-1", "formulas only")])
    known.add(rutile(), "rutile", "test")
    by_structure = known.nearest(perturbed(rutile(), 0.02, 0.01, np.random.default_rng(0)))
    assert by_structure is not None
    assert (by_structure.level, by_structure.name) == ("structure", "rutile")
    assert 0 < (by_structure.distance or 0) <= SAME
    polymorph = known.nearest(anatase())
    assert polymorph is not None
    assert polymorph.level == "formula"
    assert (polymorph.distance or 0) > SAME
    formula = known.nearest(prototype("olivine LiFePO4").crystal)
    assert formula is not None
    assert (formula.level, formula.name, formula.distance) == ("formula", "mp-1", None)
    assert "mp-1" in formula.text
    assert known.nearest(rock_salt()) is None
    assert known.formulas({"Ti", "O", "Na"}) == ["TiO2"]


def test_table_survives_writing(tmp_path: Path) -> None:
    mark = fingerprint(rutile(), symmetry=True)
    rows = [
        KnownMaterial("TiO2", "formula only, superseded", "a"),
        KnownMaterial("TiO2", "rutile", "b", mark.spacegroup, mark.packed()),
        KnownMaterial("NaCl", "first", "a"),
        KnownMaterial("NaCl", "second", "a"),
    ]
    path = tmp_path / "known.parquet"
    assert write_known_materials(path, rows) == 2
    known = load_known_materials(path)
    assert sorted(known, key=lambda m: m.name) == [rows[2], rows[1]]
    match = known.nearest(rutile())
    assert match is not None
    assert (match.level, match.spacegroup) == ("structure", 136)


def test_a_foreign_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known.parquet"
    with pytest.raises(InputError, match="cannot be read"):
        load_known_materials(path)
    path.write_text("formula\nTiO2\n")
    with pytest.raises(InputError, match="cannot be read"):
        load_known_materials(path)


def test_shipped_table_knows_published_electrodes() -> None:
    known = load_known_materials()
    assert len(known) > 30_000
    for name in ("olivine LiFePO4", "O3 LiCoO2", "maricite NaFePO4"):
        match = known.nearest(prototype(name).crystal)
        assert match is not None
        assert match.level == "structure"


@pytest.mark.shared
def test_dataset_crystals_are_found_again() -> None:
    """Distorted as a relaxation by another potential would, real crystals still match their entry of the shipped table."""
    folder = shared_dir()
    if folder is None:
        pytest.skip("the shared crystal data is not beside the checkout")
    import pandas as pd

    rng = np.random.default_rng(5)
    frame = pd.read_parquet(folder / "datasets" / "mp_structures.parquet").query("n_atoms <= 16").iloc[::250]
    known = load_known_materials()
    found = 0
    for numbers, fracs, cell in zip(frame["atomic_numbers"], frame["frac_coords"], frame["cell"], strict=True):
        crystal = Crystal(
            numbers=numbers.tolist(), frac_coords=fracs.reshape(-1, 3).tolist(), lattice_A=cell.reshape(3, 3).tolist()
        )
        match = known.nearest(perturbed(crystal, 0.03, 0.01, rng))
        found += match is not None and match.level == "structure"
    assert found >= 0.95 * len(frame)
