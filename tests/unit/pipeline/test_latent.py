"""`redoxa latent`: a way between two crystals, known neighbours, how odd crystals are; and what cannot be asked."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from redoxa.data.errors import InputError
from redoxa.data.io import cif_text, read_crystals
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import prototype
from redoxa.pipeline.pages.kit.latent_model import Ground, Interpolation, Judged, Step
from redoxa.pipeline.pages.latent_page import interpolation_page
from redoxa.pipeline.tasks.latent import anomalies, interpolate, neighbours, samples_of
from tests.unit.pipeline.test_cli import lines, run

LAYERED, SPINEL = prototype("O3 LiCoO2").crystal, prototype("spinel LiMn2O4").crystal


def with_elements(crystal: Crystal, **places: int) -> Crystal:
    """Another element in the place of one, by symbol and atomic number."""
    numbers = {27: places["Co"]}
    return crystal.model_copy(update={"numbers": tuple(numbers.get(z, z) for z in crystal.numbers)})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    texts = {"layered": cif_text(LAYERED), "spinel": cif_text(SPINEL), "odd": cif_text(with_elements(LAYERED, Co=84))}
    for name, text in texts.items():
        Path(f"{name}.cif").write_text(text)
    Path("two.cif").write_text(f"{texts['layered']}\n{texts['spinel']}")
    return tmp_path


@pytest.fixture(scope="module")
def way() -> Interpolation:
    return interpolate(LAYERED, SPINEL, n=5)


def test_the_way_begins_and_ends_with_the_two_crystals_and_holds_no_other_elements(way: Interpolation) -> None:
    assert [step.t for step in way.steps] == [0.0, 0.25, 0.5, 0.75, 1.0]
    ends = way.steps[0], way.steps[-1]
    assert [step.crystal.formula if step.crystal else None for step in ends] == ["LiCoO2", "LiMn2O4"]
    assert all(step.off_way < 0.1 for step in ends)  # what is read of them is what was written
    own = {*LAYERED.numbers, *SPINEL.numbers}
    assert all(set(step.crystal.numbers) <= own for step in way.steps if step.crystal)
    assert np.allclose(ends[0].at, way.first.place, atol=1e-5)
    assert np.allclose(ends[1].at, way.last.place, atol=1e-5)
    assert interpolate(LAYERED, SPINEL, n=5) == way
    assert way.frame()["formula"].tolist()[0] == "LiCoO2"


def test_its_crystals_are_written_as_samples(way: Interpolation, tmp_path: Path) -> None:
    samples_of(way).write(tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "samples.csv").open()))
    assert [float(row["t"]) for row in rows] == [step.t for step in way.steps if step.crystal]
    for row, step in zip(rows, (s for s in way.steps if s.crystal), strict=True):
        (found,) = read_crystals(tmp_path / "out" / row["file"])
        assert step.crystal is not None
        assert found.crystal.composition == {k: v * found.crystal.n_atoms // step.crystal.n_atoms for k, v in step.crystal.composition.items()}  # fmt: skip
        assert float(row["anomaly_score"]) == pytest.approx(step.score, rel=1e-3)


def test_where_nothing_came_is_said() -> None:
    steps = (
        Step(0.0, (0, 0), LAYERED, (0, 0), 0.1, 0.2),
        Step(0.5, (0.5, 0)),
        Step(1.0, (1, 0), SPINEL, (1, 0), 0.1, 9.0),
    )
    ends = Judged("a", LAYERED, (0, 0), 0.2, 1.0, 0.1), Judged("b", SPINEL, (1, 0), 9.0, 1.0, 9.0)
    found = Interpolation(*ends, steps, Ground(((0, 0), (2, 2)), 0.25, 3.0), seed=0)
    assert found.missing == (0.5,)
    assert [row["outside"] for row in found.to_json()] == [False, None, True]
    page = interpolation_page(found)
    assert "At t = 0.5 nothing came" in page
    assert page.count('class="stop empty') == 1 + 1  # on the map and in the legend


def test_a_known_electrode_is_its_own_nearest_neighbour_with_its_voltage() -> None:
    found = neighbours(LAYERED, 3)
    assert found.found[0].crystal.formula == "LiCoO2"
    assert found.found[0].distance < 0.1 < found.found[1].distance <= found.found[2].distance
    (volts,) = found.to_json()[0]["voltages"]
    assert (volts["ion"], volts["unit"], "CHGNet" in volts["source"]) == ("Li", "V", True)
    assert 3.0 < volts["value"] < 4.5


def test_the_oddest_come_first_and_what_is_unknown_is_beyond_any() -> None:
    strange = {3: 55, 27: 80, 8: 92}
    exchanged = LAYERED.model_copy(update={"numbers": tuple(strange[z] for z in LAYERED.numbers)})
    found = anomalies([LAYERED, with_elements(LAYERED, Co=84), exchanged])
    assert math.isinf(found.judged[0].score)
    assert "Po" in found.judged[0].why
    assert found.judged[0].place is None
    assert [one.name for one in found.judged] == ["structure 2", "structure 3", "structure 1"]
    assert found.judged[-1].score < found.ground.outside < found.judged[1].score


def test_large_cells_are_a_guess_and_said_to_be() -> None:
    found = anomalies([prototype("olivine LiFePO4").crystal])
    assert any("28 atoms in the primitive cell" in note for note in found.notes)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["interpolate", "two.cif", "spinel.cif"], "two.cif: holds 2 structures, and one is needed"),
        (["interpolate", "layered.cif", "odd.cif"], "odd.cif: holds Po, which vae has not learned"),
        (["interpolate", "layered.cif", "none.cif"], "none.cif: no such file"),
        (["interpolate", "layered.cif", "spinel.cif", "--elements", "Xx"], "--elements: 'Xx' is not an element"),
        (["interpolate", "layered.cif", "spinel.cif", "-n", "1"], "Must be >= 2"),
        (["interpolate", "layered.cif", "spinel.cif", "--out", "."], ".: is not empty and holds no samples"),
        (["neighbours", "odd.cif"], "odd.cif: holds Po, which vae has not learned"),
        (["neighbours", "two.cif"], "two.cif: holds 2 structures"),
        (["anomalies"], "name at least one structure file"),
        (["anomalies", "none.cif"], "none.cif: no such file"),
    ],
)
def test_mistakes_are_told(files: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str) -> None:
    before = sorted(files.iterdir())
    code, _, err = run(capsys, "latent", *args)
    assert (code, message in err, "Traceback" in err) == (2, True, False), err
    assert sorted(files.iterdir()) == before


def test_lines_for_programs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "latent", "interpolate", "layered.cif", "spinel.cif", "-n", "2", "--out", "way", "--json"
    )
    assert code == 0
    steps = lines(out)
    assert [(row["t"], row["formula"]) for row in steps] == [(0.0, "LiCoO2"), (1.0, "LiMn2O4")]
    assert all(Path(row["path"]).is_file() for row in steps)
    code, out, _ = run(capsys, "latent", "neighbours", "layered.cif", "-n", "2", "--json")
    assert [row["rank"] for row in lines(out)] == [1, 2]
    code, out, err = run(capsys, "latent", "anomalies", "two.cif", "odd.cif", "none.cif", "--json")
    rows = lines(out)
    assert code == 1  # one could not be read, and the others are judged all the same
    assert [row["file"] for row in rows] == ["odd.cif", "two.cif#1", "two.cif#2", "none.cif"]
    assert [row["outside"] for row in rows] == [True, False, False, None]
    assert "none.cif: no such file" in err
    assert not Path("runs").exists()


def test_people_get_a_table_a_page_and_what_to_do_next(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "latent", "anomalies", "layered.cif", "odd.cif")
    assert code == 0
    assert out.index("odd.cif") < out.index("layered.cif")
    assert "beyond any" in out
    assert "next: redoxa screen layered.cif" in err
    assert "1 of 2 crystals outside what is known" in Path("runs/anomalies.html").read_text()
    code, out, _ = run(capsys, "latent")
    assert (code, "interpolate" in out, "neighbours" in out) == (0, True, True)


def test_a_way_has_two_ends() -> None:
    with pytest.raises(InputError, match="a way has two ends"):
        interpolate(LAYERED, SPINEL, n=1)
