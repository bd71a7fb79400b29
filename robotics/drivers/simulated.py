"""A laboratory that is simulated, and says so in everything it gives back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from redoxa.data.errors import DriverError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Record
from redoxa.robotics.base import JobReport, JobState
from redoxa.robotics.drivers.simulated_truth import CellModel, seeded, simulate
from redoxa.robotics.files import create_atomic, safe_name
from redoxa.robotics.planning.equipment import lacking


class _Job(Record):
    """What the simulated laboratory remembers of a request."""

    request_id: str
    request: ExperimentRequest
    submitted_s: float
    due_s: float
    stuck: bool


class SimulatedLab:
    """Seeded synthesis and cells (see `robotics.drivers.simulated_truth`) behind the driver's interface.

    Each request is one file in ``jobs/``, made exactly once, so the state outlives the process and two processes cannot
    both submit. Results follow from the file and the seed alone.

    Args:
        config: what is simulated.
        folder: for jobs and raw tables.
        clock: seconds since 1970.
        laboratory: which is simulated.
    """

    name: ClassVar[str] = "simulated"
    summary: ClassVar[str] = "a simulated laboratory: seeded noise, failures and delays; nothing is made or measured"
    patience_s: float = 3600.0
    simulated: bool = True

    class Config(BaseModel):
        """What the simulated laboratory is like."""

        model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

        seed: int = Field(default=0, ge=0, description="same seed, same results")
        noise_rsd: float = Field(default=0.02, ge=0, le=0.5, description="scatter of the capacity from cell to cell")
        cell_failure: float = Field(default=0.05, ge=0, le=1, description="share of cells that do not work")
        delay_s: float = Field(default=0, ge=0, description="mean time from sending to result")
        lost_reply: float = Field(default=0, ge=0, le=1, description="share of requests whose acceptance gets lost")
        stuck: float = Field(default=0, ge=0, le=1, description="share of jobs that never end")
        truth: dict[str, dict[str, float]] = Field(
            default={}, description="hidden properties by candidate id, instead of drawn ones"
        )

    def __init__(
        self,
        config: Config,
        folder: Path,
        clock: Callable[[], float] = time.time,
        *,
        laboratory: Laboratory | None = None,
    ) -> None:
        self.config = config
        self.laboratory = laboratory or Laboratory()
        self.folder = folder
        self._clock = clock

    def check(self, request: ExperimentRequest) -> list[str]:
        """Obstacles: what the recipe needs and the laboratory has not got; it simulates the one that is described."""
        return lacking(request, self.laboratory)

    def submit(self, request_id: str, request: ExperimentRequest) -> None:
        """Take the request, once.

        Raises:
            DriverError: the key is taken by another request, or the reply got lost (as configured).
        """
        rng = seeded(self.config.seed, "delay", request_id)
        delay_s = self.config.delay_s * rng.uniform(0.5, 1.5)
        stuck, reply_lost = rng.random() < self.config.stuck, rng.random() < self.config.lost_reply
        now = self._clock()
        job = _Job(request_id=request_id, request=request, submitted_s=now, due_s=now + delay_s, stuck=stuck)
        if create_atomic(self._path(request_id, "json"), job.model_dump_json()):
            if reply_lost:
                raise DriverError("the reply was lost (simulated)")
            return
        known = self._job(request_id)
        if known is not None and known.request.content_hash != request.content_hash:
            raise DriverError(f"{request_id} is taken by another request, for {known.request.formula}")

    def poll(self, request_id: str) -> JobReport:
        """State of a request, and its result when it is due."""
        job = self._job(request_id)
        if job is None:
            return JobReport(state=JobState.UNKNOWN)
        ended = self._ended(request_id)
        end_s = self._clock() if ended is None else ended[0]
        if job.stuck or end_s < job.due_s:
            if ended is not None:
                return JobReport(state=JobState.FAILED, text=f"{ended[1]} before it was finished (simulated)")
            return JobReport(state=JobState.RUNNING, text="simulated")
        model = CellModel(self.config.noise_rsd, self.config.cell_failure)
        known = self.config.truth.get(job.request.candidate_id)
        measurement, raw = simulate(request_id, job.request, self.config.seed, model, known)
        create_atomic(self.folder / "raw" / f"{request_id}.csv", raw)
        return JobReport(state=JobState.DONE, measurement=measurement, text="simulated")

    def stop(self) -> None:
        """End everything that is not finished. What was finished keeps its result; new requests are taken."""
        for path in sorted((self.folder / "jobs").glob("*.json")):
            request_id = path.stem
            if self.poll(request_id).state is JobState.RUNNING:
                create_atomic(self._path(request_id, "stopped"), json.dumps({"stopped_s": self._clock()}))

    def cancel(self, request_id: str) -> bool:
        """End one job, if it is known and not finished."""
        if self._job(request_id) is None:
            return False
        create_atomic(self._path(request_id, "cancelled"), json.dumps({"cancelled_s": self._clock()}))
        return True

    def _path(self, request_id: str, suffix: str) -> Path:
        return self.folder / "jobs" / f"{safe_name(request_id)}.{suffix}"

    def _job(self, request_id: str) -> _Job | None:
        try:
            text = self._path(request_id, "json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return _Job.model_validate_json(text)

    def _ended(self, request_id: str) -> tuple[float, str] | None:
        """When a job was ended before its time, and how; None where it was not."""
        found = []
        for how in ("stopped", "cancelled"):
            with suppress(FileNotFoundError):
                text = self._path(request_id, how).read_text(encoding="utf-8")
                found.append((float(json.loads(text)[f"{how}_s"]), how))
        return min(found, default=None)
