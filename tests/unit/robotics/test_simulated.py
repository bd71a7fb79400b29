from __future__ import annotations

import hashlib
from pathlib import Path
from statistics import fmean, stdev

import pytest
from pydantic import ValidationError

from redoxa.data.errors import DriverError
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Estimate
from redoxa.robotics.base import JobReport, JobState
from redoxa.robotics.drivers.simulated import SimulatedLab
from redoxa.robotics.drivers.simulated_truth import CellModel, draw_truth, formation_probability, simulate
from tests.unit.robotics.samples import estimate, make_request, with_furnace

BASE = make_request("LiFePO4")


def candidate(i: int, **predictions: Estimate) -> ExperimentRequest:
    return BASE.model_copy(update={"candidate_id": f"c{i}", "predictions": {**BASE.predictions, **predictions}})


def result(request: ExperimentRequest, key: str = "k", seed: int = 0, cells: CellModel | None = None) -> Measurement:
    return simulate(key, request, seed, cells or CellModel())[0]


def one_that_forms(known: dict[str, float]) -> ExperimentRequest:
    """A candidate whose synthesis works under seed 0."""
    return next(c for i in range(50) if draw_truth(c := candidate(i), 0, known).forms)


def test_everything_says_that_it_is_simulated() -> None:
    measurement, raw = simulate("k", BASE, 0, CellModel())
    assert measurement.simulated
    assert measurement.note.startswith("SIMULATED")
    assert "simulated" in measurement.summary
    assert raw.startswith("# SIMULATED")
    assert all("simulated" in e.model and "simulated" in e.method for e in measurement.values.values())


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    assert simulate("k", BASE, 3, CellModel()) == simulate("k", BASE, 3, CellModel())
    assert result(BASE, seed=3) != result(BASE, seed=4)
    assert result(BASE, "k") != result(BASE, "l")


def test_a_candidate_has_one_truth_whatever_the_request() -> None:
    assert draw_truth(BASE, 0) == draw_truth(BASE.model_copy(update={"round": 5, "why": "again"}), 0)
    assert draw_truth(BASE, 0) != draw_truth(candidate(1), 0)


def test_scatter_of_the_capacity_is_two_percent() -> None:
    recipe = BASE.recipe.model_copy(update={"cell": BASE.recipe.cell.model_copy(update={"replicates": 1})})
    cells = CellModel(noise_rsd=0.02, cell_failure=0)
    known = {"stability_discharge": -1.0, "capacity_grav": 150.0, "average_voltage": 3.4}
    request = one_that_forms(known).model_copy(update={"recipe": recipe})
    found = [simulate(f"k{i}", request, 0, cells, known)[0] for i in range(400)]
    values = [m.values["capacity_grav"].value for m in found]
    assert stdev(values) / fmean(values) == pytest.approx(0.02, rel=0.15)  # 3.5 % is one sigma of an RSD from 400
    assert fmean(values) == pytest.approx(150, rel=0.004)


def test_one_cell_in_twenty_fails() -> None:
    rows = []
    for i in range(500):
        measurement, raw = simulate(f"k{i}", candidate(i), 0, CellModel())
        if measurement.outcome is not Outcome.TARGET_NOT_FORMED:
            rows += raw.splitlines()[2:]
    share = sum(",no," in row for row in rows) / len(rows)
    assert share == pytest.approx(0.05, abs=0.017)  # three sigma of 1400 cells


def test_all_cells_failing_is_a_cell_failure() -> None:
    measurement = result(one_that_forms({}), cells=CellModel(cell_failure=1.0))
    assert measurement.outcome is Outcome.CELL_FAILURE
    assert measurement.values == {}
    assert measurement.phase_purity is not None
    assert "none of 3" in measurement.note


def test_formation_probability() -> None:
    assert formation_probability(-1) == pytest.approx(0.92)
    assert formation_probability(0.075) == pytest.approx(0.46)  # half of the best
    assert formation_probability(0.0) == pytest.approx(0.92 / (1 + 2.718281828**-3))
    assert formation_probability(0.3) < 1e-3
    assert formation_probability(1e6) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(("hull_eV", "expected"), [(0.0, 0.876), (0.075, 0.46), (0.2, 0.006)])
def test_unstable_targets_do_not_form(hull_eV: float, expected: float) -> None:
    hull = estimate(hull_eV, 0.0, "eV/atom")
    formed = [draw_truth(candidate(i, stability_discharge=hull), 0).forms for i in range(600)]
    assert fmean(formed) == pytest.approx(expected, abs=0.06)


def test_a_target_that_did_not_form_is_a_finding() -> None:
    hull = estimate(1.0, 0.0, "eV/atom")
    measurement = result(candidate(0, stability_discharge=hull))
    assert measurement.outcome is Outcome.TARGET_NOT_FORMED
    assert measurement.values == {}
    assert measurement.phase_purity is not None
    assert measurement.phase_purity.value < 0.5


def test_voltages_scatter_about_the_prediction_by_its_sigma() -> None:
    truths = [draw_truth(candidate(i), 0).voltage_V - 3.4 for i in range(500)]
    assert fmean(truths) == pytest.approx(0, abs=0.03)
    assert stdev(truths) == pytest.approx(0.2, rel=0.1)


def test_a_predicted_usable_capacity_is_taken_as_it_is() -> None:
    exact = Estimate(value=120.0, sigma=0.0, unit="mAh/g", method="", model="")
    truths = [draw_truth(candidate(i, usable_capacity=exact), 0, {"average_voltage": 3.4}) for i in range(20)]
    assert [t.capacity_mAh_g for t in truths] == pytest.approx([120 * t.purity for t in truths], rel=1e-3)


def test_of_a_profile_that_the_window_cuts_the_plateaus_within_are_seen() -> None:
    cycling = BASE.recipe.cycling.model_copy(update={"reached_fraction": 0.5})
    recipe = BASE.recipe.model_copy(update={"cycling": cycling})
    cut = BASE.model_copy(update={"recipe": recipe, "predictions": {"usable_capacity": estimate(150, 0, "mAh/g")}})
    truth = draw_truth(cut, 0)
    assert truth.capacity_mAh_g == pytest.approx(150 * 0.5 * truth.purity)


def test_capacity_outside_the_window_is_not_seen() -> None:
    known = {"stability_discharge": -1.0, "capacity_grav": 150.0}
    request = one_that_forms(known)
    top_V = request.recipe.cycling.max_voltage_V
    inside = draw_truth(request, 0, {**known, "average_voltage": 3.4}).capacity_mAh_g
    at_the_edge = draw_truth(request, 0, {**known, "average_voltage": top_V}).capacity_mAh_g
    outside = simulate("k", request, 0, CellModel(cell_failure=0), {**known, "average_voltage": 4.6})[0]
    assert inside == pytest.approx(150, abs=0.01)
    assert at_the_edge == pytest.approx(75, abs=0.01)
    assert outside.outcome is Outcome.SUCCESS
    assert "average_voltage" not in outside.values


def test_energy_is_capacity_times_voltage() -> None:
    measurement = next(m for i in range(50) if (m := result(candidate(i))).outcome is Outcome.SUCCESS)
    v, c, e = (measurement.values[k] for k in ("average_voltage", "capacity_grav", "energy_grav"))
    assert e.value == pytest.approx(v.value * c.value, rel=1e-6)
    assert (v.unit, c.unit, e.unit) == ("V", "mAh/g", "Wh/kg")
    assert c.sigma == pytest.approx(0.02 * c.value / int(measurement.note.split()[-5]) ** 0.5, rel=1e-4)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lab(folder: Path, clock: Time, **config: object) -> SimulatedLab:
    return SimulatedLab(SimulatedLab.Config.model_validate(config), folder, clock)


def test_a_job_takes_its_time_and_outlives_the_process(tmp_path: Path) -> None:
    clock = Time()
    lab(tmp_path, clock, delay_s=10).submit("k", BASE)
    assert lab(tmp_path, clock, delay_s=10).poll("k").state is JobState.RUNNING
    clock.now += 16  # mean 10 s, at most 15
    report = lab(tmp_path, clock, delay_s=10).poll("k")
    assert report.state is JobState.DONE
    assert report.measurement == result(BASE)
    assert report.measurement is not None
    raw = (tmp_path / "raw" / "k.csv").read_bytes()
    assert report.measurement.raw_files == {"k.csv": hashlib.sha256(raw).hexdigest()}
    assert report.measurement.raw_sha256 == hashlib.sha256(raw).hexdigest()


def test_stop_ends_what_runs_and_keeps_what_is_done(tmp_path: Path) -> None:
    clock = Time()
    here = lab(tmp_path, clock, delay_s=10)
    here.submit("done", BASE)
    clock.now += 16
    here.submit("running", BASE)
    here.stop()
    here.stop()
    clock.now += 100
    assert here.poll("done").state is JobState.DONE
    stopped = here.poll("running")
    assert (stopped.state, stopped.text) == (JobState.FAILED, "stopped before it was finished (simulated)")


def test_a_stuck_job_never_ends(tmp_path: Path) -> None:
    clock = Time()
    here = lab(tmp_path, clock, stuck=1.0)
    here.submit("k", BASE)
    clock.now += 1e9
    assert here.poll("k").state is JobState.RUNNING
    here.stop()
    assert here.poll("k").state is JobState.FAILED


def test_a_lost_reply_comes_after_the_arrival(tmp_path: Path) -> None:
    here = lab(tmp_path, Time(), lost_reply=1.0)
    with pytest.raises(DriverError, match="lost"):
        here.submit("k", BASE)
    assert here.poll("k").state is JobState.DONE
    here.submit("k", BASE)  # a repetition is quiet


def test_known_truth_is_measured(tmp_path: Path) -> None:
    truth = {BASE.candidate_id: {"average_voltage": 3.45, "capacity_grav": 160.0, "stability_discharge": -1.0}}
    for seed in range(20):
        here = lab(tmp_path / str(seed), Time(), truth=truth, seed=seed)
        here.submit("k", BASE)
        measurement = here.poll("k").measurement
        assert measurement is not None
        if measurement.outcome is Outcome.SUCCESS:
            assert measurement.values["average_voltage"].value == pytest.approx(3.45, abs=0.03)
            assert measurement.values["capacity_grav"].value == pytest.approx(160, rel=0.06)
            return
    pytest.fail("nothing formed in twenty laboratories")


def test_check_names_what_the_laboratory_lacks(tmp_path: Path) -> None:
    cold = SimulatedLab(SimulatedLab.Config(), tmp_path, laboratory=with_furnace(max_temperature_C=500))
    assert cold.check(BASE) == ["furnace reaches 500 C, 680 C are wanted"]
    assert lab(tmp_path, Time()).check(BASE) == []


@pytest.mark.parametrize("config", [{"noise_rsd": -1}, {"cell_failure": 2}, {"speed": 1}, {"delay_s": float("nan")}])
def test_a_senseless_configuration_is_refused(config: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SimulatedLab.Config.model_validate(config)


def test_a_cancelled_job_ends_and_a_finished_one_stays(tmp_path: Path) -> None:
    now = [0.0]
    lab = SimulatedLab(SimulatedLab.Config(delay_s=100), tmp_path, clock=lambda: now[0])
    for key in ("a", "b"):
        lab.submit(key, make_request("LiFePO4"))
    assert lab.cancel("none") is False
    assert lab.cancel("a") is True
    now[0] = 1000.0
    assert lab.poll("a") == JobReport(state=JobState.FAILED, text="cancelled before it was finished (simulated)")
    assert lab.cancel("b") is True
    assert lab.poll("b").state is JobState.DONE
