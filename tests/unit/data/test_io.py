"""Structure files: the doors of all formats, and what is refused whatever the format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from redoxa.data.errors import StructureError
from redoxa.data.io import cif_text, read_crystals, read_each, write_extxyz
from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure, to_structure
from redoxa.data.whole import whole

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Li", "F"], [(0, 0, 0), (0.5, 0.5, 0.5)])

BAD: dict[str, tuple[str, bytes, str]] = {
    "missing": ("none.cif", b"", "no such file"),
    "empty": ("x.cif", b"  \n", "the file is empty"),
    "binary": ("x.cif", bytes(range(128, 256)), "is not a text file"),
    "zeros": ("POSCAR", b"Li\x00\x00\n", "is not a text file"),
    "nonsense": ("x.cif", b"hello world\n", "line 1: expected block header"),
    "no structure": ("x.cif", b"data_x\n_publ_section_title 'none'\n", "holds no structure"),
    "unknown kind": ("x.docx", b"hello", "unknown kind of file. Readable: CIF"),
    "zero volume": ("POSCAR", b"x\n1.0\n1 0 0\n2 0 0\n0 0 1\nLi\n1\ndirect\n0 0 0\n", "no volume"),
    "broken json": ("x.json", b'{"@class": "Structure"', "is not JSON: line 1, column"),
    "not a structure": ("x.json", b'{"a": 1}', "holds no structure; readable are pymatgen's"),
    "no cell": ("x.extxyz", b"1\nProperties=species:S:1:pos:R:3\nLi 0 0 0\n", "has no periodic cell"),
    "short poscar": ("POSCAR", b"x\n1.0\n1 0 0\n", "ends after 3 lines"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda c: c.replace(" ", "-"))
def test_bad_files_are_refused_with_a_reason(case: str, tmp_path: Path) -> None:
    name, content, pattern = BAD[case]
    path = tmp_path / name
    if case != "missing":
        path.write_bytes(content)
    with pytest.raises(StructureError, match=pattern) as caught:
        read_crystals(path)
    assert str(caught.value).startswith(f"{path}: ")
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
    [found] = read_crystals(path)
    assert found.name == str(path)
    assert found.remarks == ()
    assert found.crystal.composition == {"Li": 4, "F": 4}
    assert found.crystal.volume_A3 == pytest.approx(4.2**3, abs=1e-3)
    distances = np.sort(to_structure(found.crystal).distance_matrix[0])
    assert distances == pytest.approx(np.sort(ROCK_SALT.distance_matrix[0]), abs=1e-4)


def test_several_frames_are_numbered_and_kept_in_order(tmp_path: Path) -> None:
    one = from_structure(ROCK_SALT)
    two = Crystal(
        numbers=[11, 9], frac_coords=[(0, 0, 0), (0.5, 0.5, 0.5)], lattice_A=[(3, 0, 0), (0, 3, 0), (0, 0, 3)]
    )
    path = tmp_path / "frames.extxyz"
    write_extxyz(path, [one, two, one], ["a", "b", "c"])
    found = read_crystals(path)
    assert [f.name for f in found] == [f"{path}#1", f"{path}#2", f"{path}#3"]
    assert [f.crystal.formula for f in found] == ["LiF", "NaF", "LiF"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_every_common_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cif"
    path.write_bytes(cif_text(from_structure(ROCK_SALT)).replace("# ", "# Ångström, ").encode(encoding))
    [found] = read_crystals(path)
    assert found.crystal.formula == "LiF"


def test_a_bad_structure_leaves_the_others_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.extxyz"
    write_extxyz(path, [from_structure(ROCK_SALT)] * 3, ["a", "b", "c"])
    lines = path.read_text().splitlines()
    lines[11] = lines[11].replace('pbc="T T T"', 'pbc="T T F"')
    path.write_text("\n".join(lines) + "\n")
    (first, one), (second, two), (third, three) = read_each(path)
    assert [first, second, third] == [f"{path}#{i}" for i in (1, 2, 3)]
    assert one.crystal.formula == three.crystal.formula == "LiF"
    assert str(two).startswith(f"{path}#2: is periodic in 2 of 3 directions: a slab")
    with pytest.raises(StructureError, match="#2: is periodic in 2"):
        read_crystals(path)


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.csv"
    with whole(path) as draft:
        draft.write_text("first")
        assert draft.suffix == ".csv"
        assert not path.exists()
    with pytest.raises(OSError, match="full"), whole(path) as draft:
        draft.write_text("half")
        raise OSError("full")
    assert [p.name for p in path.parent.iterdir()] == ["x.csv"]
    assert path.read_text() == "first"
    with pytest.raises(OSError, match="No such file") as told, whole(path) as draft:
        draft.open()
    assert told.value.filename == str(path)
    with whole(Path("/dev/null")) as draft:
        assert draft == Path("/dev/null")
