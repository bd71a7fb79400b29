"""Training on several processes: each takes a share of every batch, and gradients are summed over all of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import distributed


@dataclass(frozen=True)
class Worker:
    """One process of several that train together.

    Attributes:
        rank: which, from 0; the first one logs, validates and saves.
        count: how many there are.
        device: where its tensors lie.
    """

    rank: int
    count: int
    device: torch.device

    def share(self, rows: torch.Tensor) -> tuple[torch.Tensor, float]:
        """This worker's part of a batch [B], and its part of the whole.

        A batch of fewer rows than workers leaves some without any: these get a row of weight zero, so that they still
        give a gradient of the right shape.
        """
        part = rows[self.rank :: self.count]
        return (part, len(part) / len(rows)) if len(part) else (rows[:1], 0.0)

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all workers, in one exchange."""
        if self.count == 1:
            return
        flat = torch.cat([t.flatten() for t in tensors])
        distributed.all_reduce(flat)
        for tensor, total in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))


@contextmanager
def workers(count: int, device: str, job: Callable[[Worker], None]) -> Iterator[Worker]:
    """This process as worker 0; the others are started to run `job`, and ended with the block.

    Args:
        count: processes in all; with 1, none is started.
        device: "cpu", "cuda", or "auto" for a GPU where there is one. Several workers take one GPU each, in turn.
        job: what the other workers do; must be picklable, since each is a fresh Python.
    """
    if count == 1:
        yield Worker(0, 1, _device(device, 0))
        return
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, _one_thread_each():
        meeting = Path(folder) / "workers"
        context = get_context("spawn")
        others = [
            context.Process(target=_run, args=(job, rank, count, device, meeting), daemon=True)
            for rank in range(1, count)
        ]
        for other in others:
            other.start()
        torch.set_num_threads(1)
        try:
            yield _join(0, count, device, meeting)
            for other in others:
                other.join()
        finally:
            for other in others:
                other.terminate()
            if distributed.is_initialized():
                distributed.destroy_process_group()
            torch.set_num_threads(threads)


def _run(job: Callable[[Worker], None], rank: int, count: int, device: str, meeting: Path) -> None:
    """Body of a started process."""
    worker = _join(rank, count, device, meeting)
    job(worker)
    distributed.destroy_process_group()


def _join(rank: int, count: int, device: str, meeting: Path) -> Worker:
    """Meet the other workers; returns when all are there."""
    place = _device(device, rank)
    store = distributed.FileStore(str(meeting), count)  # type: ignore[attr-defined]
    backend = "nccl" if place.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    return Worker(rank, count, place)


def _device(name: str, rank: int) -> torch.device:
    """The device of a worker."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name, rank % torch.cuda.device_count()) if name == "cuda" else torch.device(name)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Environment in which a new process uses one thread; OpenMP reads it once, when it starts."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
