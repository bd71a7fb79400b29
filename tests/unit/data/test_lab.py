from __future__ import annotations

import pytest
from pydantic import ValidationError

from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.recipe import FurnaceStep
from redoxa.data.lab.request import QueueItem, SafetyFinding
from redoxa.data.records import Estimate
from tests.unit.robotics.samples import make_request


def test_a_copy_with_other_fields_has_another_hash() -> None:
    step = FurnaceStep(temperature_C=800, ramp_C_per_min=5, dwell_h=12)
    before = step.content_hash
    other = step.model_copy(update={"temperature_C": 900.0})
    assert other.content_hash == FurnaceStep(temperature_C=900, ramp_C_per_min=5, dwell_h=12).content_hash
    assert step.content_hash == before != other.content_hash
    assert step.model_copy().content_hash == before


def test_a_request_survives_the_way_through_json() -> None:
    request = make_request("LiFePO4")
    again = type(request).model_validate_json(request.model_dump_json())
    assert again == request
    assert again.content_hash == request.content_hash


def test_records_are_strict_and_frozen() -> None:
    with pytest.raises(ValidationError):
        FurnaceStep(temperature_C=800, ramp_C_per_min=0, dwell_h=1)
    with pytest.raises(ValidationError):
        FurnaceStep.model_validate({"temperature_C": 800, "ramp_C_per_min": 1, "dwell_h": 1, "colour": "red"})
    step = FurnaceStep(temperature_C=800, ramp_C_per_min=1, dwell_h=1)
    with pytest.raises(ValidationError):
        step.temperature_C = 900  # type: ignore[misc]


def test_a_measurement_says_what_came_out_in_a_line() -> None:
    voltage = Estimate(value=3.4123, sigma=0.01, unit="V", method="m", model="m")
    made = Measurement(
        request_id="r", candidate_id="c", outcome=Outcome.SUCCESS, values={"average_voltage": voltage}, simulated=True
    )
    assert made.summary == "success (simulated): average voltage 3.412 V"
    assert made.model_copy(update={"values": {}, "simulated": False}).summary == "success"


def test_a_row_is_safe_only_when_somebody_asked_and_nobody_refused() -> None:
    from datetime import UTC, datetime

    from redoxa.data.lab.request import RequestState

    now = datetime.now(UTC)
    row = QueueItem(
        request_id="r", request=make_request("LiFePO4"), state=RequestState.PROPOSED, priority=0, safety=(),
        safety_rules="1", created_at=now, updated_at=now,
    )  # fmt: skip
    yes, no = SafetyFinding(rule="S1", ok=True, text=""), SafetyFinding(rule="S2", ok=False, text="")
    assert not row.is_safe
    assert row.model_copy(update={"safety": (yes,)}).is_safe
    assert not row.model_copy(update={"safety": (yes, no)}).is_safe
