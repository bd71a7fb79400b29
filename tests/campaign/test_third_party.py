"""A package from outside the tree adds a generator, a property, a driver and a potential by entry points alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from tests.campaign.conftest import TINY, here, redoxa

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
