"""Worker processes: they compute, survive one another's death, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from redoxa.data.errors import PotentialError, UnknownKindError
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.compute.relax import RelaxSettings, relax
from redoxa.screening.workers.pool import InlinePool, WorkerPool, available_cores, open_pool
from tests.unit.screening.conftest import cubic, distorted

SALT = cubic([3, 9], [[0, 0, 0], [0.5, 0.5, 0.5]], 2.9)
COBALTATE = distorted(prototype("O3 LiCoO2").crystal, 5, 0.05, 0.01)
LONG = RelaxSettings(fmax_eV_A=1e-12, max_steps=60)
LONGER = RelaxSettings(fmax_eV_A=1e-12, max_steps=400)
ENDLESS = RelaxSettings(fmax_eV_A=1e-12, max_steps=5000)


def gone(pid: int, within_s: float) -> bool:
    """True once the process is dead (a zombie is)."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def pool():
    with WorkerPool("chgnet", 2) as opened:
        yield opened


def test_workers_give_what_this_process_gives(pool, chgnet):
    pool.submit("salt", SALT, RelaxSettings())
    pool.submit("cobaltate", COBALTATE, RelaxSettings(), urgency=1)
    pool.submit("helium", cubic([2], [[0, 0, 0]], 9.0), RelaxSettings())
    found = {f.job_id: f for f in (pool.wait(), pool.wait(), pool.wait())}
    assert len(pool) == 0
    assert "no neighbour" in found["helium"].error
    assert not found["helium"].died
    for name, crystal in [("salt", SALT), ("cobaltate", COBALTATE)]:
        here, there = relax(crystal, chgnet), found[name].relaxation
        assert there.converged
        assert there.energy_eV == pytest.approx(here.energy_eV, abs=1e-4)
        assert there.steps == here.steps
    with pytest.raises(IndexError):
        pool.wait()


def kill_whoever_computes(pool, job_id, times):
    """Kill, so many times, the process that computes a job, each a moment after it has begun."""
    killed = set()

    def watch():
        end = time.monotonic() + 600
        while len(killed) < times and time.monotonic() < end:
            time.sleep(0.05)
            for worker in list(pool._workers):
                first = next((job.id for job in list(worker.jobs)), "")
                if worker.ready and first == job_id and worker.process.pid not in killed:
                    killed.add(worker.process.pid)
                    os.kill(worker.process.pid, signal.SIGKILL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread, killed


def test_the_job_of_a_killed_worker_is_asked_for_again(pool):
    pool.submit("long", distorted(COBALTATE, 0), LONGER)
    pool.submit("salt", SALT, RelaxSettings())
    watching, killed = kill_whoever_computes(pool, "long", 1)
    found = {f.job_id: f for f in (pool.wait(), pool.wait())}
    watching.join()
    assert len(killed) == 1
    assert all(f.relaxation is not None and not f.died for f in found.values())
    assert found.keys() == {"long", "salt"}
    assert len(pool.pids) == 2
    assert not killed & set(pool.pids)


def test_a_job_over_which_three_workers_die_is_given_up_alone(pool):
    pool.submit("long", distorted(COBALTATE, 0), ENDLESS)
    pool.submit("salt", SALT, RelaxSettings())
    watching, killed = kill_whoever_computes(pool, "long", 3)
    found = {f.job_id: f for f in (pool.wait(), pool.wait())}
    watching.join()
    assert len(killed) == 3
    dead = found["long"]
    assert (dead.died, dead.relaxation) == (True, None)
    assert "died 3 times, the last time killed by signal 9" in dead.error
    assert found["salt"].relaxation is not None
    assert len(pool.pids) == 2


def test_closing_ends_workers_in_the_middle_of_work():
    pool = WorkerPool("chgnet", 1)
    pool.submit("long", COBALTATE, LONG)
    (pid,) = pool.pids
    pool.close()
    pool.close()
    assert gone(pid, 0.5)


PARENT = textwrap.dedent(
    """
    import sys, time
    from redoxa.screening.workers.pool import WorkerPool
    pool = WorkerPool("chgnet", 2)
    try:
        print(*pool.pids, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        pool.close()
        sys.exit(130)
    """
)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_workers_die_with_their_parent(sign):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(x) for x in parent.stdout.readline().split()]
    assert len(pids) == 2
    # Ctrl-C in a terminal reaches the whole foreground group
    (os.killpg if sign == signal.SIGINT else os.kill)(parent.pid, sign)
    _, stderr = parent.communicate(timeout=20)
    assert all(gone(pid, 8) for pid in pids)
    assert stderr == ""
    assert parent.returncode == (130 if sign == signal.SIGINT else -sign)


def test_the_environment_of_this_process_stays(pool, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    other = WorkerPool("chgnet", 1)
    try:
        assert "OMP_NUM_THREADS" not in os.environ
        other.submit("salt", SALT, RelaxSettings(max_steps=1))
        other.wait()  # until its program has begun, a process has no environment to read
        with open(f"/proc/{other.pids[0]}/environ") as file:
            assert "OMP_NUM_THREADS=1" in file.read().split("\0")
    finally:
        other.close()


def test_files_in_the_users_folder_stand_in_for_nothing(tmp_path, monkeypatch):
    for name in ("data.py", "screening.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    with WorkerPool("chgnet", 1) as pool:
        pool.submit("salt", SALT, RelaxSettings(max_steps=1))
        assert pool.wait().error == ""


def test_a_potential_that_cannot_be_loaded_is_said(tmp_path, monkeypatch):
    (tmp_path / "chgnet").mkdir()
    (tmp_path / "chgnet" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with WorkerPool("chgnet", 1) as pool:
        pool.submit("salt", SALT, RelaxSettings())
        with pytest.raises(PotentialError, match=r"CHGNet 0\.3\.0 is not installed"):
            pool.wait()


def test_an_unknown_potential_starts_nothing():
    for kind in (lambda: InlinePool("chgnett"), lambda: WorkerPool("chgnett", 1)):
        with pytest.raises(UnknownKindError, match="Did you mean 'chgnet'"):
            kind()


def test_inline_pool_takes_the_urgent_first():
    pool = open_pool("chgnet", 1)
    assert isinstance(pool, InlinePool)
    for name, urgency in [("first", 0), ("second", 0), ("urgent", 2)]:
        pool.submit(name, SALT, RelaxSettings(max_steps=1), urgency)
    assert [pool.wait().job_id for _ in range(len(pool))] == ["urgent", "first", "second"]
    assert available_cores() >= 1
