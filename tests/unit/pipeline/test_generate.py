"""Options of `redoxa generate` and the folder it writes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from ase.io import read

from data.errors import GenerationError, InputError
from data.io import cif_text
from data.prototypes import prototype
from pipeline.generate import Request, parse_formula, read_compositions, sample_to_folder

OPTIONS = {
    "n": 4,
    "elements": None,
    "require": None,
    "formula": None,
    "compositions": None,
    "max_atoms": 20,
    "charge_neutral": False,
}


def request(**changes: object) -> Request:
    return Request.read(**{**OPTIONS, **changes})  # type: ignore[arg-type]


def test_formulas_become_exact_contents() -> None:
    assert parse_formula("Na3V2(PO4)3", "x") == {11: 3, 23: 2, 15: 3, 8: 12}
    for bad in ("", "Li0.5CoO2", "LiXx2", "Li-Co", "O999"):
        with pytest.raises(InputError, match="x: "):
            parse_formula(bad, "x")


def test_a_formula_comes_in_cells_of_one_two_and_more_units() -> None:
    contents = request(formula="LiFePO4", n=4).condition.contents
    assert [sum(c.values()) for c in contents] == [7, 14, 7, 14]
    assert contents[1] == {3: 2, 26: 2, 15: 2, 8: 8}


def test_compositions_are_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "c.txt"
    file.write_text("# three\nLi4Fe4P4O16\n\nLiCoO2\nLi2Co2O4\n")
    made = request(compositions=file)
    assert made.n == 3
    assert made.condition.contents[2] == {3: 2, 27: 2, 8: 4}
    file.write_text("LiCoO2\nLiCoOO2x\n")
    with pytest.raises(InputError, match=r"c\.txt:2: "):
        read_compositions(file)
    file.write_text("\n")
    with pytest.raises(InputError, match="holds no compositions"):
        read_compositions(file)


def test_options_that_contradict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude one another"):
        request(formula="LiCoO2", compositions=tmp_path / "c.txt")
    with pytest.raises(InputError, match="not within --elements"):
        request(elements="Li,O", require="Na")
    with pytest.raises(InputError, match="outside --elements"):
        request(elements="Li,O", formula="LiCoO2")
    with pytest.raises(InputError, match="'Lo' is not an element symbol"):
        request(elements="Lo,O")


def test_three_files_in_the_same_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = request(n=5, elements="Li,Mn,Fe,Co,O", require="Li", max_atoms=12)
    for _ in range(2):  # the second time replaces the first
        assert sample_to_folder("substitution", asked, 3, out, None, True, lambda *_: None) == 5
    rows = list(csv.DictReader((out / "samples.csv").open()))
    frames = read(out / "samples.extxyz", index=":")
    cifs = sorted(out.glob("*.cif"))
    assert [r["file"] for r in rows] == [c.name for c in cifs] == [f.info["label"] for f in frames]
    for row, frame, cif in zip(rows, frames, cifs, strict=True):
        assert len(frame) == int(row["n_atoms"]) <= 12
        assert {*frame.get_chemical_symbols()} <= {"Li", "Mn", "Fe", "Co", "O"}
        assert "Li" in frame.get_chemical_symbols()
        assert sorted(read(cif).get_atomic_numbers()) == sorted(frame.numbers) or len(read(cif)) % len(frame) == 0


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(InputError, match="give another folder"):
        sample_to_folder("substitution", request(), 0, tmp_path, None, True, lambda *_: None)


def test_earlier_samples_stay_until_new_ones_are_complete(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = request(n=3, elements="Li,Mn,Fe,Co,O", require="Li")
    sample_to_folder("substitution", asked, 0, out, None, True, lambda *_: None)
    (out / "0000_theirs.cif").write_text("somebody's")
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def fails(*_: object) -> None:
        raise GenerationError("the second command fails")

    with pytest.raises(GenerationError):
        sample_to_folder("substitution", asked, 1, out, None, True, fails)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    sample_to_folder("substitution", request(n=1, elements="Na,Ti,O"), 1, out, None, True, lambda *_: None)
    names = {path.name for path in out.iterdir()}
    assert len(names) == 4
    assert "0000_theirs.cif" in names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("table", ["file\n../precious.cif\n", "a,b\n1,2\n", "file\n\n"])
def test_a_table_of_samples_deletes_nothing_outside_its_folder(tmp_path: Path, table: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "samples.csv").write_text(table)
    (tmp_path / "precious.cif").write_text("precious")
    try:
        sample_to_folder("substitution", request(n=1), 0, out, None, True, lambda *_: None)
    except InputError:
        assert table.startswith("a,b")
    assert (tmp_path / "precious.cif").exists()


def test_space_groups_targets_and_a_crystal_to_be_like(tmp_path: Path) -> None:
    found = request(space_groups="62, trigonal", targets=["average_voltage=3..4.5", "capacity_grav=150.."]).condition
    assert found.groups == {62, *range(143, 168)}
    assert [(t.property, t.low, t.high) for t in found.targets] == [
        ("average_voltage", 3.0, 4.5),
        ("capacity_grav", 150.0, None),
    ]
    olivine = prototype("olivine LiFePO4").crystal
    file = tmp_path / "olivine.cif"
    file.write_text(cif_text(olivine), encoding="utf-8")
    found = request(like=file, drop="Li", keep="Fe,P,O", require="Na").condition
    assert found.like is not None
    assert found.like.formula == "FePO4"
    assert found.keep == {26, 15, 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space_groups": "0"}, "--space-groups: '0'"),
        ({"space_groups": "cubical"}, "--space-groups: 'cubical'"),
        ({"targets": ["voltage=3..4"]}, "'voltage' is none of average_voltage"),
        ({"targets": ["average_voltage=3"]}, "names no range"),
        ({"targets": ["average_voltage=4..3"]}, "ends before it begins"),
        ({"keep": "Fe"}, "--like"),
    ],
)
def test_unusable_conditions_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        request(**changes)
