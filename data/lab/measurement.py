"""What came of an experiment."""

from __future__ import annotations

from enum import StrEnum

from redoxa.data.records import Estimate, Record


class Outcome(StrEnum):
    """What came of an experiment. A target that did not form is a finding, not an error."""

    SUCCESS = "success"
    TARGET_NOT_FORMED = "target_not_formed"
    CELL_FAILURE = "cell_failure"


class Measurement(Record):
    """What one experiment gave."""

    request_id: str
    candidate_id: str
    outcome: Outcome
    values: dict[str, Estimate] = {}
    """By property name, e.g. `average_voltage`, `capacity_grav`; empty unless the cell worked."""
    phase_purity: Estimate | None = None
    raw_files: dict[str, str] = {}
    """sha256 of each raw file by its name."""
    raw_sha256: str = ""
    """sha256 of the only raw file, or of the listing ``sha256  name`` of several."""
    simulated: bool
    note: str = ""

    @property
    def summary(self) -> str:
        """The outcome in a line, saying so where it is simulated."""
        words = {name: name.removesuffix("_grav").replace("_", " ") for name in sorted(self.values)}
        values = ", ".join(f"{words[name]} {self.values[name].value:.4g} {self.values[name].unit}" for name in words)
        outcome = f"{self.outcome.value.replace('_', ' ')}{' (simulated)' if self.simulated else ''}"
        return f"{outcome}: {values}" if values else outcome
