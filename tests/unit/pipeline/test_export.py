"""Files of results: the same records under the same names in all of them."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from ase.io import read

from redoxa.data.errors import InputError
from redoxa.pipeline.pages.kit.downloads import SCHEMA, csv_text, records
from redoxa.pipeline.results import export as module
from tests.web.sample import full


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = full(20)
    monkeypatch.setattr(module, "report_data", lambda _session, _ended: data)

    def write(name: str) -> Path:
        module.export(None, tmp_path / name)  # type: ignore[arg-type]
        return tmp_path / name

    return data, write


def test_the_same_records_in_every_format(exported) -> None:
    data, write = exported
    rows = records(data)
    assert write("x.csv").read_text() == csv_text(data)
    columns = list(csv.DictReader(io.StringIO(csv_text(data))).fieldnames)
    assert list(pd.read_parquet(write("x.parquet")).columns) == columns
    whole = json.loads(write("x.json").read_text())
    assert whole["schema"] == SCHEMA
    assert [r["record"] for r in whole["results"]] == json.loads(json.dumps(rows))
    frames = read(write("x.extxyz"), index=":")
    assert frames[0].info["candidate_id"] == next(
        r["candidate_id"] for r in rows if r["candidate_id"] == frames[0].info["label"]
    )
    assert any(key.startswith("average_voltage_V") for key in frames[-1].info)


def test_rounds_count_from_one_and_places_are_told(exported) -> None:
    data, _ = exported
    rows = records(data)
    assert min(r["round"] for r in rows) == 1
    chosen = [r for r in rows if r["chosen_rank"] is not None]
    assert chosen
    assert all(r["request_id"] or r["verdict"] == "pass" for r in chosen)
    measured = [r for r in rows if r["outcome"] is not None]
    assert all(r["simulated"] is True for r in measured)
    assert any(name.startswith("measured ") for r in measured for name in r)


def test_a_zip_lists_both_states_and_says_what_they_are(exported) -> None:
    _, write = exported
    with zipfile.ZipFile(write("x.zip")) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        names = set(archive.namelist()) - {"manifest.json"}
        assert names == {name for states in manifest["files"].values() for name in states.values()}
        assert not any(c in name for name in names for c in "()[]")
        assert {"discharged", "charged"} == {state for states in manifest["files"].values() for state in states}
        text = archive.read(sorted(names)[0]).decode()
    assert re.match(
        r"# A prediction of Redoxa [\d.]+, relaxed with chgnet-0\.3\.0; not measured\.\n# \w+_\w+charged\n", text
    )
    assert manifest["schema"] == SCHEMA


def test_an_unknown_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no export format"):
        module.export(None, tmp_path / "x.xlsx")  # type: ignore[arg-type]
