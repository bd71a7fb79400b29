"""Average voltage against the metal of the working ion, and the steps of its profile."""

from __future__ import annotations

from typing import ClassVar

from data.errors import InputError
from data.records import Estimate, Reason, Verdict
from screening.base import Findings, Needs, Subject, Surroundings
from screening.electrode import ElectrodeError, Performance, State, performance

VOLTAGE_SIGMA_V = 0.39
"""Root mean square error of CHGNet 0.3.0 against 22 measured voltages (`benchmarks/voltages.py`), uncalibrated."""


class AverageVoltage:
    """Average voltage of the full removal, from the relaxed states."""

    name: ClassVar[str] = "average_voltage"
    summary: ClassVar[str] = "average voltage against the metal of the working ion"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "voltage"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.19

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Energies of the relaxed states and of the ion's metal, all of one potential."""
        done = _performance(subject, around)
        if isinstance(done, Findings):
            return done
        return Findings(
            Estimate(
                value=done.average_voltage_V,
                sigma=VOLTAGE_SIGMA_V,
                unit=self.unit,
                method="relaxed end members, metal reference of the same potential; "
                f"sigma {VOLTAGE_SIGMA_V} V: RMS error against measured voltages, not calibrated",
                model=around.model.id,
            ),
            profile=done.steps,
            notes={"voltage_range": f"{subject.ion} {done.x_discharge:.3g} to {done.x_charge:.3g} per host formula"},
        )


class MaxVoltageStep:
    """Largest jump between plateaus; 0 where all the lowest states lie on one."""

    name: ClassVar[str] = "max_voltage_step"
    summary: ClassVar[str] = "largest jump between voltage plateaus (needs screen.profile_states)"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "profile"
    needs: ClassVar[Needs] = Needs.PROFILE
    cost: ClassVar[float] = 0.2

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Steps between the states on the hull of all contents of ions; nothing where no profile was asked for."""
        if not subject.between:
            return Findings()
        done = _performance(subject, around)
        if isinstance(done, Findings):
            return done
        orderings = around.settings.orderings
        return Findings(
            Estimate(
                value=done.max_voltage_step_V,
                sigma=VOLTAGE_SIGMA_V,
                unit=self.unit,
                method=f"{len(subject.between)} states of partial charge, the lowest of {orderings} orderings each",
                model=around.model.id,
            ),
            profile=done.steps,
        )


def _performance(subject: Subject, around: Surroundings) -> Performance | Findings:
    discharged, charged = subject.both
    states = [State(r.crystal, r.energy_eV) for r in (discharged, *subject.between, charged)]
    try:
        return performance(states, subject.ion, around.reference.ion_metal_energy(subject.ion))
    except (ElectrodeError, InputError) as error:
        reason = Reason(stage="voltage", code="no_voltage", text=str(error), verdict=Verdict.UNDETERMINED)
        return Findings(reasons=[reason])
