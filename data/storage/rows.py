"""What the store gives of a campaign beside its candidates and results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue


@dataclass(frozen=True)
class CampaignRow:
    """A campaign.

    Attributes:
        id: content hash of its resolved file.
        name: what the file calls it.
        spec: the resolved file as JSON; `pipeline.campaign.session.stored_spec` reads it.
        created_at: when it was first recorded, in UTC.
    """

    id: str
    name: str
    spec: dict[str, JsonValue]
    created_at: datetime


@dataclass(frozen=True)
class StageRow:
    """A stage of a round that is complete, with its counts; `created_at` in UTC."""

    round: int
    stage: str
    summary: dict[str, int]
    created_at: datetime


@dataclass(frozen=True)
class Chunk:
    """One generator's batch of samples within a round."""

    campaign_id: str
    round: int
    generator: str
    chunk: int
    first_sample: int


@dataclass(frozen=True)
class Selection:
    """A candidate chosen for the laboratory, and why."""

    candidate_id: str
    rank: int
    why: str
    request_id: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """What a stage of a round took: samples or candidates in and out, and seconds of processor time.

    What an earlier version wrote is time by the clock on the wall.
    """

    round: int
    stage: str
    entered: int
    passed: int
    seconds: float


@dataclass(frozen=True)
class Run:
    """A run of a campaign.

    Attributes:
        began_at: in UTC.
        ended_at: None while it goes on, and where it ended without a word.
        said: why it came to its end.
        failed: whether somebody should look.
    """

    began_at: datetime
    ended_at: datetime | None
    said: str
    failed: bool
