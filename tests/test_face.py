"""`import redoxa`: what a Python user has, and that it costs nothing before it is asked for."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ase import Atoms
from ase.build import molecule
from pymatgen.core import Structure

import redoxa
from redoxa.data.io import cif_text
from redoxa.data.structures import to_atoms, to_structure
from redoxa.data.tables.prototypes import prototype

TINY = Path(__file__).parent / "campaign" / "tiny.yaml"


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, redoxa; import json; print(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pandas", "pymatgen", "ase", "pydantic", "rich", "prefect"} & set(
        json.loads(done.stdout)
    )


def test_all_that_it_names_is_there_and_documented() -> None:
    assert set(redoxa.__all__) <= set(dir(redoxa))
    for name in redoxa.__all__:
        found = getattr(redoxa, name)
        assert name == "__version__" or inspect.getdoc(found), name
    with pytest.raises(AttributeError, match="no attribute 'scren'"):
        redoxa.scren  # noqa: B018


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> redoxa.Screening:
    """One crystal in all forms, and what cannot be used."""
    crystal = prototype("O3 LiCoO2").crystal
    file = tmp_path_factory.mktemp("given") / "layered.cif"
    file.write_text(cif_text(crystal))
    given = [crystal, to_structure(crystal), to_atoms(crystal), file, "none.cif", molecule("H2O")]
    return redoxa.screen(given, ion="Li", profile=0, workers=1, progress=False)


def test_structures_of_every_kind_are_screened_and_the_same_one_once(results: redoxa.Screening) -> None:
    same = results[:4]
    assert [one.verdict for one in same] == ["pass"] * 4
    assert {one["average_voltage"].value for one in same} == {same[0]["average_voltage"].value}
    volts = same[0]["average_voltage"]
    assert (volts.unit, volts.sigma > 0, "calibrated" in volts.method) == ("V", True, True)
    assert 3.5 < volts.value < 4.5
    assert isinstance(same[1].structure, Structure)
    assert isinstance(same[1].atoms, Atoms)
    assert same[1].charged is not None
    assert same[1].charged.composition["Li"] == 0
    assert [Path(one.name).name for one in same] == ["structure 1", "structure 2", "structure 3", "layered.cif"]


def test_what_cannot_be_used_says_why(results: redoxa.Screening) -> None:
    missing, water = results[4:]
    assert missing.problem == "none.cif: no such file"
    assert "not periodic" in water.problem
    with pytest.raises(redoxa.InputError, match=r"'average_voltage' was not estimated\. none.cif: no such file"):
        missing["average_voltage"]
    with pytest.raises(redoxa.InputError, match="average_voltage"):
        results[0]["averge_voltage"]
    with pytest.raises(redoxa.InputError, match="no such file"):
        missing.structure  # noqa: B018


def test_what_is_no_structure_is_a_row_that_says_so() -> None:
    (found,) = redoxa.screen(5, progress=False)  # type: ignore[arg-type]
    assert found.problem == "structure 1: a int is no pymatgen Structure, ASE Atoms, or path of a file"
    assert found.verdict == "error"
    assert len(redoxa.screen([], progress=False).frame()) == 0


def test_results_are_frames_pages_and_json(results: redoxa.Screening, tmp_path: Path) -> None:
    frame = results.frame()
    assert list(frame["verdict"][:4]) == ["pass"] * 4
    assert frame["average_voltage (V)"][0] == results[0]["average_voltage"].value
    assert pd.read_parquet(results.write(tmp_path / "r.parquet")).equals(frame)
    rows = json.loads(results.write(tmp_path / "r.json").read_text())
    assert rows[0]["properties"]["average_voltage"]["unit"] == "V"
    page = results.write(tmp_path / "r.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    shown = results[:1]._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "LiCoO" in shown
    with pytest.raises(redoxa.InputError, match="no format of a screening"):
        results.write(tmp_path / "r.docx")
    assert "3." in repr(results) or "4." in repr(results)


def test_generated_crystals_can_be_screened_and_written(tmp_path: Path) -> None:
    made = redoxa.generate(
        3, generator="substitution", elements=["Li", "Mn", "Fe", "O"], require="Li", max_atoms=8, progress=False
    )
    assert len(made) == len(made.frame()) == 3
    assert all(sample.structure.composition["Li"] > 0 for sample in made)
    assert len(list(made.write(tmp_path / "out").glob("*.cif"))) == 3
    assert made._repr_html_().count("data:image/svg+xml") == 3
    assert "http://" not in made._repr_html_()
    screened = redoxa.screen(made[0], profile=0, workers=1, progress=False)
    assert screened[0].formula
    again = redoxa.generate(
        3, generator="substitution", elements="Li,Mn,Fe,O", require="Li", max_atoms=8, progress=False
    )
    assert [x.crystal for x in again] == [x.crystal for x in made]


def test_options_are_read_as_meant_or_refused() -> None:
    for wrong, message in (
        ({"elements": ["Li", "Xx"]}, "'Xx' is not an element symbol"),
        ({"targets": {"average_voltage": (3, 2)}, "require": "Li"}, "ends before it begins"),
        ({"targets": {"voltage": (3, None)}}, "'voltage' is none of"),
    ):
        with pytest.raises(redoxa.InputError, match=message):
            redoxa.generate(2, progress=False, **wrong)  # type: ignore[arg-type]
    with pytest.raises(redoxa.InputError, match="not a working ion"):
        redoxa.screen("a.cif", ion="Fe", progress=False)
    with pytest.raises(redoxa.InputError, match=r"profile_states 99: .*less than or equal to"):
        redoxa.screen("a.cif", profile=99, progress=False)
    with pytest.raises(redoxa.InputError, match="is the working ion itself"):
        redoxa.screen("a.cif", ion="Li", exchange="Li", progress=False)


def test_a_campaign_is_opened_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it runs is told by `redoxa run`, which calls it; what it gives afterwards in tests/campaign/test_run.py."""
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(TINY.read_text())
    campaign = redoxa.open("my.yaml", store="runs/s.db")
    with pytest.raises(redoxa.InputError, match=r"has not run in runs/s\.db; `run` starts it"):
        campaign.frame()
    with pytest.raises(redoxa.InputError, match="less than one"):
        redoxa.open("my.yaml", store="runs/t.db").run(0)
    with pytest.raises(redoxa.InputError, match="no such file"):
        redoxa.open("none.yaml")
    assert [path.name for path in Path().iterdir()] == ["my.yaml", "runs"]
    assert not Path("runs/s.db").exists()
