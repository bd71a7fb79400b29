"""`redoxa screen` on files, as scripts call it: one JSON line a file, in order, and the exit code.

One test starts the real process with its workers.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redoxa.data.io import cif_text
from redoxa.data.structures import from_structure, to_structure
from redoxa.data.tables.prototypes import prototype
from tests.campaign.conftest import here, redoxa

PUBLISHED = {"O3 LiCoO2": (3.5, 273.8), "layered LiTiS2": (1.9, 225.3)}
"""Voltage in V as CHGNet 0.3.0 gives it, theoretical capacity in mAh/g."""

FIELDS = [
    "schema",
    "file",
    "candidate_id",
    "formula",
    "working_ion",
    "verdict",
    "reasons",
    "properties",
    "notes",
    "remarks",
    "profile",
    "paths",
]


def write_cif(folder: Path, name: str) -> Path:
    """The published crystal, in its conventional cell."""
    path = folder / f"{name.split()[-1]}.cif"
    path.write_text(cif_text(prototype(name).crystal))
    return path


def test_published_electrodes_from_cif_and_poscar(tmp_path: Path) -> None:
    files = [write_cif(tmp_path, name) for name in PUBLISHED]
    large = to_structure(prototype("O3 LiCoO2").crystal)
    large.make_supercell((2, 1, 1))
    twice = tmp_path / "twice.vasp"
    twice.write_text(large.to(fmt="poscar"))
    empty = tmp_path / "empty.cif"
    empty.write_text("")
    done = redoxa("screen", *files, empty, twice, "--ion", "Li", "--profile", 0, "--json", cwd=tmp_path)
    assert done.code == 1
    assert done.err.strip() == f"redoxa: {empty}: the file is empty"
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["file"] for row in rows] == [str(x) for x in (*files, empty, twice)]
    assert all(list(row) == FIELDS for row in rows)
    for row, (voltage, capacity) in zip(rows, PUBLISHED.values(), strict=False):
        assert row["verdict"] == "pass"
        assert row["properties"]["average_voltage"]["value"] == pytest.approx(voltage, abs=0.25)
        assert row["properties"]["capacity_grav"]["value"] == pytest.approx(capacity, rel=0.005)
        assert all(set(p) == {"value", "sigma", "unit", "method"} for p in row["properties"].values())
    assert rows[2]["verdict"] == "error"
    assert not (tmp_path / "runs").exists()  # machines that ask for JSON get no page
    once, again = (row["properties"] for row in (rows[0], rows[3]))  # reduced to the same primitive cell
    assert again["average_voltage"]["value"] == pytest.approx(once["average_voltage"]["value"], abs=0.01)


def test_a_crystal_that_cannot_be_an_electrode_gives_its_reason(tmp_path: Path) -> None:
    structure = to_structure(prototype("O3 LiCoO2").crystal)
    structure.replace_species({"Li": "Na"})
    path = tmp_path / "no_lithium.cif"
    path.write_text(cif_text(from_structure(structure)))
    done = here("screen", "--workers", 1, path, "--ion", "Li", "--json", cwd=tmp_path)
    assert done.code == 0
    row = json.loads(done.out)
    assert row["verdict"] == "fail"
    assert "Li" in row["reasons"][-1]["text"]


def test_folder_gives_a_table_and_a_page_with_the_profile(tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    folder.mkdir()
    write_cif(folder, "layered LiTiS2")
    (folder / "README.txt").write_text("not a structure")
    (folder / "broken.cif").write_text("data_x")
    done = here("screen", "--workers", 1, folder, "--profile", 1, "--orderings", 1, cwd=tmp_path)
    assert done.code == 1
    assert "LiTiS2" in done.out
    page = tmp_path / "runs" / "screening.html"
    assert done.err.strip().endswith("cards of 2 structures in runs/screening.html")
    text = page.read_text(encoding="utf-8")
    assert text.count('<details class="card"') == 2
    assert "Voltage profile: " in text  # two plateaus, from one state of partial charge
    assert "README" not in text
    nothing = here("screen", "--workers", 1, tmp_path / "runs", cwd=tmp_path)
    assert (nothing.code, nothing.out) == (2, "")
    assert "the folder holds no structure files" in nothing.err


def test_ions_are_exchanged_before_the_screening(tmp_path: Path) -> None:
    path = write_cif(tmp_path, "O3 NaCoO2")
    page = tmp_path / "page.html"
    done = here(
        "screen", path, "--exchange", "Na", "--profile", 0, "--json", "--html", page, "--workers", 1, cwd=tmp_path
    )  # fmt: skip
    assert done.code == 0
    row = json.loads(done.out)  # the page leaves stdout alone
    assert row["formula"] == "LiCoO2"
    voltage, capacity = PUBLISHED["O3 LiCoO2"]
    assert row["properties"]["average_voltage"]["value"] == pytest.approx(voltage, abs=0.25)
    assert row["properties"]["capacity_grav"]["value"] == pytest.approx(capacity, rel=0.005)
    assert "Li for Na" in page.read_text(encoding="utf-8")


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    path = write_cif(tmp_path, "layered LiTiS2")
    same = here("screen", "--workers", 1, path, "--exchange", "Li", cwd=tmp_path)
    assert (same.code, same.out) == (2, "")
    assert "--exchange Li: is the working ion itself" in same.err
    other = here("screen", "--workers", 1, path, "--exchange", "Xx", cwd=tmp_path)
    assert other.code == 2
    assert "--exchange 'Xx': not a working ion" in other.err
    lacks = here("screen", "--workers", 1, path, "--exchange", "Na", "--json", cwd=tmp_path)
    assert lacks.code == 2
    assert lacks.err.strip() == f"redoxa: {path}: LiTiS2 holds no Na: nothing to exchange"


def test_what_was_assumed_travels_and_what_is_unclear_is_refused(tmp_path: Path) -> None:
    """One file of several blocks: a row each, remarks and refusals with their reasons, and no traceback."""
    good = cif_text(prototype("O3 LiCoO2").crystal)
    rounded = good.replace("  1.0\n", "  1.0001\n").replace("  1\n", "  0.9999\n")
    assert rounded != good
    wrong = good.replace("_chemical_formula_sum", "_chemical_formula_sum   'H Li Co O2'\n_chemical_formula_other")
    path = tmp_path / "blocks.cif"
    path.write_text("\n".join(text.replace("data_", f"data_{i}") for i, text in enumerate((good, rounded, wrong))))
    done = here("screen", "--workers", 1, path, "--profile", 0, "--json", cwd=tmp_path)
    assert done.code == 1
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["file"] for row in rows] == [f"{path}#{i}" for i in (1, 2, 3)]
    assert [row["verdict"] for row in rows] == ["pass", "pass", "error"]
    assert [bool(row["remarks"]) for row in rows] == [False, True, False]
    assert "its formula says H Li Co O2, its sites make LiCoO2" in done.err
    again = here("screen", "--workers", 1, path, "--profile", 0, "--trust-sites", cwd=tmp_path)
    assert again.code == 0
    page = (tmp_path / "runs" / "screening.html").read_text()
    assert page.count("Reading the file:") == sum(len(row["remarks"]) for row in rows) + 1
    assert "read as its sites stand: its formula says H Li Co O2" in page


@pytest.mark.parametrize(
    ("formula", "volts"), [("antifluorite Li2O", 3.0), ("rock salt LiF", 6.3), ("diamond Si", 0.36)]
)
def test_what_has_no_host_gets_the_voltage_of_its_conversion(formula: str, volts: float, tmp_path: Path) -> None:
    from redoxa.data.tables.reference_phases import load_reference_structures

    crystal = dict(load_reference_structures())[formula]
    path = tmp_path / "phase.cif"
    path.write_text(cif_text(crystal))
    done = here("screen", "--workers", 1, path, "--json", cwd=tmp_path)
    row = json.loads(done.out)
    assert row["verdict"] == "pass"
    assert row["properties"]["conversion_voltage"]["value"] == pytest.approx(volts, abs=0.1)
    assert not {"average_voltage", "capacity_grav", "max_delta_volume"} & row["properties"].keys()
    assert any(r["code"] == "no_insertion" for r in row["reasons"])
