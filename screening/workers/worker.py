"""One worker process: reads jobs as JSON lines on stdin, answers with JSON lines on stdout.

It lives exactly as long as its parent: the end of stdin, which the system brings about however the parent dies, ends it
at once, in the middle of a job too. Interrupts from the keyboard are the parent's business.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from typing import IO, TextIO

from redoxa.screening.workers.jobs import Job

WATCH_INTERVAL_s = 1.0


def main(potential_name: str) -> int:
    """Serve until stdin ends. Exit code 3: the potential could not be loaded."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _take_stdout()
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    parent = os.getppid()
    threading.Thread(target=_read_jobs, args=(sys.stdin, jobs), daemon=True).start()
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    return _serve(potential_name, jobs, answers)


def _serve(potential_name: str, jobs: queue.SimpleQueue[str], answers: IO[str]) -> int:
    import torch

    from redoxa.data.errors import RedoxaError
    from redoxa.screening.potentials.base import load_potential

    torch.set_num_threads(1)
    try:
        potential = load_potential(potential_name)
    except RedoxaError as error:
        _answer(answers, fatal=str(error))
        return 3
    _answer(answers, ready=potential.model_id)
    while True:
        job = Job.model_validate_json(jobs.get())
        try:
            _answer(answers, id=job.id, outcome=job.run(potential).model_dump(mode="json"))
        except RedoxaError as error:
            _answer(answers, id=job.id, error=str(error))


def _answer(answers: IO[str], **message: object) -> None:
    answers.write(json.dumps(message, allow_nan=False) + "\n")
    answers.flush()


def _take_stdout() -> IO[str]:
    """Keep stdout for answers; what libraries print goes to stderr instead."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _read_jobs(lines: TextIO, jobs: queue.SimpleQueue[str]) -> None:
    for line in lines:
        jobs.put(line)
    os._exit(0)  # stdin ended: the parent closed the pool, or is dead


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_INTERVAL_s)
    os._exit(0)


if __name__ == "__main__":
    # Past the interpreter's own shutdown, which would wait for the thread that reads stdin.
    os._exit(main(sys.argv[1]))
