"""What the report shows, as plain records. Whoever fills them needs the store; whoever draws them needs nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from redoxa.data.lab.measurement import Measurement
from redoxa.data.lab.request import ExperimentRequest, RequestState, SafetyFinding
from redoxa.data.records import Candidate, Estimate, Record, ScreeningResult, WorkingIon


class Objective(Record):
    """One objective of the campaign: a property and the range that candidates should lie in."""

    name: str
    min: float | None = None
    max: float | None = None

    @property
    def direction(self) -> Literal["higher is better", "lower is better", "inside the range"]:
        """Where the selection pushes: away from the single limit, or into the range of two."""
        if self.min is not None and self.max is not None:
            return "inside the range"
        return "lower is better" if self.max is not None else "higher is better"


class Spend(Record):
    """What the campaign has cost so far."""

    seconds_by_stage: dict[str, float] = {}
    cpu: str = ""
    """Processor and cores, e.g. ``2 cores, AMD EPYC 7763``."""

    @property
    def seconds(self) -> float:
        """Processor time over all stages."""
        return sum(self.seconds_by_stage.values())


class ReasonCount(Record):
    """How many candidates ended for one reason."""

    text: str
    count: int = Field(ge=0)


class FunnelStage(Record):
    """One stage of the funnel: how many came in, how many went on, and why the others ended.

    Its seconds are processor time.
    """

    name: str
    entered: int = Field(ge=0)
    passed: int = Field(ge=0)
    seconds: float = Field(ge=0)
    reasons: tuple[ReasonCount, ...] = ()
    """Most frequent first."""


class ResultRow(Record):
    """One screened candidate, and its selection where it was chosen."""

    candidate: Candidate
    result: ScreeningResult
    rank: int | None = None
    """Place among the chosen of its round, 1 being the best; None where it was not chosen."""
    why: str = ""
    """The sentence of the selection."""
    why_not: str = ""
    """Why a candidate that passed was not chosen."""
    no_request: str = ""
    """Why a chosen candidate has no request in the queue; empty where it has one."""
    novelty: str = ""
    """E.g. ``not among 39 512 known materials``."""
    also_in: tuple[str, ...] = ()
    """Other campaigns of the store that proposed the same crystal."""


class HistoryEvent(Record):
    """One line of the audit trail of a request."""

    at: datetime
    state: RequestState
    by: str
    text: str = ""


class RequestRow(Record):
    """A request of the queue, where it stands and how it came there."""

    request_id: str
    request: ExperimentRequest
    state: RequestState
    safety: tuple[SafetyFinding, ...] = ()
    history: tuple[HistoryEvent, ...] = ()


class CalibrationRow(Record):
    """A predicted and a measured value of one property of one candidate."""

    candidate_id: str
    formula: str
    name: str
    predicted: Estimate
    measured: Estimate
    simulated: bool


class Correction(Record):
    """What the measurements taught about a property: multiply by `factor`, add `bias`; of sigma, by `scale`."""

    name: str
    bias: float = 0.0
    factor: float = 1.0
    scale: float
    count: int


class LatentPoint(Record):
    """A candidate in the plane of the latent space of `vae`."""

    candidate_id: str
    x: float
    y: float
    anomaly: float | None
    """How unlike the training data, in standard deviations; None where it has no symmetric form to be judged by."""


class LatentView(Record):
    """The map of the candidates among known electrodes, or why there is none."""

    points: tuple[LatentPoint, ...] = ()
    known: tuple[tuple[float, float], ...] = ()
    share: float = 0.0
    """Of the known electrodes' variance that the plane shows."""
    outside: float = 3.0
    """Anomaly score from which on a candidate lies outside what the model knows."""
    left_out: int = Field(default=0, ge=0)
    """Candidates that were not placed."""
    why_not: str = ""
    """Why there is no map; empty where there is one."""


class Provenance(Record):
    """Enough to make everything again."""

    created_at: datetime
    campaign_id: str
    settings_hash: str
    seed: int
    versions: dict[str, str] = {}
    """Package -> version, Redoxa itself and Python among them."""
    checkpoints: dict[str, str] = {}
    """Generator or potential -> sha256 of its weights, or its model id."""
    git_sha: str | None = None
    reference: dict[str, str] = {}
    """What the hull and the novelty check know: coverage, energy scale, where the structures came from."""


class ReportData(Record):
    """Everything the report shows."""

    name: str
    working_ion: WorkingIon
    electrode: Literal["cathode", "anode"]
    objectives: tuple[Objective, ...]
    allowed_elements: tuple[str, ...] = ()
    spec_yaml: str
    """The resolved campaign file."""
    rounds_done: int = Field(ge=0)
    rounds_planned: int = Field(ge=1)
    stop_reason: str
    spend: Spend = Spend()
    funnel: tuple[FunnelStage, ...] = ()
    results: tuple[ResultRow, ...] = ()
    front_ids: tuple[str, ...] = ()
    """Candidates on the Pareto front of all objectives."""
    requests: tuple[RequestRow, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    rejected_results: tuple[str, ...] = ()
    """Answers of the laboratory that were refused, each with its reason."""
    calibration: tuple[CalibrationRow, ...] = ()
    corrections: tuple[Correction, ...] = ()
    latent: LatentView = LatentView(why_not="No candidate was placed on the map.")
    provenance: Provenance


class FileRow(Record):
    """A structure of a file as `redoxa screen` was given it, and what was found; `problem` where it is unusable.

    `remarks` say what the reader of the file had to assume.
    """

    name: str
    candidate: Candidate | None = None
    result: ScreeningResult | None = None
    problem: str = ""
    remarks: tuple[str, ...] = ()


class ScreeningData(Record):
    """Everything the page of `redoxa screen` shows."""

    working_ion: WorkingIon
    rows: tuple[FileRow, ...]
    limited: bool
    """Whether limits of a campaign could reject; else everything is computed and nothing judged."""
    settings: dict[str, str]
    """What was computed and how, in words."""
    settings_hash: str
    versions: dict[str, str] = {}
    created_at: datetime
