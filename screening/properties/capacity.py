"""Capacity of the discharged phase: theory by mass and by volume, and what of it is reached in practice."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot
from typing import ClassVar

from redoxa.data.records import Estimate
from redoxa.data.structures import density_g_cm3
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label, Note
from redoxa.screening.physics.usable_share import Removal, shipped_share

VOLUME_SIGMA = 0.03
"""Relative, of a relaxed volume: PBE/PBE+U against experiment, which the potential learned."""


def removal(subject: Subject) -> Removal:
    """The ions that move, out of the discharged cell."""
    return Removal(subject.full_composition, subject.ion, subject.n_removed)


def relative_sigma(leaving: Removal) -> float:
    """Sigma of a theoretical capacity as a prediction of the reversible one, which two of three fall short of by less.

    The expected shortfall and half its own sigma: a normal shortfall is smaller with a probability of 0.69.
    """
    share, sigma = shipped_share()(leaving)
    return 1 - share + sigma / 2


class CapacityGrav:
    """Theoretical capacity per gram of the discharged phase."""

    name: ClassVar[str] = "capacity_grav"
    summary: ClassVar[str] = "theoretical capacity by discharged mass, as far as the redox elements allow"
    unit: ClassVar[str] = "mAh/g"
    stage: ClassVar[str] = "capacity"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.003
    label: ClassVar[Label] = Label("Theoretical capacity", "Capacity", "Electrochemistry")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Exact arithmetic on the composition; sigma stands for what practice falls short of it."""
        if subject.converts:
            return Findings()
        leaving = removal(subject)
        value = leaving.theory_mAh_g
        return Findings(
            Estimate(
                value=value,
                sigma=relative_sigma(leaving) * value,
                unit=self.unit,
                method=f"theory from composition and redox limit, an upper bound; sigma: {shipped_share().text}",
                model="stoichiometry",
            )
        )


class UsableCapacity:
    """Expected reversible capacity per gram of the discharged phase."""

    name: ClassVar[str] = "usable_capacity"
    summary: ClassVar[str] = "expected reversible capacity by discharged mass, as published electrodes teach"
    unit: ClassVar[str] = "mAh/g"
    stage: ClassVar[str] = "capacity"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.003
    label: ClassVar[Label] = Label("Usable capacity", "Usable capacity", "Electrochemistry")
    notes: ClassVar[Mapping[str, Note]] = {
        "usable_capacity": Note("In practice to be expected: {}.", "Electrochemistry"),
        "nearest_capacity": Note("Nearest published capacity: {}.", "Electrochemistry"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Theory times the learned share; nothing where the anions would pay, of which no known capacity tells."""
        if subject.converts or subject.anion_redox:
            return Findings()
        leaving = removal(subject)
        learned = shipped_share()
        theory, (share, sigma) = leaving.theory_mAh_g, learned(leaving)
        notes = {"usable_capacity": f"{100 * share:.0f} % of {theory:.0f} mAh/g"}
        if (known := learned.nearest(leaving)) is not None:
            notes["nearest_capacity"] = f"{known.formula}, {known.reversible_mAh_g:.0f} mAh/g ({known.source})"
        return Findings(
            Estimate(
                value=share * theory,
                sigma=sigma * theory,
                unit=self.unit,
                method=f"theoretical capacity x {learned.text}, {100 * learned.noise:.0f} % unexplained",
                model="stoichiometry",
            ),
            notes=notes,
        )


class CapacityVol:
    """Theoretical capacity per cubic centimetre of the discharged phase."""

    name: ClassVar[str] = "capacity_vol"
    summary: ClassVar[str] = "theoretical capacity by volume of the relaxed discharged crystal"
    unit: ClassVar[str] = "mAh/cm3"
    stage: ClassVar[str] = "voltage"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.2
    label: ClassVar[Label] = Label("Volumetric capacity", "Capacity (vol.)", "Electrochemistry")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Gravimetric capacity times crystal density."""
        leaving = removal(subject)
        value = leaving.theory_mAh_g * density_g_cm3(subject.crystal)
        relative = hypot(relative_sigma(leaving), VOLUME_SIGMA)
        return Findings(
            Estimate(
                value=value,
                sigma=relative * value,
                unit=self.unit,
                method=f"theory and relaxed volume, an upper bound; sigma: {shipped_share().text}, 3 % volume",
                model=around.model.id,
            )
        )
