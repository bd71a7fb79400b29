"""Requests that the tests of the laboratory share. Crystals are placeholders: only their composition matters here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase.data import atomic_numbers
from sqlalchemy import Engine, update

from redoxa.data.lab.laboratory import Furnace, Laboratory
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Crystal, Estimate, WorkingIon
from redoxa.data.storage.database import open_engine
from redoxa.data.storage.schema_lab import requests
from redoxa.data.synthesis.formula import parse_formula
from redoxa.robotics.planning.recipe import plan_recipe
from redoxa.robotics.queue.queue import LabQueue

VOLTAGE_V = {"LiFePO4": 3.4, "LiCoO2": 3.9, "LiMn2O4": 4.0, "Na3V2(PO4)3": 3.4, "NaMnO2": 2.7}
"""Five good requests: formula and average voltage."""


def estimate(value: float, sigma: float = 0.2, unit: str = "V") -> Estimate:
    return Estimate(value=value, sigma=sigma, unit=unit, method="test", model="test")


def crystal_of(formula: str) -> Crystal:
    numbers = [atomic_numbers[e] for e, n in parse_formula(formula).items() for _ in range(int(n))]
    spots = [(i / len(numbers), 0.0, 0.0) for i in range(len(numbers))]
    return Crystal(numbers=numbers, frac_coords=spots, lattice_A=((3 * len(numbers), 0, 0), (0, 4, 0), (0, 0, 4)))


def make_request(
    formula: str = "LiFePO4", ion: WorkingIon | None = None, mass_g: float = 2.0, tag: str = "a", **fields: Any
) -> ExperimentRequest:
    """A planned request; `tag` makes it another candidate."""
    working_ion: WorkingIon = ion or ("Na" if formula.startswith("Na") else "Li")
    predictions = {
        "average_voltage": estimate({**VOLTAGE_V, "ZnMn2O4": 1.3}.get(formula, 2.5)),
        "stability_discharge": estimate(0.0, 0.02, "eV/atom"),
    }
    values: dict[str, Any] = {
        "campaign": "campaign",
        "round": 0,
        "candidate_id": f"candidate-{tag}",
        "formula": formula,
        "working_ion": working_ion,
        "crystal": crystal_of(formula),
        "recipe": plan_recipe(formula, working_ion, predictions, mass_g),
        "predictions": predictions,
        "why": "test",
    }
    return ExperimentRequest(**{**values, **fields})


def new_engine(folder: Path) -> Engine:
    return open_engine(folder / "redoxa.db")


def swap(queue: LabQueue, key: str) -> None:
    """Put another request into the row, as somebody with access to the database could."""
    other = make_request("LiMn2O4", tag="other").model_dump(mode="json")
    with queue.engine.begin() as connection:
        connection.execute(update(requests).where(requests.c.id == key).values(request=other))


def with_furnace(**fields: Any) -> Laboratory:
    """The assumed laboratory with another furnace."""
    return Laboratory(furnaces=(Furnace(**fields),))
