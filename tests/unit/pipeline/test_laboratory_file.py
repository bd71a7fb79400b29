"""Laboratory files: what a laboratory has is read from one file, and mistakes in it are told with line and column."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from redoxa.data.errors import InputError
from redoxa.data.lab.laboratory import Bench, Cycler, Furnace, Laboratory, Person, Powder
from redoxa.pipeline.campaign.session import register, session_for
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.commands.queue import open_queue
from redoxa.pipeline.laboratory.laboratory_file import EXAMPLE, current_laboratory, read_laboratory
from tests.unit.robotics.samples import make_request


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDOXA_LABORATORY", raising=False)


BAD: dict[str, tuple[str, str]] = {
    "empty": ("# nothing\n", r":1:1: the file is empty\. `redoxa lab example` prints an example"),
    "no mapping": ("- box\n", r":1:1: a laboratory file is a list of `key: value` lines"),
    "broken yaml": ("furnaces: [{name: box}\n", r":2:1: this is not valid YAML"),
    "no date": ("name: 2026-13-45\n", r"holds a value that cannot be read"),
    "given twice": ("glovebox: true\nglovebox: false\n", r":2:1: 'glovebox' stands here a second time"),
    "alias": ("furnaces: &a [{name: b}]\ncyclers: *a\n", r":2:10: YAML aliases"),
    "unknown key": ("furnace: []\n", r":1:1: 'furnace' is not a key here\. Did you mean 'furnaces'\?"),
    "unknown inner key": (
        "furnaces:\n  - max_temperature: 900\n",
        r":2:5: furnaces\[0\]: 'max_temperature' is not a key here\. Did you mean 'max_temperature_C'\?",
    ),
    "atmosphere": (
        "furnaces: [{atmospheres: [air, argn]}]\n",
        r":1:32: furnaces\[0\]\.atmospheres\[1\]: 'argn' is not possible here\. Did you mean 'argon'\?",
    ),
    "vessel": ("furnaces: [{vessels: [alumna crucible]}]\n", r":1:23: .*Did you mean 'alumina crucible'\?"),
    "kelvin": ("furnaces:\n  - max_temperature_C: 1873\n", r":2:24: .*\(found 1873\)\. .*1873 K are 1600 C"),
    "unit in text": ("furnaces: [{max_temperature_C: 900 C}]\n", r":1:32: .*is a number; .*without unit.*'900 C'"),
    "number in quotes": ("max_target_g: '5'\n", r":1:15: max_target_g: is a number; .*\(found '5'\)"),
    "yes for a number": ("max_target_g: yes\n", r":1:15: max_target_g: is a number"),
    "yes in quotes": ("glovebox: 'yes'\n", r":1:11: glovebox: is true or false; .*\(found 'yes'\)"),
    "one for yes": ("glovebox: 1\n", r":1:11: glovebox: is true or false"),
    "switch in quotes": ("people: [{name: Ada, may_override: 'true'}]\n", r":1:36: .*is true or false"),
    "nan": ("max_target_g: .nan\n", r":1:15: max_target_g: .*finite"),
    "infinite": ("furnaces: [{max_gas_mol: .inf}]\n", r":1:26: .*finite"),
    "norway": ("name: no\n", r":1:7: name: is a text"),
    "percent": ("stock: [{formula: Li2CO3, amount_g: 5, purity: 99.5}]\n", r":1:48: .*99\.5 % is 0\.995"),
    "nothing in the jar": ("stock: [{formula: Li2CO3, amount_g: 0}]\n", r":1:37: stock\[0\]\.amount_g: .*greater"),
    "no amount": ("stock: [{formula: Li2CO3}]\n", r":1:9: stock\[0\]: 'amount_g' is missing"),
    "dot": ("stock: [{formula: FeC2O4.2H2O, amount_g: 1}]\n", r":1:19: .*'FeC2O4\.2H2O' is not .* Write FeC2O4·2H2O"),
    "star": ("stock: [{formula: FeC2O4*2H2O, amount_g: 1}]\n", r"Write FeC2O4·2H2O"),
    "subscripts": ("stock: [{formula: Li₂CO₃, amount_g: 1}]\n", r"Write Li2CO3"),
    "name of a powder": ("stock: [{formula: lithium carbonate, amount_g: 1}]\n", r"Write Li2CO3"),
    "near formula": ("stock: [{formula: Li2C03, amount_g: 1}]\n", r"Did you mean 'Li2CO3'"),
    "strange formula": ("stock: [{formula: XYZ9, amount_g: 1}]\n", r"All \d+ formulas are in"),
    "scrubber alone": (
        "furnaces:\n  - exhaust: false\n    scrubber: true\n",
        r":3:15: furnaces\[0\]\.scrubber: a scrubber washes what an exhaust draws",
    ),
    "ramps crossed": ("furnaces: [{max_ramp_C_per_min: 0.05}]\n", r":1:33: .*slowest ramp, 0\.1 .* fastest, 0\.05"),
    "no gas at all": ("furnaces: [{atmospheres: []}]\n", r":1:26: .*without any gas"),
    "no furnace": ("furnaces: []\n", r":1:11: furnaces: .*at least 1"),
    "furnaces no list": ("furnaces: {name: box}\n", r":1:11: furnaces: .*list"),
    "millivolt": ("cyclers: [{max_V: 5000}]\n", r":1:19: cyclers\[0\]\.max_V: in V, not in mV: 5000 mV are 5 V"),
    "window upside down": ("cyclers: [{min_V: 3, max_V: 2}]\n", r":1:11: cyclers\[0\]: min_V 3 is not below max_V 2"),
    "furnace twice": (
        "furnaces:\n  - name: a\n  - name: a\n",
        r":3:11: furnaces\[1\]\.name: 'a' is listed twice\. Give each its own name",
    ),
    "nameless twice": ("furnaces: [{}, {}]\n", r":1:16: .*without a name it is 'furnace', listed twice"),
    "person twice": ("people: [{name: Ada}, {name: ' ada '}]\n", r":1:30: people\[1\]\.name: ' ada ' is listed twice"),
    "powder twice": (
        "stock: [{formula: Li2CO3, amount_g: 1}, {formula: Li2CO3, amount_g: 2}]\n",
        r":1:51: stock\[1\]\.formula: 'Li2CO3' is listed twice",
    ),
    "bench twice": (
        "benches: [{name: a, does: [weigh]}, {name: a, does: [xray]}]\n",
        r":1:44: benches\[1\]\.name: 'a' is listed twice",
    ),
    "bench without work": ("benches: [{name: a, does: []}]\n", r":1:27: benches\[0\]\.does: .*at least 1"),
    "work of a bench": ("benches: [{name: a, does: [wiegh]}]\n", r":1:28: .*Did you mean 'weigh'\?"),
    "one name for two": (
        "cyclers: [{name: a}]\nbenches: [{name: a, does: [weigh]}]\n",
        r":1:1: 'a' is the name of two things",
    ),
    "gas twice": ("furnaces: [{atmospheres: [air, air]}]\n", r":1:32: .*air is listed twice"),
    "range twice": ("cyclers: [{ranges_mA: [1, 1.0]}]\n", r":1:27: .*listed twice"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.replace(" ", "-"))
def test_bad_files_say_where_and_what_to_do(case: str, tmp_path: Path) -> None:
    text, pattern = BAD[case]
    file = tmp_path / "laboratory.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=pattern) as caught:
        read_laboratory(file)
    assert caught.value.exit_code == 2
    heads = [line for line in str(caught.value).splitlines() if not line.startswith("    ")]
    assert len(heads) == 1
    assert heads[0].startswith(str(file))


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "l.yaml"
    file.write_text(
        "glovebox: 'no'\nstock: [{formula: Li2C, amount_g: 1}]\nfurnaces: [{scrubber: true, exhaust: false}]\n"
    )
    with pytest.raises(InputError) as caught:
        read_laboratory(file)
    heads = [line.split(": ")[0] for line in str(caught.value).splitlines() if line.startswith(str(file))]
    assert sorted(heads) == [f"{file}:1:11", f"{file}:2:19", f"{file}:3:23"]


def test_files_that_are_none(tmp_path: Path) -> None:
    binary, huge = tmp_path / "binary.yaml", tmp_path / "huge.yaml"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    huge.write_text("# " + "x" * 1_100_000)
    for path, text in (
        (binary, "not UTF-8"),
        (huge, "larger than"),
        (tmp_path, "is a folder"),
        (Path("x"), "lab example"),
    ):
        with pytest.raises(InputError, match=text):
            read_laboratory(path)


def test_the_example_reads_back_and_holds_every_field() -> None:
    laboratory, written = read_laboratory(EXAMPLE), yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert set(written) == set(Laboratory.model_fields)
    for kind, section in (
        (Furnace, "furnaces"),
        (Powder, "stock"),
        (Cycler, "cyclers"),
        (Bench, "benches"),
        (Person, "people"),
    ):
        assert set().union(*written[section]) == set(kind.model_fields)
    # What is left out is as in the example, as its head says.
    assert laboratory.furnaces == (Furnace(name="box"),)
    same = {"name", "furnaces", "stock", "people"}
    assert laboratory.model_dump(exclude=same) == Laboratory().model_dump(exclude=same)


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "north wing.yaml"
    file.write_text("furnaces: [{name: tube, max_temperature_C: 1400, exhaust: yes}]\nglovebox: no\n")
    laboratory = read_laboratory(file)
    assert laboratory == Laboratory(
        name="north-wing", glovebox=False, furnaces=(Furnace(name="tube", max_temperature_C=1400, exhaust=True),)
    )
    assert laboratory.stock is None


def test_the_laboratory_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_laboratory() == Laboratory()
    Path("laboratory.yaml").write_text("name: here\n")
    assert current_laboratory().name == "here"
    (tmp_path / "other.yaml").write_text("name: there\n")
    monkeypatch.setenv("REDOXA_LABORATORY", "other.yaml")
    assert current_laboratory().name == "there"
    monkeypatch.setenv("REDOXA_LABORATORY", "none.yaml")
    with pytest.raises(InputError, match=r"none\.yaml: no such file, and REDOXA_LABORATORY names it"):
        current_laboratory()


def test_a_file_that_changes_is_read_again_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path("laboratory.yaml")
    file.write_text("name: one\n")
    first = current_laboratory()
    assert current_laboratory() is first
    file.write_text("name: two\n")
    os.utime(file, ns=(1, 1))
    assert current_laboratory().name == "two"
    file.write_text("glovebox: 'no'\n")
    with pytest.raises(InputError, match="glovebox"):
        current_laboratory()


def test_a_link_that_leads_nowhere_is_no_missing_file() -> None:
    Path("laboratory.yaml").symlink_to("gone.yaml")
    with pytest.raises(InputError, match="no such file"):
        current_laboratory()


def test_queue_and_driver_of_an_open_session_follow_the_file() -> None:
    spec = CampaignSpec(name="x")
    session = session_for("runs/redoxa.db", register("runs/redoxa.db", spec))
    try:
        first = session.driver
        assert session.queue.laboratory == Laboratory()
        assert session.driver is first
        Path("laboratory.yaml").write_text("glovebox: no\n")
        assert not session.queue.laboratory.glovebox
        assert session.driver.check(make_request("LiTiS2")) == ["a glovebox is needed"]
        assert first.check(make_request("LiTiS2")) == []
        assert open_queue("runs/redoxa.db").laboratory == session.queue.laboratory
    finally:
        session.close()


def test_a_bad_file_stops_what_would_need_it() -> None:
    register("runs/redoxa.db", CampaignSpec(name="x"))
    Path("laboratory.yaml").write_text("glovebox: 'no'\n")
    with pytest.raises(InputError, match=r"laboratory\.yaml:1:11: glovebox"):
        open_queue("runs/redoxa.db")
