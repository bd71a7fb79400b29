from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from redoxa.data.errors import DriverError
from redoxa.data.io import read_crystals
from redoxa.data.lab.measurement import Outcome
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics.base import JobReport, JobState
from redoxa.robotics.drivers.file_drop import FileDropLab
from tests.unit.robotics.samples import make_request, with_furnace

BASE = make_request("LiFePO4")
GOOD = {"request_id": "key", "outcome": "success", "values": {"average_voltage": {"value": 3.42, "sigma": 0.01}}}


def make(folder: Path, **config: object) -> FileDropLab:
    return FileDropLab(FileDropLab.Config.model_validate({"settle_s": 0, **config}), folder)


@pytest.fixture
def lab(tmp_path: Path) -> FileDropLab:
    """A laboratory that has been handed one request under ``key``."""
    lab = make(tmp_path / "lab")
    lab.submit("key", BASE)
    return lab


def drop(lab: FileDropLab, name: str, content: object) -> Path:
    path = lab.inbox / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def reason(lab: FileDropLab, name: str) -> str:
    """Why a file was rejected; fails the test when it was not."""
    assert lab.poll("key").state is JobState.WAITING
    assert not (lab.inbox / name).exists()
    assert (lab.inbox / "rejected" / name).exists() or (lab.inbox / "rejected" / name).is_symlink()
    return (lab.inbox / "rejected" / f"{name}.reason.txt").read_text()


def test_a_request_becomes_files_that_a_person_can_use(lab: FileDropLab) -> None:
    assert sorted(p.name for p in lab.outbox.iterdir()) == [
        "key.cif", "key.csv", "key.json", "key.template.json", "key.xrd.csv",
    ]  # fmt: skip
    assert ExperimentRequest.model_validate_json((lab.outbox / "key.json").read_text()) == BASE
    assert "lithium carbonate" in (lab.outbox / "key.csv").read_text()
    assert "line of the target at two theta" in (lab.outbox / "key.csv").read_text()
    assert lab.poll("key").state is JobState.WAITING
    (found,) = read_crystals(lab.outbox / "key.cif")
    assert found.crystal.composition == BASE.crystal.composition
    assert (lab.outbox / "key.xrd.csv").read_text().startswith("two_theta_deg,d_A,intensity_percent,hkl\n")


def test_the_template_as_it_stands_is_not_a_result(lab: FileDropLab) -> None:
    drop(lab, "key.json", (lab.outbox / "key.template.json").read_text())
    assert "outcome" in reason(lab, "key.json")


def test_a_json_result_comes_in_with_the_hashes_of_its_raw_files(lab: FileDropLab) -> None:
    (lab.inbox / "raw" / "cell-1.mpr").write_bytes(b"\x00\x01")
    (lab.inbox / "raw" / "cell-2.mpr").write_bytes(b"\x02")
    drop(lab, "mine.json", {**GOOD, "phase_purity": {"value": 0.93}, "raw_files": ["cell-1.mpr", "cell-2.mpr"]})
    report = lab.poll("key")
    assert report.state is JobState.DONE
    measurement = report.measurement
    assert measurement is not None
    assert (measurement.outcome, measurement.simulated) == (Outcome.SUCCESS, False)
    assert measurement.candidate_id == BASE.candidate_id
    voltage = measurement.values["average_voltage"]
    assert (voltage.value, voltage.sigma, voltage.unit) == (3.42, 0.01, "V")
    assert measurement.phase_purity is not None
    assert measurement.phase_purity.sigma == pytest.approx(0.0186)  # none was given: 2 % is assumed, and said
    assert "assumed" in measurement.phase_purity.method
    hashes = {"cell-1.mpr": hashlib.sha256(b"\x00\x01").hexdigest(), "cell-2.mpr": hashlib.sha256(b"\x02").hexdigest()}
    assert measurement.raw_files == hashes
    assert (lab.inbox / "processed" / "mine.json").exists()
    assert make(lab.folder).poll("key") == report  # also after a restart


def test_one_csv_holds_results_of_several_requests(lab: FileDropLab) -> None:
    lab.submit("other", BASE)
    lab.submit("third", BASE)
    drop(
        lab,
        "week 7.csv",
        "\ufeffrequest_id,outcome,property,value,sigma,unit,raw_file,note\n"
        "key,success,average_voltage,3.41,0.01,V,,two cells\n"
        "key,success,capacity_grav,151,,mAh/g,,\n"
        "key,success,phase_purity,0.9,,,,\n"
        "other,target_not_formed,,,,,,only Fe2P\n"
        "\n"
        "third,failed,,,,,,the furnace is broken\n",
    )
    done = lab.poll("key").measurement
    assert done is not None
    assert {k: e.value for k, e in done.values.items()} == {"average_voltage": 3.41, "capacity_grav": 151}
    assert done.phase_purity is not None
    assert done.note == "two cells"
    other = lab.poll("other").measurement
    assert other is not None
    assert (other.outcome, other.values, other.note) == (Outcome.TARGET_NOT_FORMED, {}, "only Fe2P")
    assert lab.poll("third") == JobReport(state=JobState.FAILED, text="the furnace is broken")


def test_semicolons_of_european_spreadsheets_are_read(lab: FileDropLab) -> None:
    drop(lab, "a.csv", "request_id;outcome;property;value\nkey;success;average_voltage;3.4\n")
    assert lab.poll("key").state is JobState.DONE


HEADER = "request_id,outcome,property,value,sigma,unit,raw_file,note\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "Invalid JSON"),
        ("a.json", "", "Invalid JSON"),
        ("a.json", "[" * 50_000, "Invalid JSON"),
        ("a.json", b"\xff\xfe\x00", "UTF-8"),
        ("a.json", [GOOD], "object"),
        ("a.json", {**GOOD, "values": {}}, "only then"),
        ("a.json", {**GOOD, "outcome": "great"}, "outcome"),
        ("a.json", {**GOOD, "outcome": "cell_failure"}, "only then"),
        ("a.json", {**GOOD, "extra": 1}, "extra"),
        ("a.json", {**GOOD, "values": {"colour": {"value": 1}}}, "not a property"),
        ("a.json", {**GOOD, "values": {"average_voltage": {"value": 3420}}}, "not plausible"),
        ("a.json", {**GOOD, "values": {"average_voltage": {"value": 3.4, "unit": "mV"}}}, "not in mV"),
        ("a.json", {**GOOD, "values": {"average_voltage": {"value": 3.4, "sigma": -1}}}, "sigma"),
        ("a.json", '{"request_id":"key","outcome":"success","values":{"capacity_grav":{"value":NaN}}}', "finite"),
        ("a.json", {**GOOD, "phase_purity": {"value": 93}}, "not plausible"),
        ("a.json", {**GOOD, "request_id": "nobody"}, "never handed over"),
        ("a.json", {**GOOD, "request_id": "../../etc/passwd"}, "file name"),
        ("a.json", {**GOOD, "raw_files": ["../../../etc/passwd"]}, "file name"),
        ("a.json", {**GOOD, "raw_files": ["/etc/passwd"]}, "file name"),
        ("a.json", {**GOOD, "raw_files": ["not-there.csv"]}, "not-there.csv"),
        ("a.json", {"request_id": "key", "outcome": "failed"}, "note"),
        ("a.json", json.dumps({**GOOD, "note": "x" * 2_000_000}), "larger than"),
        ("a.csv", "", "missing columns"),
        ("a.csv", HEADER, "no results"),
        ("a.csv", "request_id,outcome,volts\nkey,success,3\n", "unknown columns: volts"),
        ("a.csv", HEADER + "key,success,average_voltage,three,,,,\n", "line 2"),
        ("a.csv", HEADER + "key,success,average_voltage,nan,,,,\n", "line 2"),
        ("a.csv", HEADER + "key,success,average_voltage,3.4\n", "number of columns"),
        ("a.csv", HEADER + "key,success,average_voltage,3.4,,,,,,\n", "number of columns"),
        ("a.csv", HEADER + "key,success,average_voltage,3,,,,\nkey,success,average_voltage,4,,,,\n", "given twice"),
        ("a.csv", HEADER + "key,success,average_voltage,3,,,,\nkey,cell_failure,,,,,,\n", "several outcomes"),
        ("a.csv", HEADER + f"key,failed,,,,,,{'x' * 200_000}\n", "not a CSV file"),
        (
            "a.csv",
            HEADER + "key,success,average_voltage,3.4,,,,\nnobody,target_not_formed,,,,,,\n",
            "never handed over",
        ),
    ],
)
def test_malformed_results_are_rejected_with_the_reason(
    lab: FileDropLab, name: str, content: object, message: str
) -> None:
    drop(lab, name, content)
    assert message in reason(lab, name)
    assert not lab.results.exists()  # a file is taken whole or not at all


def test_links_are_not_followed(lab: FileDropLab, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(GOOD))
    (lab.inbox / "link.json").symlink_to(secret)
    assert "link" in reason(lab, "link.json")
    (lab.inbox / "raw" / "link.csv").symlink_to(secret)
    drop(lab, "a.json", {**GOOD, "raw_files": ["link.csv"]})
    assert "not in" in reason(lab, "a.json")
    assert secret.exists()


def test_a_second_result_is_rejected_the_same_again_is_quiet(lab: FileDropLab) -> None:
    drop(lab, "a.json", GOOD)
    first = lab.poll("key")
    drop(lab, "b.json", GOOD)
    drop(lab, "c.json", {**GOOD, "values": {"average_voltage": {"value": 2.0}}})
    assert lab.poll("key") == first
    assert (lab.inbox / "processed" / "b.json").exists()
    assert "another result" in (lab.inbox / "rejected" / "c.json.reason.txt").read_text()


def test_rejected_files_of_one_name_are_all_kept(lab: FileDropLab) -> None:
    for _ in range(3):
        drop(lab, "a.json", "{")
        lab.poll("key")
    names = {p.name for p in (lab.inbox / "rejected").iterdir()}
    assert {"a.json", "a.1.json", "a.2.json", "a.2.json.reason.txt"} <= names


def test_a_file_that_is_still_being_written_is_left_alone(tmp_path: Path) -> None:
    lab = make(tmp_path / "lab", settle_s=60)
    lab.submit("key", BASE)
    path = drop(lab, "a.json", '{"request_id": "key", "outc')
    assert lab.poll("key").state is JobState.WAITING
    assert path.exists()
    path.write_text(json.dumps(GOOD))
    os.utime(path, (0, 0))
    assert lab.poll("key").state is JobState.DONE


def test_other_files_in_the_inbox_are_left_alone(lab: FileDropLab) -> None:
    for name in ("notes.txt", ".hidden.json", "script.py", "upload.json.part"):
        drop(lab, name, "x")
    lab.poll("key")
    assert {p.name for p in lab.inbox.iterdir() if p.is_file()} == {
        "notes.txt", ".hidden.json", "script.py", "upload.json.part",
    }  # fmt: skip


def test_interrupted_between_taking_and_clearing_away_nothing_happens_twice(lab: FileDropLab) -> None:
    drop(lab, "a.json", GOOD)
    report = lab.poll("key")
    os.replace(lab.inbox / "processed" / "a.json", lab.inbox / "a.json")  # as if it had died before the move
    assert lab.poll("key") == report
    assert not (lab.inbox / "rejected" / "a.json").exists()


def test_a_stopped_laboratory_takes_nothing_new_until_a_person_clears_it(lab: FileDropLab) -> None:
    lab.stop()
    lab.submit("key", BASE)  # known already
    with pytest.raises(DriverError, match=r"STOP\.txt"):
        lab.submit("new", BASE)
    assert lab.poll("new").state is JobState.UNKNOWN
    (lab.outbox / "STOP.txt").unlink()
    lab.submit("new", BASE)
    assert lab.poll("new").state is JobState.WAITING


def test_an_interrupted_submission_is_completed(tmp_path: Path) -> None:
    lab = make(tmp_path)
    lab.outbox.mkdir(parents=True)
    (lab.outbox / "key.csv").write_text("half")
    assert lab.poll("key").state is JobState.UNKNOWN
    lab.submit("key", BASE)
    assert "lithium carbonate" in (lab.outbox / "key.csv").read_text()


def test_check_names_what_the_laboratory_lacks(tmp_path: Path) -> None:
    poor = FileDropLab(FileDropLab.Config(), tmp_path, laboratory=with_furnace(max_temperature_C=600))
    assert poor.check(BASE) == ["furnace reaches 600 C, 680 C are wanted"]
    assert make(tmp_path).check(BASE) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_driver_error(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("a file where the folder should be")
    with pytest.raises(DriverError, match="cannot be written"):
        make(tmp_path / "lab").submit("key", BASE)


def test_the_template_with_two_numbers_is_a_result(lab: FileDropLab) -> None:
    answer = json.loads((lab.outbox / "key.template.json").read_text())
    answer["values"]["average_voltage"]["value"] = 3.41
    answer["values"]["capacity_grav"]["value"] = 152
    drop(lab, "key.json", json.dumps(answer))
    report = lab.poll("key")
    assert report.state is JobState.DONE
    assert {name: e.value for name, e in report.measurement.values.items()} == {
        "average_voltage": 3.41,
        "capacity_grav": 152,
    }
    assert report.measurement.phase_purity is None
    assert lab.rejected() == []


def test_what_was_rejected_is_told_until_it_is_cleared_away(lab: FileDropLab) -> None:
    drop(lab, "bad.json", '{"request_id": "key", "outcome": "success", "values": {"average_voltage": {"value": 3410}}}')
    lab.poll("key")
    (line,) = lab.rejected()
    assert "bad.json: " in line
    assert "not plausible" in line
    (lab.inbox / "rejected" / "bad.json").unlink()
    assert lab.rejected() == []
    assert str(lab.outbox) in lab.folders()[0]


def test_people_find_beside_the_work_list_that_it_is_cancelled(lab: FileDropLab) -> None:
    assert lab.cancel("nobody") is False
    assert lab.cancel("key") is True
    note = lab.outbox / "key.cancelled.txt"
    assert "Do no more for key" in note.read_text()
    assert "redoxa queue settle key" in note.read_text()
    note.write_text("seen, Bob")
    assert lab.cancel("key") is True
    assert note.read_text() == "seen, Bob"
    assert lab.poll("key") == JobReport(state=JobState.WAITING, text="cancelled")
    drop(lab, "a.json", GOOD)  # it was finished all the same
    assert lab.poll("key").state is JobState.DONE
    lab.outbox.rename(lab.folder / "away")
    with pytest.raises(DriverError, match="is away"):
        lab.cancel("key")
