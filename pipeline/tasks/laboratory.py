"""What `redoxa lab` and `redoxa queue` ask of laboratories and stores that may be away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from redoxa.data.errors import DriverError, RedoxaError
from redoxa.data.lab.request import QueueItem, RequestState

if TYPE_CHECKING:
    from redoxa.robotics.base import Rejects
    from redoxa.robotics.queue.queue import LabQueue
    from redoxa.robotics.stop_mark import Mark


def looked_at(laboratory: Rejects) -> tuple[list[str], list[str]]:
    """Answers that are refused, and those that are left for the next time; also where no request waits for one."""
    try:
        young = laboratory.take_in()
    except DriverError as error:
        return [*laboratory.rejected(), str(error)], []
    return laboratory.rejected(), young


def stop_driver(store: str, campaign: str) -> tuple[str | None, str]:
    """Id of the campaign whose laboratory was told to stop, or why it could not be told."""
    from redoxa.pipeline.campaign.lookup import find_campaign
    from redoxa.pipeline.campaign.session import opened

    try:
        with opened(store, find_campaign(store, campaign)) as session:
            session.driver.stop()
    except (RedoxaError, OSError) as error:
        return None, str(error)
    return session.campaign_id, ""


def tell_laboratory(store: str, queue: LabQueue, row: QueueItem) -> str:
    """Ask the laboratory to do no more for a request; what came of it, which the audit trail keeps."""
    from redoxa.pipeline.campaign.session import opened

    try:
        with opened(store, row.request.campaign) as session:
            known = session.driver.cancel(row.request_id)
        told = "the laboratory was told to do no more" if known else "it never reached the laboratory"
    except (RedoxaError, OSError) as error:
        told = f"the laboratory could not be told, tell the people there: {error}"
    queue.note(row.request_id, "laboratory", told)
    return told


def audit(opened: Callable[[], LabQueue], marks: Sequence[Mark], then: str, by: str) -> str:
    """Write a line on each request that is running, of each mark; why it could not be written."""
    from redoxa.robotics.stop_mark import audited

    try:
        queue = opened()
        running = queue.list(None, RequestState.RUNNING)
        for mark in marks:
            for row in running:
                queue.note(row.request_id, by, f"the laboratory was stopped {mark.text}; {then}")
            audited(mark)
    except (RedoxaError, OSError) as error:
        return str(error)
    return ""
