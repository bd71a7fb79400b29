"""What a digest says of a campaign, as a plain record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class CampaignDigest:
    """One campaign since a moment.

    Attributes:
        campaign: its name.
        campaign_id: its id.
        runs: that were going on since, in a line each: when, for how long, how each ended.
        screening_minutes: what the screening took since, of the worker processes.
        rounds: complete ones, and how many it is to have.
        completed: rounds that were completed since.
        screened: results of all rounds, and how many passed.
        chosen: formulas chosen for the laboratory since, best first.
        measured: requests that came back since, in a line each.
        waiting: requests that wait for a person.
        held: requests that are held, with why.
        with_laboratory: requests that the laboratory has.
        last_progress: when something was last written; None for a campaign that has not begun.
        ended: why it is at its end; empty while there is something to do.
        trouble: what somebody should look at, a line each; see `pipeline.results.watchdog`.
        simulated: whether its laboratory is a simulator.
        report: file of its report; None where none was written.
    """

    campaign: str
    campaign_id: str
    runs: tuple[str, ...]
    screening_minutes: float
    rounds: tuple[int, int]
    completed: tuple[int, ...]
    screened: tuple[int, int]
    chosen: tuple[str, ...]
    measured: tuple[str, ...]
    waiting: tuple[str, ...]
    held: tuple[str, ...]
    with_laboratory: int
    last_progress: datetime | None
    ended: str
    trouble: tuple[str, ...]
    simulated: bool
    report: str | None

    def values(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)
