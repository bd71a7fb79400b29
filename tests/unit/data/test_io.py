"""Structure files: what is read, and what is refused with a message a user can act on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from data.errors import StructureError
from data.io import cif_text, read_crystals, write_cif_zip, write_extxyz
from data.records import Crystal
from data.structures import from_structure, to_structure

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Li", "F"], [(0, 0, 0), (0.5, 0.5, 0.5)])

CIF_HEAD = """data_x
_cell_length_a {a}
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""

BAD: dict[str, tuple[str, bytes, str]] = {
    "missing": ("none.cif", b"", "no such file"),
    "empty": ("x.cif", b"  \n", "the file is empty"),
    "binary": ("x.cif", bytes(range(128, 256)), "is not a text file"),
    "nonsense": ("x.cif", b"hello world\n", "cannot be read as a structure|holds no structure"),
    "unknown kind": ("x.docx", b"hello", "unknown kind of file. Readable: CIF"),
    "zero volume": ("POSCAR", b"x\n1.0\n1 0 0\n2 0 0\n0 0 1\nLi\n1\ndirect\n0 0 0\n", "no volume"),
    "unknown element": ("x.cif", (CIF_HEAD.format(a=4) + "Xq1 Xq 0 0 0 1\n").encode(), "'Xq' is not an element"),
    "disorder": (
        "x.cif",
        (CIF_HEAD.format(a=4) + "Li1 Li 0 0 0 0.5\nO1 O .5 .5 .5 1\n").encode(),
        "partial occupancies",
    ),
    "wrong types": (
        "x.cif",
        (CIF_HEAD.format(a="wide") + "Li1 Li 0 0 0 1\n").encode(),
        "cannot be read|holds no structure",
    ),
    "broken json": ("x.json", b'{"@class": "Structure"', "cannot be read as a structure"),
    "not a structure": ("x.json", b'{"a": 1}', "cannot be read as a structure"),
    "no cell": ("x.extxyz", b"1\nProperties=species:S:1:pos:R:3\nLi 0 0 0\n", "has no periodic cell"),
    "short poscar": ("POSCAR", b"x\n1.0\n1 0 0\n", "cannot be read as a structure"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda c: c.replace(" ", "-"))
def test_bad_files_are_refused_with_a_reason(case: str, tmp_path: Path) -> None:
    name, content, pattern = BAD[case]
    path = tmp_path / name
    if case != "missing":
        path.write_bytes(content)
    with pytest.raises(StructureError, match=pattern) as caught:
        read_crystals(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_too_many_atoms_are_refused(tmp_path: Path) -> None:
    big = ROCK_SALT.make_supercell([4, 4, 4], in_place=False)
    path = tmp_path / "big.cif"
    path.write_text(cif_text(from_structure(big), symprec=None))
    with pytest.raises(StructureError, match="512 atoms; at most 200"):
        read_crystals(path)


@pytest.mark.parametrize("name", ["x.cif", "x.vasp", "POSCAR", "x.json", "x.extxyz"])
def test_every_format_gives_the_same_crystal(name: str, tmp_path: Path) -> None:
    crystal = from_structure(ROCK_SALT)
    path = tmp_path / name
    if name == "x.cif":
        path.write_text(cif_text(crystal))
    elif name == "x.json":
        path.write_text(json.dumps(ROCK_SALT.as_dict()))
    elif name == "x.extxyz":
        write_extxyz(path, [crystal], ["a"])
    else:
        ROCK_SALT.to(filename=str(path), fmt="poscar")
    [(label, found)] = read_crystals(path)
    assert label == str(path)
    assert found.composition == {"Li": 4, "F": 4}
    assert found.volume_A3 == pytest.approx(4.2**3, abs=1e-3)
    distances = np.sort(to_structure(found).distance_matrix[0])
    assert distances == pytest.approx(np.sort(ROCK_SALT.distance_matrix[0]), abs=1e-4)


def test_several_frames_are_numbered_and_kept_in_order(tmp_path: Path) -> None:
    one = from_structure(ROCK_SALT)
    two = Crystal(
        numbers=[11, 9], frac_coords=[(0, 0, 0), (0.5, 0.5, 0.5)], lattice_A=[(3, 0, 0), (0, 3, 0), (0, 0, 3)]
    )
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [one, two, one], ["a", "b", "c"])
    found = read_crystals(path)
    assert [name for name, _ in found] == [f"{path}#0", f"{path}#1", f"{path}#2"]
    assert [c.formula for _, c in found] == ["LiF", "NaF", "LiF"]
    write_cif_zip(tmp_path / "x.zip", found)
    assert (tmp_path / "x.zip").stat().st_size > 500
