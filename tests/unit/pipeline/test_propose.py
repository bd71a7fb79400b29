"""From a chosen candidate to a request: what measurements taught, and the profile, reach the recipe."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Estimate, ScreeningResult, Verdict, VoltageStep
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.feedback import Calibration
from redoxa.pipeline.campaign.select import Choice, Scored
from redoxa.pipeline.campaign.session import Session
from tests.unit.robotics.samples import crystal_of, estimate
from tests.unit.screening.conftest import reference_of

ESTIMATES: dict[str, Estimate] = {
    "average_voltage": estimate(4.0, 0.1),
    "capacity_grav": estimate(273.85, 50, "mAh/g"),
    "usable_capacity": estimate(160, 30, "mAh/g"),
}
ONE = (VoltageStep(x_charge=0, x_discharge=1, voltage_V=4.0),)
TWO = (
    VoltageStep(x_charge=0, x_discharge=0.5, voltage_V=4.1),
    VoltageStep(x_charge=0.5, x_discharge=1, voltage_V=3.9),
)


def propose(
    monkeypatch: pytest.MonkeyPatch, taught: dict[str, Calibration], profile: tuple[VoltageStep, ...] = ONE
) -> ExperimentRequest:
    """The request that comes of LiCoO2; the screening is not asked, `profile` stands for what it would add."""
    asked: list[ExperimentRequest] = []

    def put(request: ExperimentRequest) -> str:
        asked.append(request)
        return "id"

    result = ScreeningResult(
        candidate_id="c", formula="LiCoO2", working_ion="Li", verdict=Verdict.PASS, settings_hash="s",
        estimates=ESTIMATES, profile=ONE, crystals={"discharged": crystal_of("LiCoO2")},
    )  # fmt: skip
    added = result.model_copy(update={"profile": profile})
    monkeypatch.setattr(stages, "_profiled", lambda *_: added)
    lab = SimpleNamespace(target_mass_g=2.0)
    session: Any = SimpleNamespace(
        campaign_id="campaign", spec=SimpleNamespace(lab=lab), queue=SimpleNamespace(propose=put), laboratory=Laboratory(),
        context=SimpleNamespace(reference=reference_of({})),
    )  # fmt: skip
    choice = Choice(Scored(result, ESTIMATES, 1.0, 1), 1, "best")
    assert stages._propose(cast(Session, session), 0, choice, taught) == ("id", "")
    (request,) = asked
    return request


def test_without_measurements_the_predictions_are_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    request = propose(monkeypatch, {})
    assert request.predictions == ESTIMATES
    cycling = request.recipe.cycling
    assert (cycling.min_voltage_V, cycling.max_voltage_V, cycling.nominal_capacity_mAh_g) == (3.6, 4.4, 160)
    assert (request.priority, request.why) == (-1, "best")


def test_the_recipe_counts_with_what_measurements_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    taught = {
        "average_voltage": Calibration(bias=-0.2, scale=0.5, count=8),
        "usable_capacity": Calibration(factor=0.75, scale=1.0, count=8),
    }
    request = propose(monkeypatch, taught, TWO)
    cycling = request.recipe.cycling
    # plateaus at 3.7 and 3.9 V, sigma 0.05 V, margin 0.3 V; 0.75 * 160 mAh/g
    assert (cycling.min_voltage_V, cycling.max_voltage_V) == (3.35, 4.25)
    assert cycling.nominal_capacity_mAh_g == pytest.approx(120, abs=0.01)
    assert cycling.window_from == "computed profile of 2 plateaus, 3.70 to 3.90 V"
    assert {name: e.value for name, e in request.predictions.items()} == {n: e.value for n, e in ESTIMATES.items()}
    assert "the recipe counts with 3.800 ± 0.050 V, calibrated on 8" in request.predictions["average_voltage"].method
    assert "the recipe counts with 120 ± 22 mAh/g" in request.predictions["usable_capacity"].method
