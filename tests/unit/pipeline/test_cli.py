"""The command: a user's mistake gives exit code 2, one clear message, no traceback, and leaves the store alone."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from redoxa.data.errors import GenerationError, InputError, RedoxaError, SafetyError
from redoxa.data.tables.prototypes import prototype
from redoxa.generators import GENERATORS
from redoxa.generators.base import Condition, HasLikelihood, PredictsFormula, generator_class
from redoxa.generators.composition.families import FAMILIES
from redoxa.pipeline.campaign.lookup import find_spec, whole_id
from redoxa.pipeline.campaign.session import Session, register
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.campaign.spec_file import read_spec
from redoxa.pipeline.commands import app as cli
from redoxa.pipeline.commands.queue import open_queue
from redoxa.pipeline.commands.science import generate
from redoxa.pipeline.unattended.prefect_env import QUIET, faults_told
from tests.unit.data.test_io import BAD as BAD_STRUCTURES
from tests.unit.pipeline.test_spec_file import BAD as BAD_CAMPAIGNS
from tests.unit.robotics.samples import make_request

ROOT = Path(__file__).parents[3]
DOCUMENTED = set(
    re.findall(r"^\| `(redoxa\.\w+/\d+)`", (ROOT / "docs" / "reference" / "results.md").read_text(), re.MULTILINE)
)
DOCUMENTED.add("redoxa.error/1")


ABILITIES = {"models", "conditions", "targets", "likelihood", "completes", "ranks_formulas"}


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run the command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["redoxa", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def lines(out: str) -> list[dict[str, Any]]:
    """What `--json` printed: one object a line, each with a schema that docs/reference/results.md explains."""
    rows = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert {row["schema"] for row in rows} <= DOCUMENTED
    return rows


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
        (["train", "--generator", "geometry", "--start", "shipped"], "--start: geometry begins with random weights"),
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


def test_every_form_of_json_is_documented() -> None:
    code = "".join(path.read_text() for path in (ROOT / "pipeline").rglob("*.py"))
    assert {f"redoxa.{what}/1" for what in re.findall(r'\bemit\(\s*"(\w+)"', code)} == DOCUMENTED


def test_an_error_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["status"], ["frobnicate"], ["run", "none.yaml"], ["queue", "approve"], ["screen", "."]):
        code, out, err = run(capsys, *args, "--json")
        (row,) = lines(out)
        assert (row["schema"], row["exit_code"]) == ("redoxa.error/1", code)
        assert err.rstrip("\n") == f"redoxa: {row['error']}"


def test_campaign_files_are_validated_each(capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("bad", "seed: 3\nstpo: {}\n"), ("good", "seed: 3")):
        Path(f"{name}.yaml").write_text(text)
    code, out, err = run(capsys, "validate", "bad.yaml", "none.yaml", "good.yaml", "--json")
    assert code == 2
    bad, none, good = lines(out)
    assert bad["problems"][0].startswith("bad.yaml:2:1: 'stpo' is not a key here. Did you mean 'stop'?")
    assert none["problems"] == ["none.yaml: no such file. `redoxa init none.yaml` writes an example there."]
    assert (good["good"], good["campaign"]) == (True, "good")
    assert err.count("redoxa: ") == 2


def test_files_are_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = lines(run(capsys, "init", "x.yaml", "--json")[1])
    register("runs/redoxa.db", read_spec(Path("x.yaml")))
    (table,) = lines(run(capsys, "export", "my-campaign", "x.csv", "--json")[1])
    (page,) = lines(run(capsys, "report", "my-campaign", "--json")[1])
    assert (row["file"], table["file"], table["rows"]) == ("x.yaml", "x.csv", 0)
    assert Path(page["file"]).stat().st_size > 10_000
    assert lines(run(capsys, "queue", "list", "--json")[1]) == []
    assert lines(run(capsys, "lab", "status", "--json")[1])[0]["requests"] == {}
    assert {row["check"] for row in lines(run(capsys, "doctor", "--json")[1])} >= {"torch", "store", "chromium"}
    phases = lines(run(capsys, "reference", "show", "Li-Fe-P-O", "--json")[1])
    assert {"Li", "LiFePO4"} <= {row["formula"] for row in phases}


def test_the_version_is_the_one_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[1].strip() == importlib.metadata.version("redoxa")


def test_a_failed_screening_leaves_the_last_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path("runs/screening.html")
    page.parent.mkdir()
    page.write_text("the last one")
    Path("x.cif").touch()
    for args in ((), ("--html", page)):
        assert run(capsys, "screen", "x.cif", *args)[0] == 2
        assert page.read_text() == "the last one"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "init", "/dev/full", "--force")
    assert (code, out) == (1, "")
    assert err.startswith("redoxa: ")
    assert err.endswith("No space left on device. Free some space and run again; what was finished is kept\n")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of our own on a folder, where that is allowed."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "redoxa", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")
        return folder

    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)  # stores are still open


def test_a_store_on_a_full_disk(mounted: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = mounted("size=40k")
    Path("c.yaml").write_text("generate: [{kind: substitution, count: 2}]\n")
    code, _, err = run(capsys, "run", "c.yaml", "--no-prefect", "--store", folder / "r.db")
    assert code == 1
    assert err.startswith(f"redoxa: {folder}/r.db: the store cannot be used: database or disk is full. Free some space")


def test_a_folder_that_can_only_be_read(mounted: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = mounted("size=10m")
    where = folder / "r.db"
    Path("c.yaml").write_text("{seed: 3}\n")
    register(str(where), read_spec(Path("c.yaml")))
    mounted("remount,ro")
    code, out, _ = run(capsys, "status", "--json", "--store", where)
    assert (code, json.loads(out)["campaign"]) == (0, "c")
    assert run(capsys, "report", "c", "--out", "page.html", "--store", where)[0] == 0
    code, _, err = run(capsys, "report", "c", "--store", where)
    assert code == 2
    assert err.startswith(f"redoxa: {folder}/c: Read-only file system. Name a path that can be used")
    code, _, err = run(capsys, "run", "c.yaml", "--no-prefect", "--store", where)
    assert code == 1
    assert "It can only be read here" in err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/api", "http://localhost:port/api", "nonsense"])
@pytest.mark.parametrize("verb", ["run", "serve", "deploy --pool night"])
def test_a_prefect_server_that_does_not_answer(
    verb: str, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in QUIET:
        monkeypatch.setenv(name, QUIET[name])
    monkeypatch.setenv("PREFECT_HOME", str(Path.cwd()))
    monkeypatch.setenv("PREFECT_API_URL", url)
    Path("c.yaml").write_text("schedule: {every_minutes: 60}\n")
    code, _, err = run(capsys, *verb.split(), "c.yaml")
    assert code == 2
    assert f"redoxa: PREFECT_API_URL={url}: no Prefect server answers there (" in err
    assert "Traceback" not in err


def test_an_interruption_says_what_it_leaves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_where: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("redoxa.pipeline.commands.doctor.checks", interrupted)
    monkeypatch.setattr("redoxa.pipeline.commands.interrupt._kept", [])
    code, _, err = run(capsys, "doctor")
    assert (code, err) == (130, "redoxa: interrupted; what was finished is kept; to go on: redoxa doctor\n")


@pytest.mark.parametrize(("first", "told"), [(KeyboardInterrupt, KeyboardInterrupt), (ValueError, RedoxaError)])
def test_a_server_that_goes_away(
    first: type[BaseException], told: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(told), faults_told():
        try:
            raise first
        except first:
            raise httpx.ConnectError("gone")  # noqa: B904


def test_a_campaign_is_named_by_name_id_or_file(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("my file.yaml")
    file.write_text("{seed: 3}\n")
    code, out, _ = run(capsys, "validate", file)
    assert (code, "Campaign 'my-file', after its file, id" in out) == (0, True)
    spec = read_spec(file)
    register("runs/redoxa.db", spec)
    register("runs/redoxa.db", CampaignSpec(name="other"))
    for named in ("my-file", spec.id, file):
        code, out, _ = run(capsys, "status", named, "--json")
        assert (code, [row["campaign_id"] for row in lines(out)]) == (0, [spec.id])
        assert find_spec("runs/redoxa.db", str(named)) == spec
    assert run(capsys, "export", file, "x.csv")[0] == 0
    file.write_text("{seed: 4}\n")
    code, _, err = run(capsys, "export", file, "x.csv")
    assert code == 2
    assert "as the file stands now, has not run" in err
    code, _, err = run(capsys, "run", "mine")
    assert (code, "no such file" in err) == (2, True)


def test_campaigns_of_one_name_do_not_share_a_folder() -> None:
    where = "runs/redoxa.db"
    specs = [CampaignSpec(name=name, seed=seed) for name in ("twin", "redoxa.db") for seed in (1, 2)]
    folders = [Session(where, spec).own_folder() for spec in specs]
    assert [folder.name for folder in folders] == [
        "twin",
        f"twin-{specs[1].id[:8]}",
        *(f"redoxa.db-{spec.id[:8]}" for spec in specs[2:]),
    ]
    assert [Session(where, spec).folder for spec in specs] == folders


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
    rows = lines(out)
    assert rows
    for row in rows:
        more = {"properties": {"unit", "label"}, "generators": ABILITIES}.get(what, set())
        assert set(row) - {"families"} == {"schema", "name", "default", "summary"} | more
        assert len(row["summary"]) > 15


@pytest.mark.parametrize("name", GENERATORS)
def test_what_a_generator_is_said_to_do_is_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = (row for row in lines(run(capsys, "list", "generators", "--json")[1]) if row["name"] == name)
    kind, rng = generator_class(name), np.random.default_rng(0)
    generator = kind()
    host = prototype("O3 LiCoO2").crystal
    asked = {"groups": Condition(groups=frozenset({225})), "like": Condition(like=host, keep=frozenset({8}))}
    for what, condition in asked.items():
        if what not in row["conditions"]:
            with pytest.raises(GenerationError, match=f"{name} cannot choose {what}"):
                generator.sample(1, condition, rng)
    assert (row["likelihood"] is not None) == isinstance(generator, HasLikelihood)
    assert row["ranks_formulas"] == isinstance(generator, PredictsFormula)
    assert row["targets"] == sorted(kind.aims)
    assert row["models"] or row["families"]
    families = {one["name"]: one for one in row.get("families", [])}
    assert set(families) == (set(FAMILIES) if name == "composition" else set())
    if families:
        assert {families[name]["likelihood"] for name in ("lstm", "hmm")} == {"log_formula, exact"}
        assert {families[name]["likelihood"] for name in ("rbm", "dbm")} == {"log_formula, AIS"}
        assert [name for name, one in families.items() if one["targets"]] == ["dbm"]


def test_what_is_taken_by_default_is_what_a_campaign_takes(capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(run(capsys, "list", "generators", "--json")[1])
    campaign = CampaignSpec(name="x")
    assert {row["name"] for row in rows if row["default"]} == {step.kind for step in campaign.generate}
    assert inspect.signature(generate).parameters["generator"].default == campaign.generate[0].kind == "orbits"
    assert inspect.signature(generate).parameters["charge_neutral"].default is campaign.chemistry.charge_neutral is True


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "chemistry" in json.loads(run(capsys, "schema")[1])["properties"]


def test_help_needs_neither_torch_nor_pymatgen() -> None:
    code = "import sys; sys.argv = ['redoxa', '--help']\nfrom redoxa.pipeline.commands.app import main\ntry: main()\nexcept SystemExit: pass\n"
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


def test_the_first_characters_of_an_id_are_enough_where_they_name_one() -> None:
    ids = ["c8d67f24", "c8d60000", "8159932", "8159"]
    assert whole_id("request", "c8d67", ids) == "c8d67f24"
    assert whole_id("request", "8159", ids) == "8159"  # whole, though it begins another
    assert whole_id("request", "815", ids) is None  # too short to be meant
    assert whole_id("request", "ffff", ids) is None
    with pytest.raises(InputError, match="begins 2 requests: c8d60000, c8d67f24"):
        whole_id("request", "c8d6", ids)


def test_what_the_laboratory_has(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDOXA_LABORATORY", raising=False)
    code, out, err = run(capsys, "lab", "check")
    assert code == 0
    assert "no laboratory.yaml here" in out
    assert "furnace: to 1050 C" in out
    assert "nobody listed" in out
    assert "redoxa lab example > laboratory.yaml" in err
    (assumed,) = lines(run(capsys, "lab", "check", "--json")[1])
    assert (assumed["schema"], assumed["file"], assumed["stock"]) == ("redoxa.laboratory/1", None, None)

    Path("laboratory.yaml").write_text(run(capsys, "lab", "example")[1], encoding="utf-8")
    code, out, err = run(capsys, "lab", "check")
    assert code == 0
    for text in (
        "laboratory.yaml: Example laboratory",
        "furnace box: to 1050 C, 4 at once, 0.1 to 10 C/min",
        "argon/hydrogen 95/5",
        "exhaust, no scrubber",
        "glove box: yes",
        "stock: 4 powders, 950 g",
        "cycler: 8 channels, ranges 0.1, 1, 10 mA, -1 to 5 V",
        "diffractometer: takes X-ray patterns; 1 sample at once",
        "Ada Lovelace (approves and overrides)",
    ):
        assert text in out
    assert "next: redoxa queue list" in err
    (told,) = lines(run(capsys, "lab", "check", "--json")[1])
    assert told["file"] == "laboratory.yaml"
    assert told["furnaces"][0]["vessels"] == sorted(told["furnaces"][0]["vessels"])
    assert len(told["stock"]) == 4


def test_a_laboratory_file_that_is_not_in_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDOXA_LABORATORY", raising=False)
    Path("north.yaml").write_text("people: [{name: Ada, may_approve: false}]\n")
    code, out, err = run(capsys, "lab", "check", "north.yaml")
    assert code == 0
    assert "Ada (looks). Nobody may approve: every request waits. An override takes two" in out
    assert "export REDOXA_LABORATORY=north.yaml" in err
    monkeypatch.setenv("REDOXA_LABORATORY", "north.yaml")
    assert "north.yaml: north\n" in run(capsys, "lab", "check")[1]
    assert "next: redoxa queue list" in run(capsys, "lab", "check", "./north.yaml")[2]
    monkeypatch.setenv("REDOXA_LABORATORY", "none.yaml")
    assert run(capsys, "lab", "check")[0] == 2
    assert run(capsys, "lab", "check", "north.yaml")[0] == 0


def test_a_bad_laboratory_file_ends_with_its_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("laboratory.yaml").write_text("glovebox: 'yes'\nfurnaces: [{max_temperature: 1}]\n")
    code, out, err = run(capsys, "lab", "check")
    assert (code, out) == (2, "")
    assert "laboratory.yaml:1:11: glovebox" in err
    assert "laboratory.yaml:2:13: furnaces[0]: 'max_temperature' is not a key here" in err
    code, out, _ = run(capsys, "lab", "check", "--json")
    assert (code, lines(out)[0]["exit_code"]) == (2, 2)
    assert run(capsys, "lab", "check", "gone.yaml")[0] == 2


def test_two_persons_override_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    register("runs/redoxa.db", CampaignSpec(name="x"))
    heavy = make_request("LiCoO2", mass_g=30.0)
    with pytest.raises(SafetyError, match="S007"):
        open_queue("runs/redoxa.db").propose(heavy)
    key = heavy.content_hash
    order = ["queue", "override", key[:8], "--rule", "S007", "--by", "Ada"]
    assert run(capsys, *order, "--second", "Grace")[0] == 2  # no reason
    assert run(capsys, *order, "--why", "tested")[0] == 2  # nobody else
    assert "takes two persons" in run(capsys, *order, "--second", "ada", "--why", "tested")[2]
    code, out, err = run(capsys, *order, "--rule", "S011", "--second", "Grace", "--why", "tested")
    assert code == 1
    assert (
        "S011 (toxic gases only into an exhaust, acid gases only into a scrubber) cannot be overridden by anybody"
        in err
    )
    code, out, err = run(capsys, *order, "--second", "Grace", "--why", "tested")
    assert (code, out) == (0, f"{key}: S007 overridden\n")
    assert f"redoxa queue approve {key[:8]}" in err
    (told,) = lines(run(capsys, "queue", "list", "--json")[1])
    assert (told["request_state"], told["safe"], told["overridden"]) == ("proposed", True, ["S007"])
    (shown,) = lines(run(capsys, "queue", "show", key[:8], "--json")[1])
    assert shown["history"][-1]["why"] == "S007 overridden by Ada and Grace: tested"
    Path("laboratory.yaml").write_text("people: [{name: Marie}]\n")
    code, _, err = run(capsys, "queue", "approve", key[:8])
    assert code == 2
    assert "Who may: Marie" in err
    assert run(capsys, "queue", "approve", key[:8], "--by", "Marie")[0] == 0  # who works here changes no rule
