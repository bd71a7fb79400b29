"""Independent pieces of sampling, one a core.

A network this small gains 15 % at best from a second thread inside its operations, and becomes six times slower
whenever another process wants a core, since such threads spin while they wait for one another. Whole batches side by
side use the cores and do not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

import torch

from redoxa.data.progress import OnStep

T = TypeVar("T")


class Progress:
    """Counts finished samples from several threads."""

    def __init__(self, total: int, on_step: OnStep | None) -> None:
        self.done, self.total, self.on_step = 0, total, on_step
        self.lock = Lock()

    def add(self, count: int) -> None:
        """So many more are done."""
        with self.lock:
            self.done += count
            if self.on_step is not None:
                self.on_step(self.done, self.total)

    def piece(self) -> Callable[[int], None]:
        """To be called with how many samples of one piece are done, as that number grows."""
        before = 0

        def at(done: int) -> None:
            nonlocal before
            self.add(done - before)
            before = done

        return at


def side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks on as many threads as torch may use, each with one thread inside its operations; results in order.

    One thread inside an operation also means that the numbers do not depend on how many cores there are.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(threads, len(tasks)), "sample", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(lambda task: task(), tasks))
    finally:
        # The setting is by thread for torch's own kernels but by process for some of its libraries.
        torch.set_num_threads(threads)


def shares(n: int, least: int = 16, most: int = 100) -> list[int]:
    """Split n samples into an even number of nearly equal pieces of at most `most`; one piece where n is small.

    The split depends on n alone, never on the machine, so that the same seed gives the same samples everywhere.
    """
    if n < 2 * least:
        return [n] if n else []
    pieces = 2 * -(-n // (2 * most))
    return [n // pieces + (i < n % pieces) for i in range(pieces)]
