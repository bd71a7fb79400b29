"""The command: a user's mistake gives exit code 2, one clear message, no traceback, and leaves the store alone."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.campaign import CampaignSpec
from pipeline.cli_science import generate
from tests.unit.data.test_io import BAD as BAD_STRUCTURES
from tests.unit.pipeline.test_spec_file import BAD as BAD_CAMPAIGNS


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run the command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["redoxa", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", BAD_CAMPAIGNS, ids=lambda c: c.replace(" ", "-"))
def test_bad_campaigns(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("campaign.yaml").write_text(BAD_CAMPAIGNS[case][0])
    for verb in (["run"], ["validate"]):
        code, out, err = run(capsys, *verb, "campaign.yaml")
        assert code == 2
        assert out == ""
        assert err.startswith("redoxa: campaign.yaml:")
        assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["campaign.yaml"]


@pytest.mark.parametrize("case", BAD_STRUCTURES, ids=lambda c: c.replace(" ", "-"))
def test_bad_structures(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, _ = BAD_STRUCTURES[case]
    if case != "missing":
        Path(name).write_bytes(content)
    code, out, err = run(capsys, "screen", name, "--ion", "Li", "--json")
    assert code == 2
    assert err.startswith(f"redoxa: {name}")
    assert "Traceback" not in err
    assert err.count("\n") == 1
    row = json.loads(out)
    assert row["verdict"] == "error"
    assert set(row) >= {"file", "formula", "working_ion", "verdict", "reasons", "properties"}
    assert {p.name for p in tmp_path.iterdir()} <= {name}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["frobnicate"], "frobnicate"),
        (["run"], "requires an argument"),
        (["generate", "-n", "0"], "Must be >= 1"),
        (["generate", "--elements", "Xq"], "'Xq' is not an element symbol"),
        (["generate", "--generator", "flwo"], "Did you mean 'flow'"),
        (["screen"], "name at least one structure file"),
        (["screen", "x.cif", "--ion", "Rb"], "not a working ion"),
        (["list", "generator"], "Did you mean 'generators'"),
        (["export", "nothing", "x.csv"], "no store here yet"),
        (["status"], "no store here yet"),
        (["queue", "list"], "no store here yet"),
        (["init", "."], "exists already"),
        (["train", "--data", "none.parquet"], "no such file"),
        (["train", "--generator", "vae", "--edges", "9000"], "--edges is of flow and diffusion"),
        (["train", "--generator", "orbits", "--rate", "0.1"], "--rate: orbits has a fixed one"),
        (["reference", "add"], "name a file with phases"),
        (["reference", "add", "--materials-project", "Li-Co-O"], "MP_API_KEY"),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, list) else "",
)
def test_mistakes_on_the_command_line(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *args)
    assert code in (1, 2)
    assert message in err
    assert "Traceback" not in err
    assert not Path("runs").exists()


def test_init_writes_a_campaign_that_validates(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "init", "new/mine.yaml")[0] == 0
    code, out, _ = run(capsys, "validate", "new/mine.yaml")
    assert code == 0
    assert "Campaign 'my-campaign'" in out
    assert run(capsys, "init", "new/mine.yaml")[0] == 2
    assert run(capsys, "init", "new/mine.yaml", "--force")[0] == 0


@pytest.mark.parametrize("what", ["generators", "properties", "drivers"])
def test_lists_for_machines(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", what, "--json")
    assert code == 0
    rows = json.loads(out)
    assert rows
    for row in rows:
        assert set(row) == {"name", "default", "summary"}
        assert len(row["summary"]) > 15


def test_what_is_taken_by_default_is_what_a_campaign_takes(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(capsys, "list", "generators", "--json")[1])
    campaign = CampaignSpec(name="x")
    assert {row["name"] for row in rows if row["default"]} == {step.kind for step in campaign.generate}
    assert inspect.signature(generate).parameters["generator"].default == campaign.generate[0].kind == "orbits"
    assert inspect.signature(generate).parameters["charge_neutral"].default is campaign.chemistry.charge_neutral is True


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "chemistry" in json.loads(run(capsys, "schema")[1])["properties"]


def test_help_needs_neither_torch_nor_pymatgen() -> None:
    code = "import sys; sys.argv = ['redoxa', '--help']\nfrom pipeline.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    check = "print([m for m in ('torch', 'pymatgen', 'pandas', 'prefect') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    for verb in (
        "init",
        "validate",
        "run",
        "status",
        "generate",
        "screen",
        "evaluate",
        "train",
        "reference",
        "queue",
        "lab",
    ):
        assert f" {verb} " in done.stdout
