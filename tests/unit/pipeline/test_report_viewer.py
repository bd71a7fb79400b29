"""Scenes of the structure viewer: boundary images, conventional cells, polyhedra, sites that the ion left."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure
from redoxa.pipeline.pages.kit.projection import gradients, picture
from redoxa.pipeline.pages.kit.viewer import Scene, display_cell, scenes
from tests.web import sample


def scene(crystal: Crystal, ion: str, state: str = "discharged") -> Scene:
    return scenes({state: crystal}, ion)[state]


def rock_salt() -> Crystal:
    """Primitive cell of NaCl."""
    whole = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return from_structure(whole.get_primitive_structure())


def test_primitive_cell_is_shown_conventional_with_its_boundary() -> None:
    drawn = scene(rock_salt(), "Na")
    # The textbook picture: 14 ions on corners and faces, 13 on edges and in the middle.
    assert sorted(Counter(drawn.symbols).values()) == [13, 14]
    edges = np.linalg.norm(drawn.corners[4] - drawn.corners[0])
    assert edges == pytest.approx(5.64, abs=1e-4)
    assert len(drawn.bonds) == 0  # the working ion stays free


def test_short_cells_are_repeated_and_long_ones_are_not() -> None:
    layered = next(c for _, c, _ in sample.hosts() if c.formula == "LiCoO2")
    cell = display_cell(layered)
    assert round(abs(np.linalg.det(cell))) == 12  # three primitive cells to the hexagonal one, 2 x 2 x 1 of those
    olivine = sample.hosts()[0][1]
    assert round(abs(np.linalg.det(display_cell(olivine)))) in (1, 2)
    big = from_structure(Structure(Lattice.cubic(12.0), ["O"] * 130, np.random.default_rng(0).random((130, 3))))
    assert np.array_equal(display_cell(big), np.eye(3))


def faces_by_element(drawn: Scene) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for symbol, faces in drawn.polyhedra:
        found.setdefault(symbol, set()).add(len(faces))
    return found


def test_olivine_has_octahedra_and_tetrahedra() -> None:
    assert faces_by_element(scene(sample.hosts()[0][1], "Li")) == {"Fe": {8}, "P": {4}}


def test_layered_oxide_and_spinel_have_octahedra() -> None:
    by_formula = {c.formula: c for _, c, _ in sample.hosts()}
    assert faces_by_element(scene(by_formula["LiCoO2"], "Li")) == {"Co": {8}}
    assert faces_by_element(scene(by_formula["LiMn2O4"], "Li")) == {"Mn": {8}}
    assert faces_by_element(scene(by_formula["LiTiS2"], "Li")) == {"Ti": {8}}


def test_polyhedra_are_whole_and_look_outward() -> None:
    drawn = scene(sample.hosts()[0][1], "Li")
    for _, faces in drawn.polyhedra:
        assert faces.min() >= 0  # every corner is among the drawn atoms
        corners = drawn.xyz[np.unique(faces)]
        a, b, c = (drawn.xyz[faces[:, k]] for k in range(3))
        outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), (a + b + c) / 3 - corners.mean(axis=0))
        assert (outward > 0).all()


def test_bonds_are_as_long_as_bonds() -> None:
    drawn = scene(sample.hosts()[0][1], "Li")
    kinds = np.array(drawn.symbols)
    lengths: dict[str, list[float]] = {}
    for i, j in drawn.bonds:
        lengths.setdefault("".join(sorted((kinds[i], kinds[j]))), []).append(
            np.linalg.norm(drawn.xyz[i] - drawn.xyz[j])
        )
    assert set(lengths) == {"FeO", "OP"}
    assert (min(lengths["OP"]), max(lengths["OP"])) == pytest.approx((1.536, 1.558), abs=0.03)
    assert 2.0 < min(lengths["FeO"]) < max(lengths["FeO"]) < 2.3


def test_charged_state_shows_the_sites_that_the_ion_left() -> None:
    _, discharged, swell = sample.hosts()[0]
    both = scenes({"discharged": discharged, "charged": sample.emptied(discharged, "Li", swell)}, "Li")
    ions = [xyz for s, xyz in zip(both["discharged"].symbols, both["discharged"].xyz, strict=True) if s == "Li"]
    assert "Li" not in both["charged"].symbols
    assert len(both["discharged"].vacancies) == 0
    assert len(both["charged"].vacancies) == len(ions)
    factor = (1 + swell) ** (1 / 3)
    assert np.allclose(
        sorted(np.array(ions).tolist()), sorted((both["charged"].vacancies / factor).tolist()), atol=1e-3
    )


def test_half_empty_state_marks_only_what_left() -> None:
    discharged = Crystal(
        numbers=(3, 3, 27, 8), frac_coords=((0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0)),
        lattice_A=((6, 0, 0), (0, 6, 0), (0, 0, 6)),
    )  # fmt: skip
    half = Crystal(
        numbers=discharged.numbers[1:], frac_coords=discharged.frac_coords[1:], lattice_A=discharged.lattice_A
    )
    drawn = scenes({"discharged": discharged, "charged": half}, "Li")["charged"]
    assert len(drawn.vacancies) == 8  # the corner site and its images


def test_square_of_anions_is_no_polyhedron() -> None:
    flat = Crystal(
        numbers=(29, 8, 8, 8, 8), frac_coords=((0.5, 0.5, 0.5), (0.7, 0.5, 0.5), (0.3, 0.5, 0.5), (0.5, 0.7, 0.5), (0.5, 0.3, 0.5)),
        lattice_A=((9.6, 0, 0), (0, 9.6, 0), (0, 0, 9.6)),
    )  # fmt: skip
    drawn = scene(flat, "Li")
    assert drawn.polyhedra == ()
    assert len(drawn.bonds) == 4


def test_scene_as_json_refers_to_its_own_atoms() -> None:
    made = scene(sample.hosts()[0][1], "Li").to_json()
    n = len(made["el"])  # type: ignore[arg-type]
    assert len(made["xyz"]) == 3 * n  # type: ignore[arg-type]
    assert max(made["bonds"]) < n  # type: ignore[type-var]
    for _, triangles in made["poly"]:  # type: ignore[attr-defined]
        assert len(triangles) % 3 == 0
        assert max(triangles) < n


def test_picture_paints_every_atom_inside_its_frame() -> None:
    drawn = scene(sample.hosts()[0][1], "Li")
    svg = picture(drawn, '<title> "quoted"')
    assert svg.count("<circle") == len(drawn.symbols)
    assert "&lt;title&gt;" in svg
    assert "url(#at-Fe)" in svg
    assert 'id="at-Fe"' in gradients({"Fe", "O"})
