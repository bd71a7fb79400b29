"""Theoretical (X-ray) density of the discharged state."""

from __future__ import annotations

from typing import ClassVar

from redoxa.data.records import Estimate
from redoxa.data.structures import density_g_cm3
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label

VOLUME_RELATIVE_SIGMA = 0.02
"""Of a relaxed volume, as in `screening.properties.volume`."""


class Density:
    """Density of the perfect crystal; the pellet and the electrode hold pores besides."""

    name: ClassVar[str] = "density"
    summary: ClassVar[str] = "theoretical (X-ray) density of the discharged state"
    unit: ClassVar[str] = "g/cm3"
    stage: ClassVar[str] = "density"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.01
    label: ClassVar[Label] = Label("Crystal density, discharged", "Density", "Host")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Mass of the cell over its relaxed volume."""
        if subject.discharged is None:
            raise LookupError("the relaxed discharged state is needed")
        value = density_g_cm3(subject.discharged.crystal)
        return Findings(
            Estimate(
                value=value,
                sigma=VOLUME_RELATIVE_SIGMA * value,
                unit=self.unit,
                method="mass over relaxed volume; sigma 2 % of a relaxed volume",
                model=around.model.id,
            )
        )
