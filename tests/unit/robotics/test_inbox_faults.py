"""Whatever lands in the inbox: it is set aside with its reason, nothing is lost, and the others are taken."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from redoxa.data.errors import DriverError
from redoxa.robotics.base import JobReport, JobState
from redoxa.robotics.drivers.file_drop import FileDropLab
from redoxa.robotics.set_aside import plain_text, put_away, refused, set_aside
from tests.unit.robotics.samples import make_request
from tests.unit.robotics.test_file_drop import BASE, GOOD, HEADER, drop, make

BIG = 11_000_000


@pytest.fixture
def lab(tmp_path: Path) -> FileDropLab:
    """A laboratory with the requests ``key`` and ``other``."""
    lab = make(tmp_path / "lab")
    for key in ("key", "other"):
        lab.submit(key, BASE)
    return lab


def good_json(**fields: object) -> str:
    return json.dumps({**GOOD, **fields})


def unreadable(path: Path) -> None:
    path.write_text(good_json())
    path.chmod(0)


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero never ends
    except PermissionError:
        pytest.skip("only root makes devices")


def folder_with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "mine.txt").write_text("precious")


def outside(path: Path) -> None:
    secret = path.parents[2] / "secret.json"
    secret.write_text(good_json())
    path.symlink_to(secret)


def text(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "template": ("a.template.json", text('{"request_id": "key", "outcome": "success", "values": {}}'), "outcome"),
    "mode 000": ("a.json", unreadable, "mode 000"),
    "socket": ("a.json", listening, "a socket"),
    "pipe": ("a.json", lambda path: os.mkfifo(path), "a pipe"),
    "pipe csv": ("a.CSV", lambda path: os.mkfifo(path), "a pipe"),
    "folder": ("a.json", folder_with_a_file, "a folder"),
    "device": ("a.json", device, "a device"),
    "huge": ("a.json", text(good_json(note="x" * BIG)), "larger than"),
    "huge csv": ("a.csv", text(HEADER + "key,success,average_voltage,3.4,,,,\n" * 1_000_000), "larger than"),
    "lines": ("a.csv", text("request_id,outcome\n" + "\n" * 1_000_000), "no results"),
    "half-written": ("a.json", text(good_json()[:40]), "Invalid JSON"),
    "half a csv": ("a.csv", text(HEADER + "key,succ"), "number of columns"),
    "empty": ("a.json", text(""), "empty"),
    "spaces": ("a.csv", text("  \n \n"), "empty"),
    "twice": ("a.json", text('{"request_id": "other", ' + good_json()[1:]), "'request_id' is given twice"),
    "twice inside": (
        "a.json",
        text(good_json().replace('"sigma"', '"value": 3.5, "sigma"')),
        "'value' is given twice",
    ),
    "link out": ("a.json", outside, "a link"),
    "dangling link": ("a.json", lambda path: path.symlink_to("nowhere"), "a link"),
    "link to itself": ("a.json", lambda path: path.symlink_to(path), "a link"),
    "latin-1": ("a.json", text('{"note": "Prüfung"}'.encode("latin-1")), "UTF-8"),
    "utf-16": ("a.csv", text(HEADER.encode("utf-16")), "UTF-8"),
    "NaN": ("a.json", text(good_json().replace("3.42", "NaN")), "finite"),
    "Infinity": ("a.json", text(good_json().replace("3.42", "Infinity")), "finite"),
    "1e999": ("a.json", text(good_json().replace("3.42", "1e999")), "finite"),
    "digits": ("a.json", text(good_json().replace("3.42", "9" * 10_000)), ""),
    "deep": ("a.json", text('{"values": ' + '{"a": ' * 100_000), "Invalid JSON"),
    "deep list": ("a.json", text(good_json(raw_files="X").replace('"X"', "[" * 900 + "]" * 900)), ""),
    "surrogate": ("a.json", text(good_json(note="X").replace("X", "\\ud800")), ""),
    "zero byte": ("a.json", text(good_json(note="a\x00b")), "control characters"),
    "zero byte csv": ("a.csv", text(HEADER + "key,failed,,,,,,a\x00b\n"), "control characters"),
    "long name": ("n" * 250 + ".json", text("{"), "Invalid JSON"),
    "strange name": ("new\nline\x1b[2J.json", text("{"), "Invalid JSON"),
    "not a name": (os.fsdecode(b"\xff\xfe.json"), text("{"), "Invalid JSON"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_file_is_set_aside_and_the_others_are_taken(lab: FileDropLab, fault: str) -> None:
    name, put, words = FAULTS[fault]
    put(lab.inbox / name)
    drop(lab, "0.json", good_json(request_id="other"))
    drop(lab, "z.csv", HEADER + "key,success,average_voltage,3.4,,,,\n")
    assert lab.take_in() == []
    assert [lab.poll(key).state for key in ("key", "other")] == [JobState.DONE] * 2
    assert not os.path.lexists(lab.inbox / name)
    (line,) = lab.rejected()
    assert words in line
    assert line.isprintable()
    line.encode()  # can be printed anywhere
    assert len(os.listdir(lab.inbox / "rejected")) == 2  # the file itself, whatever it is, and the reason
    assert make(lab.folder).rejected() == [line]  # also told by another process


def test_what_is_set_aside_keeps_its_content(lab: FileDropLab) -> None:
    folder_with_a_file(lab.inbox / "a.json")
    outside(lab.inbox / "b.json")
    drop(lab, "c.json", "{")
    lab.take_in()
    assert (lab.inbox / "rejected" / "a.json" / "mine.txt").read_text() == "precious"
    assert (lab.inbox / "rejected" / "b.json").is_symlink()
    assert (lab.folder.parent / "secret.json").exists()
    assert (lab.inbox / "rejected" / "c.json").read_text() == "{"


@pytest.mark.parametrize("damage", ["emptied", "half", "a pipe", "a folder"])
def test_a_damaged_order_stands_in_the_way_of_its_own_result_only(lab: FileDropLab, damage: str) -> None:
    order = lab.outbox / "key.json"
    half = order.read_text()[:100]
    order.unlink()
    if damage == "a pipe":
        os.mkfifo(order)
    elif damage == "a folder":
        order.mkdir()
    else:
        order.write_text("" if damage == "emptied" else half)
    drop(lab, "a.json", GOOD)
    drop(lab, "b.json", good_json(request_id="other"))
    assert lab.poll("other").state is JobState.DONE
    assert lab.poll("key").state is JobState.WAITING
    (line,) = lab.rejected()
    assert "was damaged" in line
    assert "Put it back" in line
    with pytest.raises(DriverError, match="damaged"):
        lab.submit("key", BASE)


@pytest.mark.parametrize("content", ["", "{", '{"state": "lost"}'])
def test_a_damaged_answer_is_told_and_never_written_over(lab: FileDropLab, content: str) -> None:
    lab.results.mkdir()
    (lab.results / "key.json").write_text(content)
    drop(lab, "a.json", GOOD)
    drop(lab, "b.json", good_json(request_id="other"))
    with pytest.raises(DriverError, match="damaged"):
        lab.poll("key")
    assert lab.poll("other").state is JobState.DONE
    assert (lab.results / "key.json").read_text() == content


def test_raw_files_that_cannot_be_read_are_told(lab: FileDropLab) -> None:
    os.mkfifo(lab.inbox / "raw" / "pipe.mpr")
    unreadable(lab.inbox / "raw" / "shut.mpr")
    for name in ("pipe.mpr", "shut.mpr"):
        drop(lab, f"{name}.json", good_json(raw_files=[name]))
    drop(lab, "b.json", good_json(request_id="other"))
    assert lab.poll("other").state is JobState.DONE
    assert len(lab.rejected()) == 2


def test_what_cannot_be_moved_is_left_and_named(lab: FileDropLab) -> None:
    (lab.inbox / "rejected").rmdir()
    (lab.inbox / "rejected").write_text("a file where the folder should be")
    path = drop(lab, "a.json", "{")
    drop(lab, "b.json", good_json(request_id="other"))
    for _ in range(3):
        assert lab.poll("other").state is JobState.DONE
        (line,) = lab.rejected()
        assert "Invalid JSON" in line
        assert "cannot be moved" in line
        assert path.read_text() == "{"
    assert make(lab.folder).rejected() == [line]  # the reason lies beside it
    path.write_text(good_json())
    assert lab.poll("key").state is JobState.DONE
    assert lab.rejected() == []
    assert not (lab.inbox / "a.json.reason.txt").exists()


def test_a_result_that_was_taken_and_cannot_be_cleared_away_is_named(lab: FileDropLab) -> None:
    (lab.inbox / "processed").rmdir()
    (lab.inbox / "processed").write_text("")
    drop(lab, "a.json", GOOD)
    assert lab.poll("key").state is JobState.DONE
    assert lab.poll("key").state is JobState.DONE
    assert "taken, and cannot be moved" in lab.rejected()[0]


def test_a_full_disk_leaves_results_for_later(lab: FileDropLab, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drop(lab, "a.json", GOOD)

    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("redoxa.robotics.drivers.file_drop.create_atomic", full)
        assert lab.poll("key").state is JobState.WAITING
        assert "No space" in lab.rejected()[0]
        assert path.exists()
    assert lab.poll("key").state is JobState.DONE
    assert lab.rejected() == []


def test_an_inbox_that_is_away_does_not_hide_what_was_taken(lab: FileDropLab) -> None:
    drop(lab, "a.json", GOOD)
    taken = lab.poll("key")
    lab.inbox.rename(lab.folder / "elsewhere")
    lab.inbox.write_text("not a folder")
    assert lab.poll("key") == taken
    with pytest.raises(DriverError, match="cannot be read"):
        lab.poll("other")


def test_a_file_from_the_future_is_not_waited_for(tmp_path: Path) -> None:
    lab = make(tmp_path, settle_s=60)
    lab.submit("key", make_request())
    path = drop(lab, "a.json", GOOD)
    assert lab.take_in() == ["a.json"]
    os.utime(path, (4e9, 4e9))
    assert lab.take_in() == []
    assert lab.poll("key").state is JobState.DONE


def test_nothing_is_written_over_when_put_away(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "a.json").symlink_to("nowhere")  # not there, to the eye of Path.exists
    (kept / "a.1.json").mkdir()
    (tmp_path / "a.json").write_text("mine")
    assert put_away(tmp_path / "a.json", kept) == kept / "a.2.json"
    assert (kept / "a.json").is_symlink()
    with pytest.raises(FileNotFoundError):
        set_aside(tmp_path / "a.json", kept, "gone")
    assert sorted(os.listdir(kept)) == ["a.1.json", "a.2.json", "a.json"]


def test_reasons_are_read_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    os.mkfifo(tmp_path / "a.json.reason.txt")
    assert "cannot be read" in refused(tmp_path)[tmp_path / "a.json"]
    assert refused(tmp_path / "none") == {}
    assert plain_text("a\nb\x1b\udcff") == "a b??"


def test_a_report_of_another_form_is_not_confused_with_waiting(lab: FileDropLab) -> None:
    drop(lab, "a.json", {"request_id": "key", "outcome": "failed", "note": "the crucible\tbroke\nin two"})
    assert lab.poll("key") == JobReport(state=JobState.FAILED, text="the crucible\tbroke\nin two")
