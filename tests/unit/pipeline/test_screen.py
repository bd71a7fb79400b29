"""What `redoxa screen` reads and writes around the screening itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.errors import InputError, StructureError
from redoxa.data.io import cif_text
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.base import Predicted
from redoxa.pipeline.pages.kit.model import FileRow
from redoxa.pipeline.results.samples import Samples
from redoxa.pipeline.results.screening import Screened, Screening
from redoxa.pipeline.tasks.screen import ScreenOptions, default_page, in_words, screen, structure_files
from tests.web.screening_sample import assessed, rejected, unusable


def screened(row: FileRow) -> Screened:
    return Screened(row.name, "Li", row.candidate, row.result, row.problem, row.remarks)


def screening(rows: list[FileRow], options: ScreenOptions) -> Screening:
    settings = options.settings
    return Screening(
        [screened(row) for row in rows], working_ion=options.ion, limited=False,
        settings=in_words(settings, options), settings_hash=settings.settings_hash,
    )  # fmt: skip


def test_folder_stands_for_its_structure_files_by_name(tmp_path: Path) -> None:
    for name in ("b.cif", "a.vasp", "POSCAR_1", "notes.txt", "c.extxyz"):
        (tmp_path / name).write_text("x")
    (tmp_path / "inner.cif").mkdir()
    lone = tmp_path / "notes.txt"
    found = structure_files([lone, tmp_path])
    assert [p.name for p in found] == ["notes.txt", "POSCAR_1", "a.vasp", "b.cif", "c.extxyz"]


def test_samples_in_a_folder_count_once(tmp_path: Path) -> None:
    crystal = prototype("O3 LiCoO2").crystal
    Samples([Predicted(crystal, "a")], generator="g", seed=0, checkpoint_sha256=None).write(tmp_path)
    assert (tmp_path / "samples.extxyz").exists()
    assert [p.name for p in structure_files([tmp_path])] == ["0000_LiCoO2.cif"]
    assert structure_files([tmp_path / "samples.extxyz"]) == [tmp_path / "samples.extxyz"]


def test_folder_without_structures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(StructureError, match="holds no structure files"):
        structure_files([tmp_path])


def test_options_go_over_permissive_settings() -> None:
    settings = ScreenOptions("Li").settings
    assert (settings.profile_states, settings.orderings, settings.barriers) == (3, 2, 0)
    assert settings.insertion
    assert settings.all_limits == {}
    asked = ScreenOptions("Li", profile=0, orderings=5, barriers=2, workers=1).settings
    assert (asked.profile_states, asked.orderings, asked.barriers, asked.workers) == (0, 5, 2, 1)


def test_campaign_keeps_its_own_settings_but_for_what_was_asked(tmp_path: Path) -> None:
    campaign = tmp_path / "campaign.yaml"
    text = (Path(__file__).parents[3] / "pipeline" / "templates" / "campaign.yaml").read_text()
    campaign.write_text(text)
    plain = ScreenOptions("Li", campaign=campaign).settings
    assert plain.all_limits
    assert plain.profile_states == 0
    assert ScreenOptions("Li", campaign=campaign, profile=1).settings.profile_states == 1


def test_files_that_cannot_be_used_are_rows_that_name_them(tmp_path: Path) -> None:
    layered = tmp_path / "layered.cif"
    layered.write_text(cif_text(prototype("O3 LiCoO2").crystal))
    seen: list[str] = []
    missing = tmp_path / "missing.cif"
    options = ScreenOptions("Na", exchange="K")
    rows = screen([missing, layered], options, lambda row: seen.append(row.name))
    assert seen == [str(missing), str(layered)]
    assert rows[0].problem == f"{missing}: no such file"
    assert rows[1].problem == f"{layered}: LiCoO2 holds no K: nothing to exchange"
    assert all(row.result is None for row in rows)


def test_json_row_keeps_its_fields_whatever_happened() -> None:
    rows = [screened(row).to_json() for row in (assessed(), rejected(), unusable())]
    assert len({tuple(row) for row in rows}) == 1
    good, _, bad = rows
    assert good["profile"][0] == {"x_charge": 0.0, "x_discharge": 0.5, "voltage_V": pytest.approx(3.53)}
    assert len(good["paths"][0]["energies_eV"]) == 5
    assert (bad["verdict"], bad["formula"], bad["profile"]) == ("error", None, [])
    assert bad["reasons"][0]["text"] == unusable().problem


def test_page_is_written_where_asked_and_says_what_was_computed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    screening([assessed(), unusable()], ScreenOptions("Li", exchange="Na", profile=1)).write_page(path)
    text = path.read_text(encoding="utf-8")
    assert "Na for Li" not in text
    assert "<dt>Exchanged</dt><dd>Li for Na</dd>" in text
    assert "<dt>States of partial charge</dt><dd>1</dd>" in text
    with pytest.raises(InputError, match="cannot be written"):
        screening([unusable()], ScreenOptions("Li")).write_page(tmp_path)


def test_page_lies_beside_the_store() -> None:
    assert default_page(None) == Path("runs/screening.html")
    assert default_page("elsewhere/my.db") == Path("elsewhere/screening.html")
