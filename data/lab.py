"""Records of the laboratory: recipe, request, measurement. Light on purpose: the machine beside the robot is small."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from data.records import Crystal, Estimate, Record, WorkingIon


class Precursor(Record):
    """One weighed powder."""

    formula: str
    name: str
    mass_g: float = Field(gt=0)
    moles: float = Field(gt=0)
    excess_fraction: float = Field(ge=0, default=0.0)


class FurnaceStep(Record):
    """Ramp to a temperature and stay there."""

    temperature_C: float
    ramp_C_per_min: float = Field(gt=0)
    dwell_h: float = Field(ge=0)
    note: str = ""


class Synthesis(Record):
    """A solid-state synthesis of the discharged phase."""

    target_formula: str
    target_mass_g: float = Field(gt=0)
    precursors: tuple[Precursor, ...]
    reaction: str
    byproducts: dict[str, float] = {}
    """Moles of each gas set free per mole of target; a negative number is taken up."""
    atmosphere: Literal["air", "oxygen", "argon", "argon/hydrogen 95/5"]
    atmosphere_reason: str
    furnace: tuple[FurnaceStep, ...]
    grinding_min: float = 30.0
    warnings: tuple[str, ...] = ()


class Electrode(Record):
    """The composite electrode that is cast from the powder."""

    active_fraction: float = Field(gt=0, le=1)
    carbon_fraction: float = Field(ge=0, lt=1)
    binder_fraction: float = Field(ge=0, lt=1)
    binder: str
    solvent: str
    collector: Literal["Al", "Cu"]
    loading_mg_cm2: float = Field(gt=0)
    drying_C: float
    drying_h: float
    diameter_mm: float


class Cell(Record):
    """A half-cell against the metal of the working ion."""

    casing: str
    counter: str
    separator: str
    electrolyte: str
    electrolyte_uL: float = Field(gt=0)
    replicates: int = Field(ge=1)


class ConstantCurrent(Record):
    """Charge (positive rate) or discharge (negative rate) to a voltage, or until the time is up."""

    kind: Literal["constant_current"] = "constant_current"
    rate_C: float
    until_voltage_V: float
    time_limit_s: float = Field(gt=0)


class ConstantVoltage(Record):
    """Hold a voltage until the current has fallen to a rate."""

    kind: Literal["constant_voltage"] = "constant_voltage"
    voltage_V: float
    until_rate_C: float = Field(gt=0)
    time_limit_s: float = Field(gt=0)


class Rest(Record):
    """Open circuit."""

    kind: Literal["rest"] = "rest"
    time_s: float = Field(gt=0)


CyclingStep = Annotated[ConstantCurrent | ConstantVoltage | Rest, Field(discriminator="kind")]


class Cycling(Record):
    """What the cycler does; rates refer to `nominal_capacity_mAh_g`."""

    nominal_capacity_mAh_g: float = Field(gt=0)
    min_voltage_V: float
    max_voltage_V: float
    steps: tuple[CyclingStep, ...]
    cycles: int = Field(ge=1)


class Recipe(Record):
    """Everything a laboratory needs to make and test one candidate."""

    synthesis: Synthesis
    electrode: Electrode
    cell: Cell
    cycling: Cycling


class SafetyFinding(Record):
    """One safety rule's word on a request."""

    rule: str
    ok: bool
    text: str


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
    raw_sha256: str = ""
    simulated: bool
    note: str = ""
