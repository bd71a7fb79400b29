"""Average voltage against the metal of the working ion, and the steps of its profile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import gcd
from typing import ClassVar

from redoxa.data.errors import InputError
from redoxa.data.records import Estimate, Reason, Verdict, VoltageStep, reduced_formula
from redoxa.data.tables.prototypes import load_prototypes
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label, Note
from redoxa.screening.physics.calibration import Anchor, electrode_kind, oxidised_elements, second_metals_eV
from redoxa.screening.physics.electrode import ElectrodeError, Performance, State, performance

RAW_SIGMA_V = 0.38
"""Root mean square error of CHGNet 0.3.0 against 23 measured voltages (`benchmarks/voltages.py`)."""

STEP_SIGMA_V = 0.2
"""Of a jump between plateaus: errors that all states of a host share drop out."""


class AverageVoltageRaw:
    """Average voltage of the full removal, as the potential gives it: on the level of theory it learned."""

    name: ClassVar[str] = "average_voltage_raw"
    summary: ClassVar[str] = "average voltage as the potential gives it, not calibrated"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "voltage"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.185
    label: ClassVar[Label] = Label("Average voltage, not calibrated", "Voltage (not calibrated)", "Electrochemistry")
    notes: ClassVar[Mapping[str, Note]] = {
        "voltage_range": Note("From discharged to charged: {}.", "Electrochemistry"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Energies of the relaxed end states and of the ion's metal, all of one potential."""
        done = _performance(subject, around)
        if isinstance(done, Findings):
            return done
        return Findings(
            Estimate(
                value=done.average_voltage_V,
                sigma=RAW_SIGMA_V,
                unit=self.unit,
                method="relaxed end states, metal of the same potential; sigma: RMS error against measured voltages",
                model=around.model.id,
            ),
            notes={"voltage_range": _range_text(subject)},
        )


class AverageVoltage:
    """The average voltage that a measurement is likely to give: the raw one, corrected by known electrodes."""

    name: ClassVar[str] = "average_voltage"
    summary: ClassVar[str] = "average voltage against the metal of the working ion, calibrated"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "voltage"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.19
    label: ClassVar[Label] = Label("Average voltage", "Voltage", "Electrochemistry")
    notes: ClassVar[Mapping[str, Note]] = {
        "nearest_voltage": Note("Nearest measured electrode: {}.", "Electrochemistry"),
        "voltage_outside_calibration": Note("Outside the calibration", told="warning"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Calibrate where a calibration and the second model's energies are there; else the raw voltage stands."""
        raw = subject.estimates.get("average_voltage_raw")
        if raw is None:
            return Findings()
        if around.calibration is None or subject.second_eV is None:
            return Findings(raw, _shifted(subject, around, 0.0))
        discharged, charged = (state.crystal.composition for state in subject.both)
        states = [State(r.crystal, e) for r, e in zip(subject.both, subject.second_eV, strict=True)]
        second = performance(states, subject.ion, second_metals_eV()[subject.ion])
        kind, redox = electrode_kind(discharged), oxidised_elements(discharged, charged)
        found = around.calibration(raw.value, second.average_voltage_V, kind, redox, subject.anion_redox)
        notes = {"voltage_outside_calibration": "; ".join(found.remarks)} if found.remarks else {}
        if (known := around.calibration.nearest(raw.value, kind, redox)) is not None:
            notes["nearest_voltage"] = _known_text(known, redox)
        return Findings(
            Estimate(
                value=found.value_V,
                sigma=found.sigma_V,
                unit=self.unit,
                method=f"{raw.value:.2f} V of relaxed end states, {around.calibration.text}",
                model=around.model.id,
            ),
            _shifted(subject, around, found.value_V - raw.value),
            notes=notes,
        )


class MaxVoltageStep:
    """Largest jump between plateaus; 0 where all the lowest states lie on one."""

    name: ClassVar[str] = "max_voltage_step"
    summary: ClassVar[str] = "largest jump between voltage plateaus (needs screen.profile_states)"
    unit: ClassVar[str] = "V"
    stage: ClassVar[str] = "profile"
    needs: ClassVar[Needs] = Needs.PROFILE
    cost: ClassVar[float] = 0.2
    label: ClassVar[Label] = Label(
        "Largest voltage step",
        "Voltage step",
        "Electrochemistry",
        absent="no states of partial charge were computed; "
        "`screen: {profile_states: 3}` or `redoxa screen --profile 3` do",
    )

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Steps between the states on the hull of all contents of ions; nothing where no profile was asked for."""
        if not subject.between:
            return Findings()
        done = _performance(subject, around)
        if isinstance(done, Findings):
            return done
        average = subject.estimates.get("average_voltage")
        orderings = around.settings.orderings
        return Findings(
            Estimate(
                value=done.max_voltage_step_V,
                sigma=STEP_SIGMA_V,
                unit=self.unit,
                method=f"{len(subject.between)} states of partial charge, the lowest of {orderings} orderings each",
                model=around.model.id,
            ),
            _shifted(subject, around, 0.0 if average is None else average.value - done.average_voltage_V),
        )


def _known_text(known: Anchor, redox: Collection[str]) -> str:
    """A measured electrode with its voltage, what sets it apart, and where to read of it."""
    shared = not redox or set(redox) & set(known.redox.split())
    apart = "" if shared else f", none of its kind is oxidised at {', '.join(redox)}"
    cycled = next((p.cycled for p in load_prototypes() if p.name == known.name), "")
    return f"{known.name} ({known.family}), {known.measured_V:.2f} V{apart}{f'; see {cycled}' if cycled else ''}"


def _range_text(subject: Subject) -> str:
    """``Li 1 to 0 by LiCoO2``: counts are by formula unit of the discharged phase."""
    full, empty = (state.crystal.composition for state in subject.both)
    (host_full, host_empty) = (sum(n for e, n in c.items() if e != subject.ion) for c in (full, empty))
    units = gcd(*full.values())
    left = empty.get(subject.ion, 0) * host_full / host_empty
    return f"{subject.ion} {full[subject.ion] / units:.3g} to {left / units:.3g} by {reduced_formula(full)}"


def _performance(subject: Subject, around: Surroundings) -> Performance | Findings:
    discharged, charged = subject.both
    states = [State(r.crystal, r.energy_eV) for r in (discharged, *subject.between, charged)]
    try:
        return performance(states, subject.ion, around.reference.ion_metal_energy(subject.ion))
    except (ElectrodeError, InputError) as error:
        reason = Reason(stage="voltage", code="no_voltage", text=str(error), verdict=Verdict.UNDETERMINED)
        return Findings(reasons=[reason])


def _shifted(subject: Subject, around: Surroundings, shift_V: float) -> tuple[VoltageStep, ...]:
    """The profile, every step moved by the correction of the average."""
    done = _performance(subject, around)
    if isinstance(done, Findings):
        return ()
    return tuple(s.model_copy(update={"voltage_V": s.voltage_V + shift_V}) for s in done.steps)
