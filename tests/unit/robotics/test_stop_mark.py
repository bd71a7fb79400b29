from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from redoxa.data.errors import DriverError, InputError
from redoxa.data.lab.request import RequestState
from redoxa.robotics import stop_mark
from redoxa.robotics.base import JobState
from redoxa.robotics.drivers.file_drop import FileDropLab
from redoxa.robotics.drivers.simulated import SimulatedLab
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.service import ServiceOptions, run_queue
from redoxa.robotics.stop_mark import (
    NAME,
    audited,
    find_mark,
    lift_marks,
    not_audited,
    stop_paths,
    stop_reason,
    write_mark,
)
from tests.unit.robotics.labs import CountingLab
from tests.unit.robotics.samples import make_request, new_engine
from tests.unit.robotics.test_service import AT_ONCE, fill, states

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(stop_mark.STOP, raising=False)
    monkeypatch.delenv(stop_mark.LABORATORY, raising=False)


def test_a_mark_says_who_stopped_when_and_why(tmp_path: Path) -> None:
    assert find_mark() is None
    assert stop_reason() == ""
    mark, made = write_mark("Ada", "smoke\x1b", NOON)
    assert (made, mark.path, mark.text) == (True, tmp_path / NAME, "by Ada at 2026-01-02T12:00:00+00:00: smoke?")
    assert find_mark() == mark
    assert stop_reason() == f"stopped: {mark.text} ({mark.path})"
    assert write_mark("Bob", "again") == (mark, False)


def test_it_lies_beside_the_laboratory_file_and_is_looked_for_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.setenv(stop_mark.LABORATORY, "site/gone.yaml")
    assert stop_paths() == [tmp_path / "site" / NAME, tmp_path / NAME]
    assert write_mark("Ada", "x")[0].path == tmp_path / "site" / NAME
    (tmp_path / NAME).touch()
    assert len(lift_marks(NOON)) == 2
    assert find_mark() is None
    monkeypatch.setenv(stop_mark.STOP, str(tmp_path / "red" / "button"))
    assert stop_paths() == [tmp_path / "red" / "button"]
    assert write_mark("Ada", "x")[0].path.exists()


def as_folder(path: Path) -> None:
    path.mkdir()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.symlink_to("nowhere")


def as_bytes(path: Path) -> None:
    path.write_bytes(b"\xff\x00\n")


@pytest.mark.parametrize("put", [as_folder, as_pipe, as_link, as_bytes, Path.touch])
def test_whatever_lies_there_stops(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / NAME)
    assert stop_reason().startswith("stopped: ")
    assert stop_reason().isprintable()
    (lifted,) = lift_marks(NOON)
    assert os.path.lexists(lifted.path)
    assert stop_reason() == ""


def test_what_cannot_be_looked_at_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_path: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("redoxa.robotics.stop_mark.os.lstat", broken)
    assert "cannot be looked at: Input/output error" in stop_reason()


def test_where_no_words_can_be_written_an_empty_file_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("redoxa.robotics.stop_mark.create_atomic", full)
    assert write_mark("Ada", "x")[1]
    assert "does not say by whom" in stop_reason()


def test_a_mark_that_can_be_written_nowhere_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(stop_mark.STOP, str(tmp_path / "file" / "stop"))
    with pytest.raises(DriverError, match="Stop the workers themselves"):
        write_mark("Ada", "x")


def test_marks_are_kept_until_the_audit_trail_tells_of_them() -> None:
    with pytest.raises(InputError, match="nothing is stopped"):
        lift_marks()
    for _ in range(2):
        write_mark("Ada", "x", NOON)
        lift_marks(NOON)
    marks = not_audited()
    assert [mark.path.name for mark in marks] == [
        "laboratory.stop.20260102T120000.1.not-audited",
        "laboratory.stop.20260102T120000.not-audited",
    ]
    assert all("by Ada" in mark.text for mark in marks)
    assert audited(marks[1]).name == "laboratory.stop.20260102T120000"
    assert not_audited() == marks[:1]


class Pressed:
    """A stop that is pressed after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def __call__(self) -> str:
        self.looks -= 1
        return "" if self.looks >= 0 else "stopped: by Ada"


@pytest.mark.parametrize("looks", range(12))
def test_whenever_it_is_pressed_nothing_stays_claimed_and_nothing_more_is_sent(queue: LabQueue, looks: int) -> None:
    fill(queue, 3)
    lab = CountingLab()
    lab.polls_until_done = 10**9
    report = run_queue(queue, lab, options=replace(AT_ONCE, stop_reason=Pressed(looks), deadline_s=0.5))
    if report.stopped:
        assert report.troubles[0] == "stopped: by Ada"
        assert set(states(queue)) <= {RequestState.APPROVED, RequestState.RUNNING}
        assert all(item.worker is None for item in queue.list())
        before = dict(lab.arrivals)
        again = run_queue(queue, lab, options=replace(AT_ONCE, stop_reason=Pressed(0)))
        assert (again.stopped, dict(lab.arrivals)) == (True, before)
    else:
        assert looks >= 7
    lab.polls_until_done = 1
    run_queue(queue, lab, options=AT_ONCE)
    assert set(states(queue)) == {RequestState.DONE}
    assert set(lab.arrivals.values()) == {1}


def test_a_worker_with_claimed_work_stops_within_one_poll(queue: LabQueue) -> None:
    keys, lab = fill(queue, 2), CountingLab()
    lab.polls_until_done = 10**9
    naps = []

    def sleep(_s: float) -> None:
        naps.append(1)
        if len(naps) == 3:
            write_mark("Ada", "smoke")

    report = run_queue(queue, lab, options=ServiceOptions(sleep=sleep))
    assert report.stopped
    assert len(naps) == 3
    assert report.waiting == keys
    assert "smoke" in queue.events(keys[0])[-1].why
    assert states(queue) == [RequestState.RUNNING] * 2
    assert all(item.worker is None for item in queue.list())


def test_a_driver_that_cannot_be_told_stops_no_stop(queue: LabQueue) -> None:
    fill(queue, 1)
    lab = CountingLab()
    run_queue(queue, lab, options=replace(AT_ONCE, deadline_s=0))

    def deaf() -> None:
        raise DriverError("no route to host")

    lab.stop = deaf  # type: ignore[method-assign]
    write_mark("Ada", "smoke")
    report = run_queue(queue, lab, options=AT_ONCE)
    assert report.stopped
    assert "could not be told to stop: no route to host" in report.troubles[1]


def test_people_find_the_stop_beside_their_work_lists_and_waiting_work_is_not_lost(
    queue: LabQueue, tmp_path: Path
) -> None:
    (key,) = fill(queue, 1)
    lab = FileDropLab(FileDropLab.Config(), tmp_path / "lab")
    run_queue(queue, lab, options=AT_ONCE)
    write_mark("Ada", "smoke")
    assert run_queue(queue, lab, options=AT_ONCE).stopped
    assert (lab.outbox / "STOP.txt").exists()
    lift_marks()
    late = queue.propose(make_request("LiFePO4", tag="late"))
    queue.approve(late, by="Ada", why="good")
    report = run_queue(queue, lab, options=AT_ONCE)
    assert "STOP.txt to go on" in report.troubles[0]
    assert queue.get(late).state is RequestState.APPROVED
    (lab.outbox / "STOP.txt").unlink()
    assert run_queue(queue, lab, options=AT_ONCE).waiting == [key, late]


WORKER = """
import sys
from pathlib import Path
from redoxa.data.storage.database import open_engine
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.service import run_queue
from redoxa.robotics.drivers.simulated import SimulatedLab
folder = Path(sys.argv[1])
lab = SimulatedLab(SimulatedLab.Config(delay_s=100000), folder / "lab")
print(run_queue(LabQueue(open_engine(folder / "redoxa.db")), lab).troubles[0], flush=True)
"""


def test_a_worker_in_another_process_obeys(tmp_path: Path) -> None:
    queue = LabQueue(new_engine(tmp_path))
    keys = fill(queue, 2)
    lab = SimulatedLab(SimulatedLab.Config(delay_s=100000), tmp_path / "lab")
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    while any(lab.poll(key).state is JobState.UNKNOWN for key in keys):  # both have reached the laboratory
        assert process.poll() is None
        time.sleep(0.05)
    write_mark("Ada", "smoke")
    assert "smoke" in process.communicate(timeout=20)[0]
    assert all(item.worker is None for item in queue.list())
    assert [lab.poll(key).text for key in keys] == ["stopped before it was finished (simulated)"] * 2
