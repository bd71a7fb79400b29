"""Jobs in worker processes: one torch thread each, all dead when the parent is, a dead one replaced.

`WorkerPool` and `InlinePool` have the same four verbs: `submit`, `wait`, `len()` (jobs outstanding) and `close`.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol, Self

from redoxa.data.errors import PotentialError, UnknownKindError
from redoxa.data.records import Crystal
from redoxa.screening.compute.relax import Relaxation, RelaxSettings
from redoxa.screening.compute.symmetric_walk import SymmetricRelaxSettings
from redoxa.screening.potentials.names import POTENTIALS
from redoxa.screening.workers.jobs import Job, Outcome, Settings, Subject, outcome_kind

AHEAD = 2
"""Jobs a worker holds: the one it computes and the next, so that it never waits for the parent."""

MAX_FAILED_STARTS = 3

MAX_LOSSES = 3
"""Times that the process of a job may be lost (killed, out of memory) before the job is given up."""

SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    # Keep freed memory: tensors of a few MB come and go thousands of times; asking the system each time costs 5-10 %.
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
}
"""Set in the environment of a worker before it starts: many libraries read it once, at import."""


@dataclass(frozen=True)
class Finished:
    """A job that ended: with its outcome, or with why there is none; `died` where its process was lost."""

    job_id: str
    outcome: Outcome | None
    error: str = ""
    died: bool = False

    @property
    def relaxation(self) -> Relaxation | None:
        """The outcome of a job that relaxes."""
        return self.outcome if isinstance(self.outcome, Relaxation) else None


class Pool(Protocol):
    """Where jobs are computed."""

    def submit(self, job_id: str, subject: Subject, settings: Settings, urgency: int = 0) -> None:
        """Hand in a subject; its settings say what is to be done with it (`screening.workers.jobs`).

        Jobs of higher urgency go first, among equals the one handed in first.
        """
        ...

    def wait(self) -> Finished:
        """Block until a job ends.

        Raises:
            IndexError: no job is outstanding.
            PotentialError: the workers cannot be started.
        """
        ...

    def __len__(self) -> int: ...

    def close(self) -> None:
        """End the workers, whatever they do. Safe twice."""
        ...


def open_pool(potential: str = "chgnet", workers: int = 0) -> Pool:
    """A pool with so many processes (0: one for each core); with one worker the jobs run in this process."""
    count = workers or available_cores()
    return InlinePool(potential) if count == 1 else WorkerPool(potential, count)


def available_cores() -> int:
    """Cores this process may use (a container or `taskset` may allow fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Heap:
    """Jobs waiting, by urgency and then by order of arrival."""

    def __init__(self) -> None:
        self._items: list[tuple[int, int, Job]] = []
        self._count = 0

    def push(self, job: Job, urgency: int) -> None:
        self._count += 1
        heapq.heappush(self._items, (-urgency, self._count, job))

    def pop(self) -> Job:
        return heapq.heappop(self._items)[2]

    def __len__(self) -> int:
        return len(self._items)


class InlinePool:
    """Computes in this process, when waited for."""

    def __init__(self, potential: str) -> None:
        from redoxa.screening.potentials.base import load_potential

        self._potential = load_potential(potential)
        self._waiting = _Heap()

    def submit(self, job_id: str, subject: Subject, settings: Settings, urgency: int = 0) -> None:
        """Keep the job until `wait`."""
        self._waiting.push(Job(id=job_id, subject=subject, settings=settings), urgency)

    def wait(self) -> Finished:
        """Compute the most urgent job."""
        job = self._waiting.pop()
        try:
            return Finished(job.id, job.run(self._potential))
        except PotentialError as error:
            return Finished(job.id, None, str(error))

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """Forget what is waiting."""
        self._waiting = _Heap()


@dataclass
class _Worker:
    """One process as the parent sees it."""

    process: subprocess.Popen[str]
    errors: IO[bytes]
    jobs: list[Job] = field(default_factory=list)
    ready: bool = False

    def send(self, job: Job) -> bool:
        """Write a job; False where the process is gone (its end is dealt with when it is noticed)."""
        self.jobs.append(job)
        try:
            _pipe(self.process.stdin).write(job.model_dump_json() + "\n")
            _pipe(self.process.stdin).flush()
        except OSError:
            return False
        return True

    def last_words(self) -> str:
        """End of what it wrote to stderr, on one line."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def end(self) -> None:
        """Close its stdin, which ends it; insist after two seconds."""
        with contextlib.suppress(OSError):
            _pipe(self.process.stdin).close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()


class WorkerPool:
    """Processes that compute, fed one job ahead. A context manager; leaving it ends the processes."""

    def __init__(self, potential: str, workers: int) -> None:
        if potential not in POTENTIALS:
            raise UnknownKindError("potential", potential, POTENTIALS)
        self._potential = potential
        self._waiting = _Heap()
        self._messages: queue.SimpleQueue[tuple[_Worker, str | None]] = queue.SimpleQueue()
        self._failed_starts = 0
        self._losses: Counter[str] = Counter()
        self._workers = [self._start() for _ in range(workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._waiting) + sum(len(w.jobs) for w in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [w.process.pid for w in self._workers]

    def submit(self, job_id: str, subject: Subject, settings: Settings, urgency: int = 0) -> None:
        """Queue the job and feed the workers."""
        self._waiting.push(Job(id=job_id, subject=subject, settings=settings), urgency)
        self._feed()

    def wait(self) -> Finished:
        """Block until a job ends. A worker that died is replaced, and its job asked for again, thrice at most."""
        if not len(self):
            raise IndexError("no job is outstanding")
        while True:
            worker, line = self._messages.get()
            finished = self._bury(worker) if line is None else self._read(worker, json.loads(line))
            self._feed()
            if finished is not None:
                return finished

    def close(self) -> None:
        """End every process."""
        for worker in self._workers:
            worker.end()
        self._workers = []
        self._waiting = _Heap()

    def _start(self) -> _Worker:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with its worker)
        # A process group of its own keeps Ctrl-C with the parent, which then closes the pool in order. With -P, a file
        # data.py in the user's folder does not stand in for our package.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "redoxa.screening.workers.worker", self._potential],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8",
            env={**os.environ, **SINGLE_THREAD, "PYTHONWARNINGS": "ignore"},
            process_group=0 if os.name == "posix" else None,
        )  # fmt: skip
        worker = _Worker(process, errors)
        threading.Thread(target=_listen, args=(worker, self._messages), daemon=True).start()
        return worker

    def _feed(self) -> None:
        """Give each worker up to `AHEAD` jobs, the least loaded first."""
        while len(self._waiting):
            worker = min(self._workers, key=lambda w: len(w.jobs))
            if len(worker.jobs) >= AHEAD:
                return
            if not worker.send(self._waiting.pop()):
                return

    def _read(self, worker: _Worker, message: Mapping[str, object]) -> Finished | None:
        if "fatal" in message:
            raise PotentialError(str(message["fatal"]))
        if "ready" in message:
            worker.ready = True
            self._failed_starts = 0
            return None
        job = next(job for job in worker.jobs if job.id == message["id"])
        worker.jobs.remove(job)
        self._losses.pop(job.id, None)
        if "error" in message:
            return Finished(job.id, None, str(message["error"]))
        return Finished(job.id, outcome_kind(job.settings).model_validate(message["outcome"]))

    def _bury(self, worker: _Worker) -> Finished | None:
        """Replace a dead worker. The jobs in its hand go to others, unless the one it computed was lost too often."""
        if worker not in self._workers:
            return None
        code = worker.process.wait()
        words = worker.last_words()
        worker.end()
        self._failed_starts += not worker.ready
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise PotentialError(f"the relaxation workers do not start (exit code {code}): {words or 'no message'}")
        self._workers[self._workers.index(worker)] = self._start()
        given_up: Job | None = None
        if worker.ready and worker.jobs:
            self._losses[worker.jobs[0].id] += 1
            if self._losses[worker.jobs[0].id] >= MAX_LOSSES:
                given_up = worker.jobs.pop(0)
                del self._losses[given_up.id]
        for job in worker.jobs:
            self._waiting.push(job, urgency=1_000_000)
        if given_up is None:
            return None
        cause = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        text = f"the worker process died {MAX_LOSSES} times, the last time {cause}. {words}".strip()
        return Finished(given_up.id, None, text, died=True)


def _pipe(stream: IO[str] | None) -> IO[str]:
    """The pipe that `Popen` was asked for.

    Raises:
        OSError: there is none.
    """
    if stream is None:
        raise OSError("the worker has no pipe")
    return stream


def _listen(worker: _Worker, messages: queue.SimpleQueue[tuple[_Worker, str | None]]) -> None:
    """Forward a worker's lines; None when it ends."""
    with contextlib.suppress(OSError, ValueError):
        for line in _pipe(worker.process.stdout):
            if line.endswith("\n"):
                messages.put((worker, line))
    messages.put((worker, None))


def relax_many(
    crystals: Sequence[Subject], settings: Settings | None = None, potential: str = "chgnet", workers: int = 0
) -> Iterator[tuple[int, Finished]]:
    """Relax crystals in parallel; yields (index, outcome) as they end, in no fixed order.

    Settings are `RelaxSettings` for crystals and `SymmetricRelaxSettings` for symmetric ones.
    """
    pool = open_pool(potential, workers)
    try:
        for i, crystal in enumerate(crystals):
            default = RelaxSettings() if isinstance(crystal, Crystal) else SymmetricRelaxSettings()
            pool.submit(str(i), crystal, settings or default)
        while len(pool):
            finished = pool.wait()
            yield int(finished.job_id), finished
    finally:
        pool.close()
