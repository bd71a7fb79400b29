"""Theoretical capacity by mass and by volume, of the discharged phase."""

from __future__ import annotations

from typing import ClassVar

from data.records import Estimate
from data.structures import composition_mass_amu, density_g_cm3
from data.units import FARADAY_MAH_PER_MOL, ION_VALENCE
from screening.base import Findings, Needs, Subject, Surroundings

RELATIVE_SIGMA = 0.10
"""Reversible capacities of well-made electrodes reach 85 to 100 % of theory."""

VOLUME_SIGMA = 0.03
"""Relative, of a relaxed volume: PBE/PBE+U against experiment, which the potential learned."""


def capacity_mAh_g(subject: Subject) -> float:
    """Charge n z F of the moving ions over the mass of the discharged cell."""
    charge = subject.n_removed * ION_VALENCE[subject.ion] * FARADAY_MAH_PER_MOL
    return charge / composition_mass_amu(subject.full_composition)


class CapacityGrav:
    """Theoretical capacity per gram of the discharged phase."""

    name: ClassVar[str] = "capacity_grav"
    summary: ClassVar[str] = "theoretical capacity by discharged mass, as far as the redox elements allow"
    unit: ClassVar[str] = "mAh/g"
    stage: ClassVar[str] = "capacity"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.003

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Exact arithmetic on the composition; sigma stands for what is reached in practice."""
        if subject.converts:
            return Findings()
        value = capacity_mAh_g(subject)
        return Findings(
            Estimate(
                value=value,
                sigma=RELATIVE_SIGMA * value,
                unit=self.unit,
                method="theory from composition and redox limit; sigma 10 %: practice reaches 85-100 %",
                model="stoichiometry",
            )
        )


class CapacityVol:
    """Theoretical capacity per cubic centimetre of the discharged phase."""

    name: ClassVar[str] = "capacity_vol"
    summary: ClassVar[str] = "theoretical capacity by volume of the relaxed discharged crystal"
    unit: ClassVar[str] = "mAh/cm3"
    stage: ClassVar[str] = "voltage"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.2

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Gravimetric capacity times crystal density."""
        value = capacity_mAh_g(subject) * density_g_cm3(subject.crystal)
        relative = float((RELATIVE_SIGMA**2 + VOLUME_SIGMA**2) ** 0.5)
        return Findings(
            Estimate(
                value=value,
                sigma=relative * value,
                unit=self.unit,
                method="theory from composition and relaxed volume; sigma 10 % capacity, 3 % volume",
                model=around.model.id,
            )
        )
