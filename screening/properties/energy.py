"""Energy density of the active material: capacity times average voltage."""

from __future__ import annotations

from typing import ClassVar

from redoxa.data.records import Estimate
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label


class EnergyGrav:
    """Specific energy of the discharged active material against the ion's metal."""

    name: ClassVar[str] = "energy_grav"
    summary: ClassVar[str] = "specific energy: capacity by mass times average voltage"
    unit: ClassVar[str] = "Wh/kg"
    stage: ClassVar[str] = "voltage"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.21
    label: ClassVar[Label] = Label("Specific energy", "Energy", "Electrochemistry")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Product of two estimates; relative sigmas add in quadrature."""
        return Findings(_product(subject, "capacity_grav", self.unit, around.model.id))


class EnergyVol:
    """Energy density by volume of the discharged active material against the ion's metal."""

    name: ClassVar[str] = "energy_vol"
    summary: ClassVar[str] = "energy density: capacity by volume times average voltage"
    unit: ClassVar[str] = "Wh/l"
    stage: ClassVar[str] = "voltage"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.21
    label: ClassVar[Label] = Label("Energy density", "Energy (vol.)", "Electrochemistry")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Product of two estimates; relative sigmas add in quadrature."""
        return Findings(_product(subject, "capacity_vol", self.unit, around.model.id))


def _product(subject: Subject, capacity: str, unit: str, model: str) -> Estimate | None:
    """Capacity (mAh/g or mAh/cm3) times voltage (V): mWh/g = Wh/kg, or mWh/cm3 = Wh/l."""
    charge, voltage = subject.estimates.get(capacity), subject.estimates.get("average_voltage")
    if charge is None or voltage is None:
        return None
    sigma = float(((charge.sigma * voltage.value) ** 2 + (voltage.sigma * charge.value) ** 2) ** 0.5)
    return Estimate(
        value=charge.value * voltage.value,
        sigma=sigma,
        unit=unit,
        method=f"{capacity} x average_voltage",
        model=model,
    )
