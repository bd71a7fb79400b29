"""Looking at a store needs no right to write it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from redoxa.data.errors import StoreError
from redoxa.data.storage import database
from redoxa.data.storage.database import open_engine
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign.session import register
from redoxa.pipeline.campaign.spec_file import read_spec
from redoxa.robotics.queue.audit import verify_audit
from redoxa.robotics.queue.queue import LabQueue
from tests.campaign.conftest import TINY, command
from tests.unit.robotics.samples import make_request
from tests.unit.robotics.test_audit import old_store

UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Permissions bind root too under this."""


def fill(where: str) -> str:
    register(where, read_spec(TINY))
    engine = open_engine(where)
    key = LabQueue(engine).propose(make_request("LiCoO2"))
    engine.dispose()
    return key


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder with a store in it, neither of which can be written."""
    if os.getuid() == 0 and shutil.which(UNPRIVILEGED[0]) is None:
        pytest.skip("permissions do not bind root, and there is no setpriv")
    folder = tmp_path / "runs"
    fill(str(folder / "redoxa.db"))
    (folder / "redoxa.db").chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def redoxa(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    prefix = UNPRIVILEGED if os.getuid() == 0 else ()
    return subprocess.run([*prefix, *command(*args)], cwd=cwd, capture_output=True, text=True, timeout=120)


def test_status_and_queue_of_a_store_that_can_only_be_read(locked: Path) -> None:
    key = make_request("LiCoO2").content_hash
    lines = ("status", "queue list", "doctor", f"queue hold {key} --by Ada --why wait")
    status, queue, doctor, hold = (redoxa(*line.split(), cwd=locked.parent) for line in lines)
    assert (status.returncode, queue.returncode) == (0, 0), status.stderr + queue.stderr
    assert "tiny" in status.stdout
    assert "LiCoO2" in queue.stdout
    assert "audit trail" in doctor.stdout
    assert hold.returncode == 1
    assert "readonly database. It can only be read here: copy it" in hold.stderr
    assert [path.name for path in locked.iterdir()] == ["redoxa.db"]
    assert stat.S_IMODE(locked.stat().st_mode) == 0o555


def test_an_older_store_that_can_only_be_read_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_store(str(tmp_path / "old.db"))
    monkeypatch.setattr(database, "_is_read_only", lambda _file: True)
    with pytest.raises(StoreError, match="can only be read here: copy it to a folder that can be written"):
        open_engine(tmp_path / "old.db")


def test_a_postgresql_that_can_only_be_read(postgres: str) -> None:
    key = fill(postgres)
    store = Store.open(f"{postgres}&options=-c%20default_transaction_read_only%3Don", create=False)
    queue = LabQueue(store.engine)
    assert [row.name for row in store.campaigns()] == ["tiny"]
    assert [item.request_id for item in queue.list()] == [key]
    assert verify_audit(store.engine) == []
    with pytest.raises(StoreError, match=r"read-only transaction\. It can only be read through this URL"):
        queue.hold(key, by="Ada", why="wait")
    store.close()
