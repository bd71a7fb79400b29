"""A laboratory of people: work lists go into one folder, results come back in another.

- ``outbox/ID.json``: the whole request, for machines
- ``outbox/ID.csv``: the work list, for people
- ``outbox/ID.cif``: the crystal of the target, as computed
- ``outbox/ID.xrd.csv``: the X-ray powder pattern that it should give
- ``outbox/ID.cancelled.txt``: that no more is to be done for it
- ``outbox/ID.template.json``: the answer, to be filled in and put into ``inbox/``
- ``inbox/*.json, *.csv``: results (see `robotics.drivers.result_files`); raw data under ``inbox/raw/``
- ``inbox/processed/``: results that were taken
- ``inbox/rejected/``: results that were not, each with ``NAME.reason.txt``
- ``results/ID.json``: what was taken, once
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from redoxa.data.errors import DriverError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics.base import JobReport, JobState
from redoxa.robotics.drivers.result_files import Result, ResultError, read_results, to_measurement
from redoxa.robotics.drivers.work_order import work_list_csv
from redoxa.robotics.files import (
    create_atomic,
    listing_sha256,
    read_plain,
    safe_name,
    sha256_of,
    what_else,
    write_atomic,
)
from redoxa.robotics.planning.equipment import lacking
from redoxa.robotics.planning.pattern import pattern_csv, predicted_pattern, target_cif
from redoxa.robotics.queue.judge import flagged, why_refused
from redoxa.robotics.set_aside import REASON, plain_text, put_away, refused, set_aside

MAX_STATE_BYTES = 1 << 26
"""More than any order or answer of ours holds."""
DAY = timedelta(days=1)
CANCELLED = ".cancelled.txt"
CANCELLED_TEXT = (
    "CANCELLED. Do no more for {request_id}: heat nothing, build no cell. Make safe what was begun, and tell where the "
    "sample is now: redoxa queue settle {request_id} --sample WHERE --by NAME\n"
)
STOP_FILE = "STOP.txt"
STOP_TEXT = "STOP. Stop all work on the requests in this folder. Remove this file to let new work begin.\n"


class FileDropLab:
    """Work lists out, results in.

    A result file is taken whole or rejected whole, with the reason beside it. A second, different result for a request
    is rejected: the first one may already be in the campaign.

    Args:
        config: how it hands over.
        folder: where ``outbox``, ``inbox`` and ``results`` lie.
        clock: seconds since 1970.
        laboratory: what it has.
    """

    name: ClassVar[str] = "file_drop"
    summary: ClassVar[str] = "a laboratory of people: JSON and CSV work lists out, results in"
    patience_s: float = 0.0
    simulated: bool = False

    class Config(BaseModel):
        """How it hands over."""

        model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

        settle_s: float = Field(default=2, ge=0, description="a result younger than this may still be being written")

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
        self.outbox, self.inbox, self.results = folder / "outbox", folder / "inbox", folder / "results"
        self._clock = clock
        self._left: dict[Path, str] = {}

    def check(self, request: ExperimentRequest) -> list[str]:
        """Obstacles: what the recipe needs and the laboratory has not got.

        Raises:
            DriverError: the laboratory is stopped; what waits for it goes on waiting.
        """
        self._go_or_raise()
        return lacking(request, self.laboratory)

    def submit(self, request_id: str, request: ExperimentRequest) -> None:
        """Write the work list, once.

        Raises:
            DriverError: the laboratory is stopped, the key is taken, or the folder cannot be written.
        """
        order = self._order_path(request_id)
        try:
            if os.path.lexists(order):
                self._same_or_raise(request_id, request)
                return
            self._there_or_raise()
            self._go_or_raise()
            self.outbox.mkdir(parents=True, exist_ok=True)
            for name in ("raw", "processed", "rejected"):
                (self.inbox / name).mkdir(parents=True, exist_ok=True)
            pattern = predicted_pattern(request.crystal)
            write_atomic(self.outbox / f"{request_id}.cif", target_cif(request.crystal, request.formula))
            write_atomic(self.outbox / f"{request_id}.xrd.csv", pattern_csv(pattern))
            write_atomic(self.outbox / f"{request_id}.csv", work_list_csv(request_id, request, pattern))
            write_atomic(self.outbox / f"{request_id}.template.json", _template(request_id))
            # The order itself comes last: where it is, everything is.
            if not create_atomic(order, request.model_dump_json(indent=1)):
                self._same_or_raise(request_id, request)
        except OSError as error:
            raise DriverError(f"{self.outbox} cannot be written: {error}") from error

    def poll(self, request_id: str) -> JobReport:
        """Take what has come in, then say how this request stands."""
        if not os.path.lexists(self._order_path(request_id)):
            self._there_or_raise()
            return JobReport(state=JobState.UNKNOWN)
        try:
            self.take_in()
        except DriverError:
            # What was taken before can be told all the same.
            if (known := self._known(request_id)) is not None:
                return known
            raise
        if (known := self._known(request_id)) is not None:
            return known
        cancelled = os.path.lexists(self.outbox / f"{request_id}{CANCELLED}")
        text = "cancelled" if cancelled else f"no result in {self.inbox} yet"
        return JobReport(state=JobState.WAITING, text=text)

    def stop(self) -> None:
        """Put a stop notice into the outbox; nothing new is handed over until a person removes it."""
        write_atomic(self.outbox / STOP_FILE, STOP_TEXT)

    def cancel(self, request_id: str) -> bool:
        """Put a note beside the work list, for people to see; whether it was handed over here.

        Raises:
            DriverError: the folder is away, or cannot be written.
        """
        if not os.path.lexists(self._order_path(request_id)):
            self._there_or_raise()
            return False
        try:
            create_atomic(self.outbox / f"{request_id}{CANCELLED}", CANCELLED_TEXT.format(request_id=request_id))
        except OSError as error:
            raise DriverError(f"{self.outbox} cannot be written: {error}") from error
        return True

    def folders(self) -> list[str]:
        """Where work lists lie, and where results go."""
        return [f"work lists: {self.outbox}", f"results go into: {self.inbox}"]

    def rejected(self) -> list[str]:
        """Result files that were not taken and lie there still, each with its reason."""
        left = {path: text for path, text in self._left.items() if os.path.lexists(path)}
        found = refused(self.inbox / "rejected") | refused(self.inbox) | left
        return [f"{plain_text(str(path))}: {text}" for path, text in sorted(found.items())]

    # -- inbox ---------------------------------------------------------------------------------------------------------

    def take_in(self) -> list[str]:
        """Take or reject every result file that has settled; names of those that have not.

        No file stands in the way of another, whatever it is. What cannot even be moved is left, and told by `rejected`.

        Raises:
            DriverError: the inbox cannot be read.
        """
        try:
            names = sorted(os.listdir(self.inbox))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DriverError(f"{self.inbox} cannot be read: {error}") from error
        young = []
        for path in (self.inbox / name for name in names):
            if path.name.startswith(".") or path.suffix.lower() not in (".json", ".csv"):
                continue
            with suppress(FileNotFoundError):  # another process took it meanwhile
                if self._is_young(path):
                    young.append(path.name)
                else:
                    self._take_file(path)
        return young

    def _is_young(self, path: Path) -> bool:
        """Whether a file may still be being written. A clock that is far ahead says nothing."""
        return not what_else(path) and abs(self._clock() - os.lstat(path).st_mtime) < self.config.settle_s

    def _take_file(self, path: Path) -> None:
        try:
            reports = [(result.request_id, self._report(result)) for result in read_results(path)]
            for request_id, report in reports:
                self._check_first(request_id, report)
            for request_id, report in reports:
                if not create_atomic(self._result_path(request_id), report.model_dump_json(indent=1)):
                    self._check_first(request_id, report)
        except (ResultError, DriverError) as error:
            text = set_aside(path, self.inbox / "rejected", str(error))
            self._left.pop(path, None)
            if os.path.lexists(path):
                self._left[path] = text
            return
        except FileNotFoundError:
            raise
        except OSError as error:  # ours, not the file's: it is tried again
            self._left[path] = f"cannot be taken now: {error}"
            return
        try:
            put_away(path, self.inbox / "processed")
        except FileNotFoundError:
            raise
        except OSError as error:
            self._left[path] = f"taken, and cannot be moved to {self.inbox / 'processed'}: {error.strerror}"
            return
        self._left.pop(path, None)
        with suppress(OSError):  # the reason of an earlier refusal
            path.with_name(f"{path.name}{REASON}").unlink()

    def _report(self, result: Result) -> JobReport:
        """What a result says of its request."""
        order = self._order_path(result.request_id)
        if not order.exists():
            raise ResultError(f"request '{result.request_id}' was never handed over here")
        self._check_day(result)
        if result.outcome == "failed":
            return JobReport(state=JobState.FAILED, text=result.note)
        hashes = {name: sha256_of(self._raw_path(name)) for name in result.raw_files}
        request = self._order(result.request_id)
        measurement = to_measurement(result, request.candidate_id, hashes, listing_sha256(hashes))
        if why := why_refused(measurement, request):
            raise ResultError(why)
        return JobReport(state=JobState.DONE, measurement=flagged(measurement, request), text=result.note)

    def _check_day(self, result: Result) -> None:
        """A day too much or too little is no more than another time zone."""
        if (day := result.measured_on) is None:
            return
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        if day > today + DAY:
            raise ResultError(f"measured_on {day} is in the future: today is {today}")
        # The oldest of the files: a backup may have given one of them a new date.
        paths = [self.outbox / f"{result.request_id}.{ending}" for ending in ("json", "csv", "cif")]
        handed_s = min(os.lstat(path).st_mtime for path in paths if os.path.lexists(path))
        if day < (handed_over := datetime.fromtimestamp(handed_s, UTC).date()) - DAY:
            raise ResultError(f"measured_on {day} is before the request was handed over, on {handed_over}")

    def _raw_path(self, name: str) -> Path:
        """Path of a raw file, which must lie in ``inbox/raw`` itself."""
        path = self.inbox / "raw" / safe_name(name)
        if path.is_symlink() or not path.is_file():
            raise ResultError(f"raw file '{name}' is not in {self.inbox / 'raw'}")
        return path

    def _check_first(self, request_id: str, report: JobReport) -> None:
        known = self._known(request_id)
        if known is not None and known != report:
            raise ResultError(f"request '{request_id}' has another result already; correct it by a new request")

    def _known(self, request_id: str) -> JobReport | None:
        """What was taken for a request."""
        path = self._result_path(request_id)
        try:
            return JobReport.model_validate_json(read_plain(path, MAX_STATE_BYTES))
        except FileNotFoundError:
            return None
        except (ValidationError, DriverError) as error:
            raise DriverError(f"{path} was damaged: {_first_line(error)}. Put it back from a backup") from None

    def _order(self, request_id: str) -> ExperimentRequest:
        """The request as it was handed over."""
        path = self._order_path(request_id)
        try:
            return ExperimentRequest.model_validate_json(read_plain(path, MAX_STATE_BYTES))
        except (ValidationError, DriverError) as error:
            raise DriverError(
                f"the order {path} was damaged: {_first_line(error)}. Put it back from a backup, then the result into "
                f"{self.inbox}"
            ) from None

    # -- paths ---------------------------------------------------------------------------------------------------------

    def _order_path(self, request_id: str) -> Path:
        return self.outbox / f"{safe_name(request_id)}.json"

    def _result_path(self, request_id: str) -> Path:
        return self.results / f"{safe_name(request_id)}.json"

    def _there_or_raise(self) -> None:
        """A share that is away has forgotten nothing: what it holds is not sent again into an empty folder."""
        was_there = os.path.lexists(self.inbox / "raw") or os.path.lexists(self.results)
        if was_there and not self.outbox.is_dir():
            raise DriverError(f"{self.outbox} is away; connect it again, or put it back from a backup")

    def _go_or_raise(self) -> None:
        if os.path.lexists(self.outbox / STOP_FILE):
            raise DriverError(f"the laboratory is stopped; remove {self.outbox / STOP_FILE} to go on")

    def _same_or_raise(self, request_id: str, request: ExperimentRequest) -> None:
        known = self._order(request_id)
        if known.content_hash != request.content_hash:
            raise DriverError(f"{request_id} is taken by another request, for {known.formula}")


def _first_line(error: ValidationError | DriverError) -> str:
    return str(error.errors()[0]["msg"] if isinstance(error, ValidationError) else error)


def _template(request_id: str) -> str:
    """The answer to be filled in: two numbers make it a result; as it stands it has none and would be rejected."""
    return (
        "{\n"
        f' "request_id": "{request_id}",\n'
        ' "outcome": "success",\n'
        ' "values": {"average_voltage": {"value": null, "sigma": null},\n'
        '            "capacity_grav": {"value": null, "sigma": null}},\n'
        ' "phase_purity": {"value": null, "sigma": null},\n'
        ' "raw_files": [],\n'
        ' "measured_on": null,\n'
        ' "note": ""\n'
        "}\n"
    )
