"""`redoxa.testing`: what a package of somebody else calls in its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa import testing
from redoxa.robotics.base import JobState
from redoxa.robotics.drivers.simulated import SimulatedLab
from redoxa.screening.base import Findings, Subject, Surroundings
from redoxa.screening.properties.density import Density
from redoxa.screening.properties.volume import MaxDeltaVolume


def test_the_example_is_an_electrode_in_both_states() -> None:
    discharged, charged = testing.example_subject().both
    assert discharged.converged
    assert charged.converged
    assert "Li" not in charged.crystal.composition
    found = testing.check_property(MaxDeltaVolume()).estimate
    assert found is not None
    assert 0 < found.value < 0.2
    assert testing.example_surroundings().reference.scale == testing.example_surroundings().model.scale


def test_a_property_that_breaks_a_clause_is_found() -> None:
    class Millimetres(Density):
        unit = "mm"

        def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
            return Density().evaluate(subject, around)

    with pytest.raises(testing.ContractError, match="declared in mm, estimated in g/cm3"):
        testing.check_property(Millimetres())


def test_the_laboratory_that_ships_can_do_the_example(tmp_path: Path) -> None:
    report = testing.check_driver(lambda: SimulatedLab(SimulatedLab.Config(), tmp_path), testing.example_request(), "k")
    assert report.state is not JobState.UNKNOWN
