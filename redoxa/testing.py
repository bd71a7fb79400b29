"""Contracts for kinds of your own, and something to hold them against.

A package that adds a generator, a property, a driver or a potential calls these in its tests:

    from redoxa.testing import check_generator, check_property

    def test_my_property():
        check_property(MyProperty())

Each raises `ContractError` with the clause that was broken.
"""

from __future__ import annotations

from functools import cache

from redoxa.data.errors import ContractError
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Candidate, Estimate, Origin
from redoxa.data.tables.prototypes import prototype
from redoxa.data.tables.reference import energy_scale, load_reference
from redoxa.generators.contract import check_generator
from redoxa.robotics.contract import check_driver
from redoxa.robotics.planning.recipe import plan_recipe
from redoxa.screening.base import Findings, Gate, Model, Subject, Surroundings
from redoxa.screening.contract import check_gate, check_potential
from redoxa.screening.gates.redox import Redox
from redoxa.screening.ions.removal import ion_sites, remove_ions
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.potentials.base import load_potential
from redoxa.screening.settings import ScreenSettings

__all__ = [
    "ContractError", "check_driver", "check_gate", "check_generator", "check_potential", "check_property",
    "example_request", "example_subject", "example_surroundings",
]  # fmt: skip


def check_property(kind: Gate, subject: Subject | None = None, around: Surroundings | None = None) -> Findings:
    """Evaluate a property on a subject and hold it against the contract.

    Args:
        kind: an instance of the property.
        subject: a candidate that has what the property needs; `example_subject` by default.
        around: tables and settings; `example_surroundings` by default.

    Returns:
        What was found.

    Raises:
        ContractError: which clause was broken.
    """
    return check_gate(kind, subject or example_subject(), around or example_surroundings())


@cache
def example_surroundings() -> Surroundings:
    """The shipped reference on the default potential's energy scale, and settings that reject nothing."""
    potential, reference = load_potential(), load_reference()
    scale = energy_scale(potential.energy_scale, potential.model_id)
    model = Model(potential.model_id, scale, potential.energy_mae_eV_per_atom)
    return Surroundings(ScreenSettings.permissive(), model, reference, Hulls(reference))


@cache
def example_subject() -> Subject:
    """Layered LiCoO2, full and empty of Li, both relaxed with the default potential; a second or two of computing."""
    from redoxa.screening.compute.relax import relax

    found = prototype("O3 LiCoO2")
    subject = Subject(Candidate(crystal=found.crystal, working_ion="Li", origin=Origin(generator="example", seed=0)))
    Redox().evaluate(subject, example_surroundings())
    subject.discharged = relax(found.crystal, load_potential())
    subject.full_cell = subject.discharged.crystal
    subject.moving = tuple(ion_sites(subject.full_cell, "Li"))
    (empty,) = remove_ions(subject.full_cell, subject.moving, subject.n_removed)
    subject.charged = relax(empty, load_potential())
    return subject


def example_request() -> ExperimentRequest:
    """A request for two grams of LiFePO4 and a coin cell of it, which the laboratory that ships can do."""
    crystal = prototype("olivine LiFePO4").crystal
    volts = Estimate(value=3.4, sigma=0.2, unit="V", method="example", model="example")
    return ExperimentRequest(
        campaign="example", round=0, candidate_id="example", formula="LiFePO4", working_ion="Li", crystal=crystal,
        recipe=plan_recipe(crystal, "Li", {"average_voltage": volts}, 2.0), predictions={"average_voltage": volts},
        why="an example",
    )  # fmt: skip
