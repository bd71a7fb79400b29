"""Why requests wait."""

from __future__ import annotations

from collections.abc import Sequence

from redoxa.data.lab.request import QueueItem, RequestState
from redoxa.robotics.queue.queue import LabQueue


def why_held(queue: LabQueue, rows: Sequence[QueueItem]) -> dict[str, str]:
    """Why each held request is held, by its id."""
    told = {}
    for row in rows:
        if row.state is RequestState.HELD:
            moves = [event for event in queue.events(row.request_id) if event.from_state is not event.to_state]
            told[row.request_id] = moves[-1].why
    return told
