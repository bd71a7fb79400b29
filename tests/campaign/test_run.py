"""A whole campaign through the real command: generator, potential, queue, simulated laboratory, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pymatgen.core import Structure

import redoxa as pyredoxa
from tests.campaign.conftest import TINY, Finished, contents, here, redoxa


def test_a_campaign_runs_to_its_end(tiny_run: tuple[Path, Finished]) -> None:
    folder, done = tiny_run
    assert done.code == 0, done.err
    summary = done.summary
    counts = summary["counts"]
    assert counts["generated"] == 28
    assert counts["screened"] == counts["candidates"] <= 28
    assert counts["relaxed_both_states"] >= 3
    assert summary["queued"] >= 1
    assert summary["measured"] == summary["queued"]
    assert (folder / summary["report"]).stat().st_size > 50_000
    assert 'class="plot latent"' in (folder / summary["report"]).read_text()
    assert summary["ended"] == "all 2 rounds are complete"


def test_a_normal_run_is_quiet_and_asks_the_network_for_nothing(tiny_run: tuple[Path, Finished]) -> None:
    folder, done = tiny_run
    assert not (folder / "network.log").exists(), (folder / "network.log").read_text()
    assert done.err == ""
    assert len(done.out.strip().splitlines()) == 1


def test_a_second_run_adds_and_repeats_nothing(tiny_run: tuple[Path, Finished]) -> None:
    folder, done = tiny_run
    before = contents(folder / "runs" / "redoxa.db")
    again = redoxa("run", TINY, "--json", "--no-prefect", cwd=folder)
    assert again.code == 0, again.err
    assert contents(folder / "runs" / "redoxa.db") == before
    assert again.summary["seconds_by_stage"] == done.summary["seconds_by_stage"]


def test_what_the_run_left_can_be_looked_at(tiny_run: tuple[Path, Finished]) -> None:
    folder, done = tiny_run
    status = redoxa("status", "--json", cwd=folder)
    assert status.code == 0
    assert status.summary.items() <= {**done.summary, "trouble": []}.items()
    for name in ("x.csv", "x.json", "x.parquet", "x.zip", "x.extxyz"):
        written = here("export", "tiny", name, cwd=folder)
        assert written.code == 0, written.err
        assert (folder / name).stat().st_size > 100
    queue = here("queue", "list", "--json", cwd=folder)
    assert queue.out.count('"done"') == done.summary["measured"]
    first = json.loads(queue.out.splitlines()[0])["request_id"]
    assert json.loads(here("queue", "show", first[:8], cwd=folder).out)["request_id"] == first


def test_a_mistyped_campaign_name_is_explained(tiny_run: tuple[Path, Finished]) -> None:
    folder, _ = tiny_run
    done = here("report", "tyni", cwd=folder)
    assert done.code == 2
    assert "Did you mean 'tiny'" in done.err
    assert "Traceback" not in done.err


def test_what_the_run_left_in_python(tiny_run: tuple[Path, Finished], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, done = tiny_run
    monkeypatch.chdir(folder)
    campaign = pyredoxa.open("tiny")
    again = campaign.run()
    assert not again.did_something
    assert again.to_json().items() <= done.summary.items()
    assert len(campaign.candidates) == len(campaign.frame()) == done.summary["counts"]["candidates"]
    passed = [one for one in campaign.candidates if one.verdict == "pass"]
    assert len(passed) == done.summary["counts"]["verdict_pass"]
    assert isinstance(passed[0].charged, Structure)
    assert passed[0]["average_voltage"].unit == "V"
    assert len(campaign.measurements) == done.summary["measured"]
    assert all(measurement.simulated for measurement in campaign.measurements)
    assert campaign.report.read_text().count("<h2") > 3
    assert campaign.export("mine.parquet").exists()
    assert campaign._repr_html_().startswith("<iframe")
