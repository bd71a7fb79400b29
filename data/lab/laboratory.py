"""What a laboratory has and allows: furnaces, glove box, powders in stock, cyclers, people.

One file, ``laboratory.yaml``, says it to the planner, the safety rules, the queue and the drivers. `Laboratory()` is
what is assumed where nothing is said: one furnace to 1050 C in a fume hood without a scrubber, a glove box, every
powder of the catalogue, one ordinary cycler, and nobody in particular.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from redoxa.data.lab.recipe import Atmosphere, Vessel
from redoxa.data.lab.steps import Capability

ATMOSPHERES: frozenset[Atmosphere] = frozenset({"air", "oxygen", "argon", "argon/hydrogen 95/5", "nitrogen"})
VESSELS: frozenset[Vessel] = frozenset({"alumina crucible", "nickel crucible", "sealed silica ampoule"})


NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$"
"""Names of furnaces and cyclers: they stand in recipes."""


class Part(BaseModel):
    """A part of a laboratory: checked, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Furnace(Part):
    """A furnace with its gases and what it is connected to."""

    name: str = Field(default="furnace", pattern=NAME)
    places: int = Field(default=4, ge=1, le=100, description="vessels that stand in it at once, in one programme")
    max_temperature_C: float = Field(default=1050, gt=25, le=1700)
    max_ramp_C_per_min: float = Field(default=10, gt=0)
    min_ramp_C_per_min: float = Field(default=0.1, gt=0)
    max_dwell_h: float = Field(default=72, gt=0)
    max_steps: int = Field(default=24, ge=2)
    max_programme_h: float = Field(default=240, gt=0, description="a whole programme, ramps included")
    max_end_C: float = Field(default=60, gt=0, description="what a person may take out of the furnace")
    max_powder_g: float = Field(default=60, gt=0, description="all powders of one vessel together")
    max_gas_mol: float = Field(default=0.6, gt=0, description="gas set free in one vessel")
    max_toxic_gas_mol: float = Field(default=0.3, gt=0)
    max_acid_gas_mol: float = Field(default=0.05, gt=0, description="HF, HCl, SO2, H2S ... into the scrubber")
    ampoule_mL: float = Field(default=20, gt=0, description="inner volume of a sealed ampoule")
    max_ampoule_bar: float = Field(default=2, gt=0)
    atmospheres: frozenset[Atmosphere] = ATMOSPHERES
    vessels: frozenset[Vessel] = VESSELS
    exhaust: bool = Field(default=True, description="fume hood or extraction: for CO, NH3, NO2")
    scrubber: bool = Field(default=False, description="washes acid gases out: HF, HCl, SO2, H2S")


class Powder(Part):
    """A powder in stock."""

    formula: str = Field(description="as in the catalogue, e.g. Li2CO3 or FeC2O4·2H2O")
    amount_g: float = Field(gt=0)
    purity: float = Field(default=1.0, gt=0.5, le=1, description="mass fraction of the compound")


class Cycler(Part):
    """A battery cycler: what one channel gives and how finely."""

    name: str = Field(default="cycler", pattern=NAME)
    channels: int = Field(default=8, ge=1)
    ranges_mA: tuple[float, ...] = Field(
        default=(0.1, 1.0, 10.0), min_length=1, description="current ranges, full scale"
    )
    resolution: float = Field(default=0.001, gt=0, lt=0.1, description="of a current, as a fraction of its range")
    min_V: float = -1.0
    max_V: float = Field(default=5.0, gt=0)
    resolution_V: float = Field(default=0.001, gt=0)

    @model_validator(mode="after")
    def _order(self) -> Cycler:
        if min(self.ranges_mA) <= 0:
            raise ValueError("ranges_mA: currents are above zero")
        if self.min_V >= self.max_V:
            raise ValueError(f"min_V {self.min_V:g} is not below max_V {self.max_V:g}")
        return self


class Bench(Part):
    """Where something else is done, by hand or by a machine: a balance, a diffractometer, a glove box."""

    name: str = Field(pattern=NAME)
    does: frozenset[Literal["weigh", "xray", "coat", "assemble"]] = Field(min_length=1)
    places: int = Field(default=1, ge=1, le=1000, description="samples that are worked on at once")


class Station(Part):
    """A part of the laboratory, as the queue sees it.

    Attributes:
        name: no two stations share it.
        does: what it can do.
        places: samples that it holds at once: vessels of a furnace, channels of a cycler.
    """

    name: str
    does: frozenset[Capability]
    places: int


class Person(Part):
    """Somebody who works here."""

    name: str = Field(min_length=1, max_length=80)
    may_approve: bool = True
    may_override: bool = False


class Laboratory(Part):
    """A laboratory. The defaults suit a small research laboratory with a fume hood and a glove box."""

    name: str = Field(default="a small laboratory, as assumed where no laboratory.yaml is", min_length=1)
    furnaces: tuple[Furnace, ...] = Field(default=(Furnace(),), min_length=1)
    glovebox: bool = True
    fume_hood: bool = Field(default=True, description="where poisonous and carcinogenic powders are weighed")
    stock: tuple[Powder, ...] | None = Field(default=None, description="nothing given: every powder of the catalogue")
    cyclers: tuple[Cycler, ...] = Field(default=(Cycler(),), min_length=1)
    benches: tuple[Bench, ...] = (
        Bench(name="balance", does=frozenset({"weigh"})),
        Bench(name="diffractometer", does=frozenset({"xray"})),
        Bench(name="coater", does=frozenset({"coat"})),
        Bench(name="cell press", does=frozenset({"assemble"})),
    )
    people: tuple[Person, ...] = Field(default=(), description="nobody given: any named person")
    max_target_g: float = Field(default=20, gt=0)
    max_metal_powder_g: float = Field(default=2.0, ge=0, description="free metal powder in one vessel")
    max_sulfur_mol: float = Field(default=0.05, ge=0, description="free sulfur in one sealed ampoule")
    max_rate_C: float = Field(default=2, gt=0)
    max_cycling_days: float = Field(default=90, gt=0)
    max_replicates: int = Field(default=16, ge=1)
    max_loading_mg_cm2: float = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _names(self) -> Laboratory:
        for what, given in (
            ("furnaces", [f.name for f in self.furnaces]),
            ("cyclers", [c.name for c in self.cyclers]),
            ("benches", [b.name for b in self.benches]),
            ("people", [p.name.strip().casefold() for p in self.people]),
            ("stock", [p.formula for p in self.stock or ()]),
        ):
            if twice := sorted({name for name in given if given.count(name) > 1}):
                raise ValueError(f"{what}: {', '.join(twice)} is listed twice")
        names = [station.name for station in self.stations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"'{twice[0]}' is the name of two things; furnaces, cyclers and benches need names of their own"
            )
        return self

    @cached_property
    def stations(self) -> tuple[Station, ...]:
        """All parts that do a step of a request."""
        return (
            *(Station(name=bench.name, does=bench.does, places=bench.places) for bench in self.benches),
            *(Station(name=one.name, does=frozenset({"fire"}), places=one.places) for one in self.furnaces),
            *(Station(name=one.name, does=frozenset({"cycle"}), places=one.channels) for one in self.cyclers),
        )

    @cached_property
    def by_name(self) -> dict[str, Furnace]:
        """Furnaces by name."""
        return {furnace.name: furnace for furnace in self.furnaces}
