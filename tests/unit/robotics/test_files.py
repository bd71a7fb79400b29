from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from redoxa.data.errors import DriverError
from redoxa.robotics.files import create_atomic, listing_sha256, safe_name, sha256_of, write_atomic


@pytest.mark.parametrize("name", ["a", "A-1_b.csv", "0" * 128])
def test_plain_names_are_safe(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/b", "a\\b", "/etc/passwd", ".hidden", "a..b", "a\n", "ä", "a" * 129, "a\x00b", "-x"],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(DriverError):
        safe_name(name)


def test_writing_leaves_no_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomic(path, "one")
    write_atomic(path, "two")
    assert path.read_text() == "two"
    assert create_atomic(path, "three") is False
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_of_many_at_once_one_creates(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: create_atomic(path, str(i)), range(40)))
    assert made.count(True) == 1
    assert path.read_text() == str(made.index(True))


def test_hashes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_of(path) == digest
    assert listing_sha256({}) == ""
    assert listing_sha256({"a": digest}) == digest
    both = {"b": digest, "a": digest}
    assert listing_sha256(both) == hashlib.sha256(f"{digest}  a\n{digest}  b\n".encode()).hexdigest()


@pytest.fixture(params=[errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def without_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no hard links."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr("redoxa.robotics.files.os.link", refuse)


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_one_creates_too(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: create_atomic(path, str(i)), range(40)))
    assert made.count(True) == 1
    assert path.read_text() == str(made.index(True))
    assert os.listdir(tmp_path) == ["job.json"]


@pytest.mark.usefixtures("without_links")
def test_the_lock_of_a_dead_process_is_taken_away_and_that_of_a_living_one_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / ".job.json.lock"
    lock.touch()
    monkeypatch.setattr("redoxa.robotics.files.LOCK_WAIT_S", 0.05)
    with pytest.raises(OSError, match="somebody else"):
        create_atomic(tmp_path / "job.json", "x")
    os.utime(lock, (0, 0))
    assert create_atomic(tmp_path / "job.json", "x")
    assert os.listdir(tmp_path) == ["job.json"]


def test_a_broken_disk_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for call in ("link", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"redoxa.robotics.files.os.{call}", broken)
            with pytest.raises(OSError, match="Input/output"):
                create_atomic(tmp_path / "job.json", "x")
        assert os.listdir(tmp_path) == []
