"""Waiting for a database that is away for a moment: restarted, failed over, or behind a connection that dropped."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from redoxa.data.errors import LostStoreError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How long something is tried again, and how often.

    Attributes:
        total_s: from the first attempt; none begins later than this.
        first_s: pause after the first attempt. Each pause is twice the one before, give or take half of it, so that
            processes that lost the same server do not come back all at once.
        longest_s: no pause is meant to be longer.
        clock: seconds, monotonic.
        sleep: waits for seconds.
        chance: where the give and take comes from.
    """

    total_s: float = 30.0
    first_s: float = 0.1
    longest_s: float = 4.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: random.Random = field(default_factory=random.Random)


PATIENCE = Patience()
"""What is waited for a store in use."""


def persist(attempt: Callable[[], Result], patience: Patience | None = None) -> Result:
    """Call `attempt` until it gives a result; give up with its last error when the patience is over.

    Raises:
        LostStoreError: the store was away for all of that time. Any other error is raised at once.
    """
    patience = patience or PATIENCE
    end, pause = patience.clock() + patience.total_s, patience.first_s
    while True:
        try:
            return attempt()
        except LostStoreError:
            wait = pause * patience.chance.uniform(0.5, 1.5)
            if patience.clock() + wait > end:
                raise
            patience.sleep(wait)
            pause = min(2 * pause, patience.longest_s)
