"""`ScreenSettings`: the `screen:` section of a campaign file. Light: no torch, no pymatgen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from redoxa.data.errors import suggest
from redoxa.data.records import content_hash
from redoxa.screening import PROPERTIES
from redoxa.screening.potentials.names import POTENTIALS

METHOD_VERSION: Final = 4
"""Raised whenever the screening would give other numbers for the same settings; enters `settings_hash`."""

PROPERTY_NAMES: Final = tuple(PROPERTIES)
"""Names that `limits` and a campaign's objectives may use."""


class Range(BaseModel):
    """A closed interval; either end may be open, not both."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is larger than max {self.max:g}")
        return self

    def broken_limit(self, value: float) -> float | None:
        """The end that `value` lies beyond, or None where it lies within."""
        if self.min is not None and value < self.min:
            return self.min
        if self.max is not None and value > self.max:
            return self.max
        return None


RANGE_FORMS: Final = "write 3..4.2, >=3, <=4.2, [3, 4.2] or {min: 3, max: 4.2}"

_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_BETWEEN = re.compile(rf"{_NUMBER}?\s*\.\.\s*{_NUMBER}?")
_ONE_END = re.compile(rf"([<>])=?\s*{_NUMBER}")


def read_range(text: str) -> tuple[float | None, float | None]:
    """Lower and upper end of a range as people write it: ``3..4.2``, ``3..``, ``..4.2``, ``>=3``, ``<4.2``.

    Raises:
        ValueError: the text is no range.
    """
    if one := _ONE_END.fullmatch(text.strip()):
        end = float(one[2])
        return (end, None) if one[1] == ">" else (None, end)
    between = _BETWEEN.fullmatch(text.strip())
    if between is None or between.groups() == (None, None):
        raise ValueError(f"'{text}' is no range; {RANGE_FORMS}")
    low, high = (None if end is None else float(end) for end in between.groups())
    return low, high


def _range(value: Any) -> Any:
    if isinstance(value, str):
        value = read_range(value)
    if isinstance(value, int | float):
        raise ValueError(f"{value} is no range; {RANGE_FORMS}")
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError(f"a range has two ends; {RANGE_FORMS}")
        return dict(zip(("min", "max"), value, strict=True))
    return value


AnyRange = Annotated[
    Range, BeforeValidator(_range, json_schema_input_type=Range | str | tuple[float | None, float | None])
]
"""A range in any of the forms of `RANGE_FORMS`."""

DEFAULT_LIMITS: Final[Mapping[str, Mapping[str, Range]]] = {
    "cathode": {"average_voltage": Range(min=0.5, max=5.5)},
    "anode": {"average_voltage": Range(min=0.0, max=2.5)},
    "both": {
        "capacity_grav": Range(min=60),
        "stability_discharge": Range(max=0.15),
        "stability_charge": Range(max=0.3),
        "max_delta_volume": Range(max=0.4),
    },
}
"""Wide on purpose: they stop what no noise of the potential can save. 0.15 eV/atom is twice its hull error."""

Policy = Literal["reject", "warn"]


class ScreenSettings(BaseModel):
    """What the screening computes and what it rejects."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    potential: str = Field(default="chgnet", description="chgnet, chgnet-r2scan, sevennet or mace")
    role: Literal["cathode", "anode"] = Field(default="cathode", description="sets the default voltage limits")
    fmax_eV_A: float = Field(default=0.05, ge=0.005, le=0.5, description="largest force at convergence")
    max_steps: int = Field(default=300, ge=1, le=5000, description="relaxation steps before giving up (undetermined)")
    max_atoms: int = Field(default=64, ge=1, le=500, description="larger cells are not relaxed (undetermined)")
    budget: int | None = Field(
        default=None, ge=1, description="candidates to relax in each round at most; the others stay unscreened"
    )
    workers: int = Field(default=0, ge=0, le=1024, description="processes; 0 means one for each core")
    limits: dict[str, AnyRange | None] = Field(
        default={}, description="ranges by property name, over the default ones; null lifts a default"
    )
    charge_balance: Policy = Field(default="reject", description="cells no common oxidation states make neutral")
    redox: Policy = Field(default="reject", description="cells without an element that can be oxidised")
    radioactive: Policy = "reject"
    toxic: Policy = Field(default="reject", description="Be, As, Cd, Hg, Tl, Pb and others")
    duplicates: Policy = Field(default="reject", description="same crystal as an earlier candidate")
    known: Policy = Field(default="reject", description="same crystal as a known material")
    ordered_child: Policy = Field(
        default="warn", description="metals in order on places that are equivalent in a known crystal of one of them"
    )
    latent_anomaly: Policy = Field(default="reject", description="crystals beyond max_latent_anomaly")
    max_latent_anomaly: float | None = Field(
        default=None,
        gt=0,
        description="largest anomaly score of vae's latent space (3: outside what it knows); null: off",
    )
    topotactic: Policy = Field(default="reject", description="hosts that change their structure when the ions leave")
    insertion: bool = Field(default=False, description="assess hosts without the ion too: it is put into their holes")
    calibrate: bool = Field(default=True, description="correct voltages by what measured electrodes teach")
    dispersion: bool = Field(
        default=False, description="relax layered hosts with D3 too, for their volume (redoxa[dispersion])"
    )
    profile_states: int = Field(default=0, ge=0, le=7, description="states of partial charge to compute as well")
    orderings: int = Field(
        default=1, ge=1, le=20, description="arrangements of the ions to relax where only some are in the cell"
    )

    barriers: int = Field(
        default=0, ge=0, le=8, description="kinds of hops whose migration barrier is computed, a minute or more each"
    )

    @field_validator("potential")
    @classmethod
    def _known_potential(cls, value: str) -> str:
        if value not in POTENTIALS:
            raise ValueError(f"'{value}' is not a potential. {suggest(value, POTENTIALS)}")
        return value

    @field_validator("limits")
    @classmethod
    def _known_names(cls, value: dict[str, Range | None]) -> dict[str, Range | None]:
        for name in value:
            if name not in PROPERTIES:
                raise ValueError(f"'{name}' is not a property. {suggest(name, PROPERTIES)}")
        return value

    @model_validator(mode="after")
    def _profile(self) -> ScreenSettings:
        if self.limits.get("max_voltage_step") is not None and not self.profile_states:
            raise ValueError("limits.max_voltage_step needs profile_states of 1 or more")
        if self.limits.get("migration_barrier") is not None and not self.barriers:
            raise ValueError("limits.migration_barrier needs barriers of 1 or more")
        return self

    @property
    def all_limits(self) -> dict[str, Range]:
        """Default limits of the role under the given ones."""
        merged: dict[str, Range | None] = {**DEFAULT_LIMITS["both"], **DEFAULT_LIMITS[self.role], **self.limits}
        return {name: limits for name, limits in merged.items() if limits is not None}

    @property
    def unused(self) -> frozenset[str]:
        """Settings that decide nothing while they are off: earlier results and campaigns keep their hashes."""
        off = {"latent_anomaly", "max_latent_anomaly"} if self.max_latent_anomaly is None else set()
        return frozenset(off | ({"ordered_child"} if self.ordered_child == "warn" else set()))

    @property
    def settings_hash(self) -> str:
        """Content hash of everything that decides a verdict; budget and number of workers do not."""
        content: dict[str, Any] = self.model_dump(mode="json", exclude={"workers", "budget", "limits", *self.unused})
        content["limits"] = {name: x.model_dump(mode="json") for name, x in self.all_limits.items()}
        return content_hash([METHOD_VERSION, content])

    @classmethod
    def permissive(cls, **changes: Any) -> ScreenSettings:
        """Settings that compute everything and reject nothing on limits or policy."""
        lifted = {name: None for kind in DEFAULT_LIMITS.values() for name in kind}
        names = ["charge_balance", "redox", "radioactive", "toxic", "duplicates", "known", "topotactic"]
        return cls.model_validate({"limits": lifted, **dict.fromkeys(names, "warn"), "insertion": True, **changes})
