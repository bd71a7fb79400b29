"""A package from outside the tree adds a generator, a property, a driver and a potential by entry points alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.campaign.conftest import ROOT, TINY, here, redoxa

ENTRY_POINTS = """
[redoxa.generators]
acme_swaps = acme:Swaps
flow = acme:Swaps
[redoxa.properties]
acme_bulk = acme:Bulk
[redoxa.drivers]
acme_bench = acme:Bench
[redoxa.potentials]
acme_network = acme:Network
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Environment in which the package is installed as pip leaves one."""
    site = tmp_path / "site"
    told = site / "acme-1.0.dist-info"
    told.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "acme" / "acme.py", site)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize(
    ("kind", "name", "summary"),
    [
        ("generators", "acme_swaps", "swaps elements, by Acme"),
        ("properties", "acme_bulk", "bulk density, by Acme"),
        ("drivers", "acme_bench", "a bench that is simulated, by Acme"),
    ],
)
def test_it_is_listed(kind: str, name: str, summary: str, installed: dict[str, str], tmp_path: Path) -> None:
    done = redoxa("list", kind, "--json", cwd=tmp_path, env=installed)
    rows = {row["name"]: row["summary"] for row in map(json.loads, done.out.splitlines())}
    assert rows[name] == summary
    assert rows.get("flow", "").startswith("joint flow matching") == (kind == "generators")  # ours keeps its name
    without = here("list", kind, "--json", cwd=tmp_path)
    assert name not in without.out


def test_its_property_is_listed_with_its_unit_and_label(installed: dict[str, str], tmp_path: Path) -> None:
    done = redoxa("list", "properties", "--json", cwd=tmp_path, env=installed)
    rows = {row["name"]: row for row in map(json.loads, done.out.splitlines())}
    assert (rows["acme_bulk"]["unit"], rows["acme_bulk"]["label"]) == ("g/cm3", "Acme bulk density")
    table = redoxa("list", "properties", cwd=tmp_path, env={**installed, "COLUMNS": "200"}).out
    line = next(line for line in table.splitlines() if line.startswith("acme_bulk"))
    assert "g/cm3" in line
    assert "Acme bulk density" in line


def test_a_campaign_may_aim_at_its_property_while_it_is_installed(installed: dict[str, str], tmp_path: Path) -> None:
    spec = yaml.safe_load(TINY.read_text())
    spec["goal"]["objectives"]["acme_bulk"] = {"min": 1}
    (tmp_path / "acme.yaml").write_text(yaml.safe_dump(spec))
    done = redoxa("validate", "acme.yaml", "--json", cwd=tmp_path, env=installed)
    assert done.code == 0, done.err
    assert done.summary["good"] is True
    without = redoxa("validate", "acme.yaml", "--json", cwd=tmp_path)
    assert without.code == 2
    assert "'acme_bulk' is not a property" in without.out


PAGES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from redoxa.data.records import Estimate
from redoxa.pipeline.pages.screening_page import build_screening_page
from tests.web.screening_sample import assessed, screening
row = assessed(0)
bulk = Estimate(value=3.5, sigma=0.1, unit="g/cm3", method="weighed", model="acme")
def page(estimates):
    result = row.result.model_copy(update={"estimates": estimates})
    return build_screening_page(screening(row.__class__(name="a.cif", candidate=row.candidate, result=result)))
print(json.dumps([page({**row.result.estimates, "acme_bulk": bulk}), page(row.result.estimates)]))
"""


def pages(tmp_path: Path, env: dict[str, str]) -> list[str]:
    """A page of one card with a number of the property, and one without."""
    done = subprocess.run(
        [sys.executable, "-c", PAGES, str(ROOT)],
        cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[str] = json.loads(done.stdout)
    return found


def part_of(label: str, page: str) -> str:
    """Title of the part of the card whose table holds a property."""
    (title,) = (part.partition("<")[0] for part in page.split("<h4>")[1:] if f">{label}<" in part)
    return title


def test_a_card_shows_its_label_in_its_part(installed: dict[str, str], tmp_path: Path) -> None:
    with_it, lacking = pages(tmp_path, installed)
    assert part_of("Acme bulk density", with_it) == "Practicalities"
    assert "Acme bulk density: Acme weighed nothing." in lacking


def test_its_numbers_are_still_shown_once_the_package_is_gone(tmp_path: Path) -> None:
    with_it, lacking = pages(tmp_path, {})
    assert part_of("Acme bulk", with_it) == "Further results"
    assert "Acme" not in lacking


def test_doctor_says_what_it_adds_and_what_it_cannot(installed: dict[str, str], tmp_path: Path) -> None:
    done = redoxa("doctor", "--json", cwd=tmp_path, env=installed)
    rows = [row for row in map(json.loads, done.out.splitlines()) if row["check"].startswith("acme:")]
    assert [(row["found"], row["ok"]) for row in rows] == [
        ("acme_swaps in generators", True),
        ("flow in generators", False),
        ("acme_bulk in properties", True),
        ("acme_bench in drivers", True),
        ("acme_network in potentials", True),
    ]
    assert rows[1]["advice"] == "'flow' is taken: its package has to choose another name"


def test_the_reference_of_properties_names_it(installed: dict[str, str], tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'docs')!r}); import generate; print(generate.properties())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **installed}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "| `acme_bulk` | g/cm3 | bulk density, by Acme |" in done.stdout
    assert "| `average_voltage` | V |" in done.stdout


def test_one_that_is_broken_breaks_nothing_else(installed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "site" / "acme.py").write_text("import a_module_that_is_not_there\n")
    rows = {
        row["check"]: row
        for row in map(json.loads, redoxa("doctor", "--json", cwd=tmp_path, env=installed).out.splitlines())
    }
    assert not rows["acme:Bulk"]["ok"]
    assert "cannot be imported: No module named 'a_module_that_is_not_there'" in rows["acme:Bulk"]["advice"]
    listed = redoxa("list", "properties", "--json", cwd=tmp_path, env=installed)
    assert listed.code == 0, listed.err
    assert "cannot be imported" in next(x for x in listed.out.splitlines() if '"acme_bulk"' in x)
    with_it, _ = pages(tmp_path, installed)
    assert part_of("Acme bulk", with_it) == "Further results"


@pytest.mark.slow
def test_a_campaign_of_its_kinds_runs_to_its_report(installed: dict[str, str], tmp_path: Path) -> None:
    spec = yaml.safe_load(TINY.read_text())
    spec["goal"]["objectives"]["acme_bulk"] = {"min": 1}
    spec |= {
        "generate": [{"kind": "acme_swaps", "count": 16}],
        "screen": {"potential": "acme_network"},
        "lab": {"driver": "acme_bench", "approval": "auto"},
        "stop": {"rounds": 1},
    }
    (tmp_path / "acme.yaml").write_text(yaml.safe_dump(spec))
    done = redoxa("run", "acme.yaml", "--no-prefect", "--json", cwd=tmp_path, env=installed)
    assert done.code == 0, done.err
    assert done.summary["counts"]["candidates"] == 16
    assert done.summary["measured"] >= 1
    page = (tmp_path / "runs" / "tiny" / "report.html").read_text()
    assert "acme_swaps" in page
    assert "acme_bulk" in page or "Acme bulk" in page
    again = redoxa("status", "--json", cwd=tmp_path)
    assert again.code == 1  # without the package, its campaigns cannot be read
    assert "acme" in again.err
