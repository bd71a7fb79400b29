"""What somebody wants made and measured, where it stands in the queue, and who did what to it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from redoxa.data.lab.measurement import Measurement
from redoxa.data.lab.recipe import Recipe
from redoxa.data.records import Crystal, Estimate, Record, WorkingIon


class SafetyFinding(Record):
    """One safety rule's word on a request."""

    rule: str
    ok: bool
    text: str
    overridden_by: tuple[str, ...] = ()
    """Two persons who let the request through in spite of it; the rule's word stays."""

    @property
    def is_settled(self) -> bool:
        """Whether the rule allowed the request, or two persons overrode it."""
        return self.ok or len({name.strip().casefold() for name in self.overridden_by}) == 2


class ExperimentRequest(Record):
    """A candidate that somebody wants made and measured. Its `content_hash` is the idempotency key."""

    campaign: str
    round: int
    candidate_id: str
    formula: str
    working_ion: WorkingIon
    crystal: Crystal
    """The relaxed discharged phase, for phase identification."""
    recipe: Recipe
    predictions: dict[str, Estimate]
    why: str
    priority: int = 0


class RequestState(StrEnum):
    """Where a request stands in the queue."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    CLAIMED = "claimed"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HELD = "held"


class QueueItem(Record):
    """One row of the laboratory queue."""

    request_id: str
    request: ExperimentRequest
    state: RequestState
    priority: int
    safety: tuple[SafetyFinding, ...]
    safety_rules: str
    """Version of the rules that the findings are from."""
    is_intact: bool = True
    """Whether the stored request still has the hash with which it was proposed."""
    worker: str | None = None
    """Name of who holds it, for people."""
    lease_token: str | None = None
    """What holds it: whoever claimed or adopted it shows this; two workers of one name have two of them."""
    attempts: int = 0
    """Times it was claimed."""
    lease_until: datetime | None = None
    created_at: datetime
    updated_at: datetime
    measurement: Measurement | None = None

    @property
    def is_safe(self) -> bool:
        """Whether every safety rule that was asked allowed the request, or was overridden."""
        return bool(self.safety) and all(finding.is_settled for finding in self.safety)

    @property
    def overridden(self) -> tuple[str, ...]:
        """Rules that two persons have overridden for it."""
        return tuple(finding.rule for finding in self.safety if finding.overridden_by)


class QueueEvent(Record):
    """One line of the audit trail: who did what to which request, when and why."""

    request_id: str
    at: datetime
    actor: str
    action: str
    from_state: RequestState | None
    to_state: RequestState
    why: str
