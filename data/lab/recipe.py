"""How a candidate is made and tested: powders, firings, electrode, cell, cycling."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from redoxa.data.records import Record


class Precursor(Record):
    """One weighed powder."""

    formula: str
    name: str
    mass_g: float = Field(gt=0)
    moles: float = Field(gt=0)
    excess_fraction: float = Field(ge=0, default=0.0)
    purity: float = Field(gt=0, le=1, default=1.0)
    """Mass fraction of the compound in the powder; `mass_g` is of the powder, `moles` of the compound."""
    role: Literal["reactant", "carbon source"] = "reactant"
    """A carbon source burns to a conducting coat of carbon and is no part of the reaction."""


Atmosphere = Literal["air", "oxygen", "argon", "argon/hydrogen 95/5", "nitrogen"]
Vessel = Literal["alumina crucible", "nickel crucible", "sealed silica ampoule"]


AtmosphereReason = Literal[
    "a nitride is made: nitrogen takes part, and air or moisture would burn it",
    "the compound holds no oxygen: air or moisture would oxidise or hydrolyse it",
    "oxygen has to be reduced away",
    "oxygen is taken up, and nickel above 2+ loses it in hot air",
    "oxygen is taken up, and moist air would hydrolyse the halide",
    "oxygen is taken up",
    "oxygen leaves by itself from a precursor in hot air",
    "no oxygen is exchanged, and nothing oxidises further in air",
    "no oxygen is exchanged, and air would oxidise the precursors further",
    "no oxygen is exchanged, and air would oxidise the product further",
]
"""What reaches people as text is one of our own sentences: a request brings no words of its own into a laboratory."""

StepPurpose = Literal["let gases leave", "let sulfur react away", "fire", "cool in the furnace gas"]


class FurnaceStep(Record):
    """Ramp (up or down) to a temperature and stay there."""

    temperature_C: float
    ramp_C_per_min: float = Field(gt=0)
    dwell_h: float = Field(ge=0)
    purpose: StepPurpose = "fire"


class Pressing(Record):
    """A pellet, so that the grains touch."""

    die_mm: float = Field(gt=0, le=60)
    load_kN: float = Field(gt=0)


COLD_C = 25.0
"""Where a furnace programme begins."""


class Firing(Record):
    """Grinding, pressing, and one programme from cold to cold."""

    grinding_min: float = Field(gt=0, default=30)
    pressing: Pressing | None = None
    steps: tuple[FurnaceStep, ...]

    @property
    def programme_h(self) -> float:
        """What the furnace takes for it, ramps included, from 25 C on."""
        before_C = (COLD_C, *(step.temperature_C for step in self.steps))
        return sum(
            abs(step.temperature_C - start_C) / step.ramp_C_per_min / 60 + step.dwell_h
            for start_C, step in zip(before_C, self.steps, strict=False)
        )


Formula = Annotated[str, Field(pattern=r"^[A-Za-z0-9().·]+$", max_length=60)]
"""A chemical formula: no room for words."""


class RouteOption(Record):
    """A way to make the target that was looked at."""

    precursors: tuple[Formula, ...]
    atmosphere: Atmosphere
    cost_electrons: float
    """What ranks it, in electrons per redox atom: see `data.synthesis.route`."""
    driving_force_eV_per_atom: float | None = None
    """Free energy of the reaction by atom of the target at firing temperature; negative is downhill."""
    refused_by: tuple[Annotated[str, Field(pattern=r"^S\d{3}$")], ...] = ()


class RouteChoice(Record):
    """Why these powders: what was taken, what else would do, and what a safety rule refused."""

    taken: RouteOption
    inverse_hull_eV_per_atom: float | None = None
    """The target against its rivals at firing temperature; negative where it lies below them."""
    rivals: tuple[Formula, ...] = ()
    runners_up: tuple[RouteOption, ...] = ()
    refused: tuple[RouteOption, ...] = ()


class Synthesis(Record):
    """A solid-state synthesis of the discharged phase; `planning.wording` writes reaction and warnings."""

    target_formula: Formula
    target_mass_g: float = Field(gt=0)
    precursors: tuple[Precursor, ...]
    byproducts: dict[Formula, float] = {}
    """Moles of each gas set free per mole of target; a negative number is taken up."""
    atmosphere: Atmosphere
    atmosphere_reason: AtmosphereReason
    firings: tuple[Firing, ...]
    furnace_name: str = ""
    """Which furnace of the laboratory; empty: its first."""
    temperature_sigma_C: float = Field(ge=0, default=100.0)
    """How far the firing temperature may be off: the rule behind it is a rule of thumb."""
    vessel: Vessel = "alumina crucible"
    handling: Literal["bench", "glovebox"] = "bench"
    """Where the powders are weighed, ground and loaded."""
    choice: RouteChoice | None = None

    @property
    def steps(self) -> tuple[FurnaceStep, ...]:
        """Furnace steps of all firings, in order."""
        return tuple(step for firing in self.firings for step in firing.steps)

    @property
    def hottest_C(self) -> float:
        """Highest temperature of all firings; 0 without any."""
        return max((step.temperature_C for step in self.steps), default=0.0)


class Electrode(Record):
    """The composite electrode that is cast from the powder."""

    active_fraction: float = Field(gt=0, le=1)
    carbon_fraction: float = Field(ge=0, lt=1)
    binder_fraction: float = Field(ge=0, lt=1)
    binder: str
    solvent: str
    collector: Literal["Al", "Cu", "Ti", "Mo"]
    active_loading_mg_cm2: float = Field(gt=0)
    """Of active material alone; carbon, binder and foil come on top."""
    solids_fraction: float = Field(gt=0, lt=1, default=0.2)
    """Mass fraction of the slurry that stays when the solvent has left."""
    drying_C: float
    drying_h: float
    diameter_mm: float = Field(gt=0)

    @property
    def disc_area_cm2(self) -> float:
        """Area of one disc."""
        return math.pi / 4 * (self.diameter_mm / 10) ** 2

    @property
    def active_mass_mg(self) -> float:
        """Active material on one disc, that is, in one cell."""
        return self.active_loading_mg_cm2 * self.disc_area_cm2


class Cell(Record):
    """A half-cell against the metal of the working ion."""

    casing: str
    counter: str
    separator: str
    electrolyte: str
    electrolyte_uL: float = Field(gt=0)
    replicates: int = Field(ge=1)


class ConstantCurrent(Record):
    """Charge (positive rate) or discharge (negative rate) to a voltage, or until the time is up."""

    kind: Literal["constant_current"] = "constant_current"
    rate_C: float
    until_voltage_V: float
    time_limit_s: float = Field(gt=0)


class ConstantVoltage(Record):
    """Hold a voltage until the current has fallen to a rate."""

    kind: Literal["constant_voltage"] = "constant_voltage"
    voltage_V: float
    until_rate_C: float = Field(gt=0)
    time_limit_s: float = Field(gt=0)


class Rest(Record):
    """Open circuit."""

    kind: Literal["rest"] = "rest"
    time_s: float = Field(gt=0)


CyclingStep = Annotated[ConstantCurrent | ConstantVoltage | Rest, Field(discriminator="kind")]


_N = r"[0-9.e+-]+"
_PLATEAUS = r"of [0-9]+ plateaus? within the window"
_CAPACITY = (
    "predicted reversible capacity", "theoretical", "theoretical, as far as redox pays",
    "theoretical, all working ions",
    rf"theoretical, {_PLATEAUS}", rf"{_N} % of the {_N} mAh/g {_PLATEAUS}",
)  # fmt: skip
_WINDOW = (
    "", rf"computed profile of [0-9]+ plateaus?, {_N}( to {_N})? V(, of which the cell reaches [0-9]+)?",
    rf"average voltage only, {_N} V: no partly charged states were computed",
)  # fmt: skip
_HEAVIER = (
    rf"loading raised from {_N} to {_N} mg/cm2, so that no current lies below {_N} uA, the least on the range of "
    rf"{_N} mA"
)
_EARLIER = (
    rf"holds end at ({_N} C instead of {_N} C(, )?)+: {_N} uA is the least that the range of {_N} mA gives to a tenth"
)
CapacityDefinition = Annotated[str, Field(pattern=f"^({'|'.join(_CAPACITY)})$")]
WindowSource = Annotated[str, Field(pattern=f"^({'|'.join(_WINDOW)})$")]
CyclerNote = Annotated[str, Field(pattern=f"^({_HEAVIER})?(; )?({_EARLIER})?$")]
"""Sentences of `cycling.window` and `cycling.currents`, with their numbers: these texts too are only our own."""


class Cycling(Record):
    """What the cycler does: `formation` once, then `steps` over and over. Rates refer to `nominal_capacity_mAh_g`."""

    nominal_capacity_mAh_g: float = Field(gt=0)
    capacity_definition: CapacityDefinition = "theoretical"
    """What the nominal capacity is: predicted by the screening, or theoretical."""
    min_voltage_V: float
    max_voltage_V: float
    window_from: WindowSource = ""
    """What the two voltages follow from."""
    reached_fraction: float = Field(gt=0, le=1, default=1)
    """Capacity of the predicted plateaus within the window, as part of that of all."""
    one_C_mA: float = Field(gt=0)
    """Current of one cell at a rate of 1 C: nominal capacity times active mass."""
    range_mA: float = Field(gt=0)
    """Current range of the cycler, full scale, on which the whole protocol runs."""
    cycler: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{0,40}$")] = ""
    """Which cycler of the laboratory; empty: any."""
    note: CyclerNote = ""
    """What the cycler made different from the usual protocol."""
    formation: tuple[CyclingStep, ...] = ()
    steps: tuple[CyclingStep, ...]
    cycles: int = Field(ge=1)


class Recipe(Record):
    """Everything a laboratory needs to make and test one candidate."""

    synthesis: Synthesis
    electrode: Electrode
    cell: Cell
    cycling: Cycling
