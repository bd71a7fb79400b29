"""Values that cannot be true are refused, surprising ones are flagged, and what laboratories do find is taken."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import ExperimentRequest, RequestState
from redoxa.data.records import Estimate
from redoxa.data.synthesis.formula import molar_mass_g_mol
from redoxa.data.units import G_PER_CM3_PER_AMU_PER_A3
from redoxa.robotics.base import JobReport, JobState
from redoxa.robotics.drivers.file_drop import FileDropLab
from redoxa.robotics.drivers.simulated import SimulatedLab
from redoxa.robotics.queue.judge import flagged, surprises, why_impossible, why_refused
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.service import run_queue
from tests.unit.robotics.labs import CountingLab
from tests.unit.robotics.samples import VOLTAGE_V, crystal_of, estimate, make_request
from tests.unit.robotics.test_file_drop import HEADER, drop, make, reason
from tests.unit.robotics.test_service import AT_ONCE

BASE = make_request("LiFePO4", predictions={"average_voltage": estimate(3.4), "usable_capacity": estimate(150, 10, "")})
TODAY = datetime.now(UTC).date()


@pytest.fixture
def lab(tmp_path: Path) -> FileDropLab:
    lab = make(tmp_path / "lab")
    lab.submit("key", BASE)
    return lab


def answer(name: str = "average_voltage", **fields: Any) -> dict[str, Any]:
    return {"request_id": "key", "outcome": "success", "values": {name: fields}}


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("average_voltage", {"value": 3410}, "not plausible (-0.5 to 6 V)"),
        ("average_voltage", {"value": -0.51}, "not plausible"),
        ("average_voltage", {"value": 0}, "leave out what was not measured"),
        ("average_voltage", {"value": 0.0, "sigma": 0.1}, "leave out"),
        ("average_voltage", {"value": 1e300}, "not plausible"),
        ("average_voltage", {"value": True}, "true is not a number"),
        ("average_voltage", {"value": 3.4, "sigma": True}, "true is not a number"),
        ("average_voltage", {"value": "3.41"}, "without quotes"),
        ("average_voltage", {"value": "3,41"}, "3.41 and not 3,41"),
        ("average_voltage", {"value": [3.4]}, "value"),
        ("average_voltage", {"value": None, "sigma": 0.1}, "value"),
        ("average_voltage", {"value": 3.4, "sigma": 0}, "sigma of average_voltage is 0"),
        ("average_voltage", {"value": 3.4, "sigma": -0.1}, "sigma of average_voltage is -0.1"),
        ("average_voltage", {"value": 3.4, "sigma": 35}, "sigma 35 of average_voltage"),
        ("average_voltage", {"value": 3.4, "sigma": 1e300}, "sigma 1e+300"),
        ("average_voltage", {"value": 3.4, "sigma": 1e-300}, "sigma 1e-300"),
        ("capacity_grav", {"value": 0}, "leave out"),
        ("capacity_grav", {"value": -150}, "not plausible"),
        ("capacity_grav", {"value": 205}, "more than 204 mAh/g, 1.2 times what all Li of LiFePO4 can give"),
        ("capacity_grav", {"value": 1234}, "more than 204 mAh/g"),
        ("capacity_vol", {"value": 0}, "leave out"),
        ("energy_grav", {"value": 1300}, "more than 1223 Wh/kg"),
    ],
)
def test_what_cannot_be_true_is_refused(lab: FileDropLab, name: str, fields: dict[str, Any], words: str) -> None:
    drop(lab, "a.json", answer(name, **fields))
    assert words in reason(lab, "a.json")
    assert not lab.results.exists()


HANDBOOK = {  # rounded, from memory; the test asks for no more than a factor of 1.2
    # formula of the discharged phase: its density in g/cm3, mAh/g and average V
    "LiCoO2": (5.05, 274, 3.9),  # theory; Mizushima et al., doi:10.1016/0025-5408(80)90012-4
    "LiFePO4": (3.60, 170, 3.45),  # theory; Padhi et al., doi:10.1149/1.1837571
    "LiMn2O4": (4.28, 148, 4.0),
    "LiC6": (2.20, 339, 0.1),  # of graphite 372 mAh/g, here by the mass with lithium
    "Li15Si4": (1.18, 1857, 0.4),  # of silicon 3579 mAh/g; Obrovac & Christensen, doi:10.1149/1.1652421
    "Li22Sn5": (2.56, 790, 0.5),  # of tin 993 mAh/g
    "NaMnO2": (4.29, 244, 2.7),
}


def at_handbook_density(formula: str) -> tuple[ExperimentRequest, float]:
    """A request for a compound whose crystal has its density, and its theoretical mAh/cm3."""
    density, capacity, _ = HANDBOOK[formula]
    crystal = crystal_of(formula)
    mass = molar_mass_g_mol(crystal.composition)
    edge = (mass / density * G_PER_CM3_PER_AMU_PER_A3) ** (1 / 3)
    crystal = crystal.model_copy(update={"lattice_A": ((edge, 0, 0), (0, edge, 0), (0, 0, edge))})
    ion = "Na" if formula.startswith("Na") else "Li"
    return BASE.model_copy(update={"formula": formula, "crystal": crystal, "working_ion": ion}), capacity * density


@pytest.mark.parametrize("formula", HANDBOOK)
def test_volumetric_values_are_bounded_by_theory_and_density(formula: str) -> None:
    request, capacity_vol = at_handbook_density(formula)
    voltage = HANDBOOK[formula][2]

    def why(name: str, value: float, unit: str) -> str:
        return why_refused(measured("key", **{name: estimate(value, 1, unit)}), request)

    assert why("capacity_vol", capacity_vol, "mAh/cm3") == ""
    assert why("energy_vol", capacity_vol * voltage, "Wh/l") == ""
    assert "1.2 times what all" in why("capacity_vol", capacity_vol * 1.3, "mAh/cm3")
    assert "1.2 times what all" in why("energy_vol", capacity_vol * 6 * 1.3, "Wh/l")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("average_voltage", {"value": 3}),
        ("average_voltage", {"value": -0.2, "sigma": 0.1}),
        ("average_voltage", {"value": 5.9, "sigma": 0.001}),
        ("capacity_grav", {"value": 203, "sigma": 2}),
        ("capacity_grav", {"value": 1.5, "sigma": 3}),
        ("max_delta_volume", {"value": 0, "sigma": 0.01}),
    ],
)
def test_what_may_be_true_is_taken(lab: FileDropLab, name: str, fields: dict[str, Any]) -> None:
    drop(lab, "a.json", answer(name, **fields))
    assert lab.poll("key").state is JobState.DONE
    assert lab.rejected() == []


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("average_voltage;3,41;", "line 2: '3,41' has a decimal comma; write 3.41"),
        ("average_voltage;3.41;0,01", "line 2: '0,01' has a decimal comma; write 0.01"),
        ("capacity_grav;1,234;", "write 1.234, or 1234 if that is meant"),
        ("energy_grav;1.234;", "'1.234' may be 1234 or 1.2340"),
        ("energy_grav;1 234;", "write 1234"),
        ("energy_grav;1_234;", "write 1234"),
        ("energy_grav;1,234,567;", "write 1234567"),
        ("average_voltage;٣;", "not a number"),
        ("average_voltage;3.4 V;", "not a number"),
        ("average_voltage;True;", "not a number"),
        ("average_voltage;inf;", "not a number"),
        ("average_voltage;;0.1", "not a number"),
        ("average_voltage;1e999;", "not a number"),
        ("average_voltage;0;", "leave out"),
        ("average_voltage;3.4;0", "sigma"),
    ],
)
def test_numbers_that_can_be_misread_are_refused(lab: FileDropLab, cells: str, words: str) -> None:
    drop(lab, "a.csv", f"request_id;outcome;property;value;sigma\nkey;success;{cells}\n")
    assert words in reason(lab, "a.csv")


def test_a_comma_that_makes_one_cell_two_is_explained(lab: FileDropLab) -> None:
    drop(lab, "a.csv", HEADER + "key,success,average_voltage,3,41,0,01,V,,\n")
    assert "decimal point" in reason(lab, "a.csv")


@pytest.mark.parametrize("cell", ["3.412", "3", "+3.4", "3.", "34e-1"])
def test_numbers_that_can_be_read_one_way_only_are_taken(lab: FileDropLab, cell: str) -> None:
    drop(lab, "a.csv", f"request_id,outcome,property,value\nkey,success,average_voltage,{cell}\n")
    assert lab.poll("key").state is JobState.DONE


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (str(TODAY + timedelta(days=3)), "in the future"),
        ("2999-01-01", "in the future"),
        (str(TODAY - timedelta(days=9)), "before the request was handed over"),
        ("0001-01-01", "before the request was handed over"),
        ("2026-02-30", "measured_on"),
        ("01/02/2026", "year-month-day, like 2026-01-31"),
        ("20260102", "year-month-day"),
        (1767225600, "year-month-day"),
        (True, "year-month-day"),
    ],
)
def test_days_that_cannot_be_are_refused(lab: FileDropLab, day: object, words: str) -> None:
    drop(lab, "a.json", {**answer(value=3.4), "measured_on": day})
    assert words in reason(lab, "a.json")


def test_the_day_of_a_measurement_is_kept(lab: FileDropLab) -> None:
    line = f"key,success,average_voltage,3.4,{TODAY}\n"
    drop(lab, "a.csv", "request_id,outcome,property,value,measured_on\n" + line)
    measurement = lab.poll("key").measurement
    assert measurement is not None
    assert measurement.note == f"measured on {TODAY}"


def test_several_days_in_one_result_are_refused(lab: FileDropLab) -> None:
    rows = "key,success,average_voltage,3.4,2026-01-02\nkey,success,capacity_grav,150,2026-01-03\n"
    drop(lab, "a.csv", "request_id,outcome,property,value,measured_on\n" + rows)
    assert "several days" in reason(lab, "a.csv")


def test_a_day_of_another_time_zone_and_an_order_from_a_backup_are_no_slip(tmp_path: Path) -> None:
    noon = datetime(2026, 1, 10, 12, tzinfo=UTC).timestamp()
    lab = FileDropLab(FileDropLab.Config(settle_s=0), tmp_path, clock=lambda: noon)
    for key in ("key", "other"):
        lab.submit(key, BASE)
        for path in lab.outbox.glob(f"{key}.*"):
            os.utime(path, (noon, noon))
    os.utime(lab.outbox / "key.json", (noon + 9e5, noon + 9e5))  # put back from a backup
    for key, day in (("key", date(2026, 1, 9)), ("other", date(2026, 1, 11))):
        drop(lab, f"{key}.json", {**answer(value=3.4), "request_id": key, "measured_on": str(day)})
        assert lab.poll(key).state is JobState.DONE


def test_a_surprise_is_taken_and_flagged(queue: LabQueue, tmp_path: Path) -> None:
    key = queue.propose(BASE)
    queue.approve(key, by="Ada", why="good")
    lab = make(tmp_path / "lab")
    run_queue(queue, lab, options=AT_ONCE)
    values = {"average_voltage": {"value": 1.4, "sigma": 0.01}, "capacity_grav": {"value": 149, "sigma": 1}}
    drop(lab, "a.json", {**answer(), "request_id": key, "values": values, "note": "two cells"})
    report = run_queue(queue, lab, options=AT_ONCE)
    assert report.measured == [key]
    line = "average_voltage 1.4 V is 10.0 sigmas from the prediction, 3.40 ± 0.20: a finding or a slip?"
    assert report.troubles == [f"{key}: {line}"]
    measurement = queue.get(key).measurement
    assert measurement is not None
    assert measurement.note == f"two cells; {line}"
    assert queue.events(key)[-1].why == line
    drop(lab, "b.json", {**answer(), "request_id": key, "values": values, "note": "two cells"})
    lab.take_in()
    assert lab.rejected() == []  # the same once more


def measured(request_id: str, **values: Estimate) -> Measurement:
    return Measurement(
        request_id=request_id,
        candidate_id=BASE.candidate_id,
        outcome=Outcome.SUCCESS,
        values=values,
        simulated=False,
        note="ours",
    )


def test_other_laboratories_are_judged_too(queue: LabQueue) -> None:
    keys = [queue.propose(BASE.model_copy(update={"why": f"test {i}"})) for i in range(2)]
    for key in keys:
        queue.approve(key, by="Ada", why="good")
    lab = CountingLab()
    bad, good = estimate(3400.0), estimate(1.0, 0.01)
    lab.answer = lambda key: JobReport(
        state=JobState.DONE, measurement=measured(key, average_voltage=bad if key == keys[0] else good)
    )
    report = run_queue(queue, lab, options=AT_ONCE)
    assert (report.failed, report.measured) == ([keys[0]], [keys[1]])
    assert queue.get(keys[0]).state is RequestState.FAILED
    assert "cannot be taken: average_voltage 3400 V is not plausible" in queue.events(keys[0])[-1].why
    kept = queue.get(keys[1]).measurement
    assert kept is not None
    assert "sigmas from the prediction" in kept.note
    assert flagged(kept, BASE) == kept


def test_what_was_not_predicted_surprises_nobody() -> None:
    far = measured("key", average_voltage=estimate(1.0, 0.0), capacity_grav=estimate(10, 0.1, "mAh/g"))
    bare = BASE.model_copy(update={"predictions": {"capacity_grav": estimate(170, 0.1, "mAh/g")}})
    assert surprises(far, bare) == []  # a theoretical capacity predicts none that a cell gives
    assert len(surprises(far, BASE)) == 2
    sure = BASE.model_copy(update={"predictions": {"average_voltage": estimate(3.4, 0.0)}})
    assert "any number of sigmas" in surprises(far, sure)[0]
    cycling = BASE.recipe.cycling.model_copy(update={"reached_fraction": 0.5})
    half = BASE.model_copy(update={"recipe": BASE.recipe.model_copy(update={"cycling": cycling})})
    assert surprises(measured("key", capacity_grav=estimate(75, 1, "mAh/g")), half) == []


@pytest.mark.parametrize("formula", VOLTAGE_V)
def test_what_the_simulated_laboratory_finds_can_be_true(formula: str, tmp_path: Path) -> None:
    for seed in range(30):
        lab = SimulatedLab(SimulatedLab.Config(seed=seed), tmp_path / str(seed))
        request = make_request(formula, tag=str(seed))
        lab.submit("key", request)
        measurement = lab.poll("key").measurement
        assert measurement is not None
        assert why_refused(measurement, request) == ""


def test_numbers_that_are_none_are_impossible() -> None:
    assert why_impossible("average_voltage", float("nan"), None)
    assert why_impossible("average_voltage", 3.4, float("nan"))
