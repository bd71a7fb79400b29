"""kill -9 at any moment, then run again: nothing is lost and nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.campaign.conftest import TINY, Finished, command, contents, redoxa

KILLS = 5


def test_five_kills_end_where_an_undisturbed_run_ends(tiny_run: tuple[Path, Finished], tmp_path: Path) -> None:
    undisturbed, done = tiny_run
    assert done.code == 0, done.err
    moments = random.Random(7)
    killed = 0
    while killed < KILLS:
        process = subprocess.Popen(
            command("run", TINY, "--no-prefect"), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(2.0, 18.0))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    assert killed >= 2, "the campaign is too short to be disturbed"
    last = redoxa("run", TINY, "--json", cwd=tmp_path)
    assert last.code == 0, last.err
    assert contents(tmp_path / "runs" / "redoxa.db") == contents(undisturbed / "runs" / "redoxa.db")
    assert _no_orphans(tmp_path)


def _no_orphans(folder: Path) -> bool:
    """No worker of a killed run is left behind (workers watch their parent)."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        left = [p for p in Path("/proc").glob("[0-9]*") if _cwd(p) == folder and int(p.name) != os.getpid()]
        if not left:
            return True
        time.sleep(0.5)
    return False


def _cwd(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None
