"""What stages take, written while they run: a process that is killed loses the last seconds of it, no more."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from redoxa.data.storage.rows import Cost
from redoxa.data.storage.store import Store

EVERY_s = 5.0
"""Seconds of a run between two writings: a campaign of a night leaves some thousand rows a stage at most."""


class Meter:
    """The costs of one piece of work of a round."""

    def __init__(self, store: Store, campaign_id: str, round_: int) -> None:
        self._store, self._campaign_id, self._round = store, campaign_id, round_
        self._written_s: dict[str, float] = defaultdict(float)
        self._at_s = time.monotonic()

    def so_far(self, seconds: Mapping[str, float]) -> None:
        """Write what stages have taken so far, where the last writing is some time ago.

        Counts follow with `end`: what a killed process has not finished is counted by the one that does.
        """
        if time.monotonic() - self._at_s >= EVERY_s:
            self.end([Cost(self._round, stage, 0, 0, s) for stage, s in seconds.items() if s > self._written_s[stage]])

    def end(self, costs: Sequence[Cost]) -> None:
        """Write what the whole work took, less what is written already."""
        new = [replace(cost, seconds=cost.seconds - self._written_s[cost.stage]) for cost in costs]
        self._written_s.update({cost.stage: cost.seconds for cost in costs})  # first: better lost than counted twice
        self._store.add_costs(self._campaign_id, new)
        self._at_s = time.monotonic()
