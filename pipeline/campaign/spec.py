"""`CampaignSpec`: what a campaign file may say, with defaults that make sense."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from ase.data import atomic_numbers, chemical_symbols
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from redoxa.data.errors import suggest
from redoxa.data.records import WorkingIon, content_hash
from redoxa.generators import CHOOSE_BEST, DEFAULT_GENERATOR, GENERATORS
from redoxa.generators.composition.families import DEFAULT_FAMILY, FAMILIES, HAVE_FAMILIES, KIND, source_name
from redoxa.pipeline.campaign.cron import check_cron
from redoxa.robotics import DRIVERS
from redoxa.screening.settings import PROPERTY_NAMES, AnyRange, Range, ScreenSettings


class Section(BaseModel):
    """A section of the campaign file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _known(what: str, names: dict[str, str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"'{value}' is not a {what}. {suggest(value, names)}")
        return value

    return AfterValidator(check)


def _element(value: Any) -> Any:
    # YAML 1.1 reads the bare word No as false; nobelium is not an electrode, so say what happened.
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an element symbol (put it in quotes if YAML changed it)")
    if atomic_numbers.get(value, 0) < 1:
        raise ValueError(f"'{value}' is not an element symbol. {_near_element(value)}")
    return value


def _near_element(value: str) -> str:
    symbol = value.strip().capitalize()
    return f"Did you mean '{symbol}'?" if atomic_numbers.get(symbol, 0) > 0 else "Symbols look like Li, Fe, O."


Element = Annotated[str, BeforeValidator(_element)]


def _listed(value: Any) -> Any:
    return re.findall(r"[^\s,;-]+", value) if isinstance(value, str) else value


Elements = Annotated[tuple[Element, ...], BeforeValidator(_listed, json_schema_input_type=str | tuple[Element, ...])]
"""A list of symbols, or one text: ``Fe, P, O``."""


class Goal(Section):
    """What the campaign looks for."""

    working_ion: WorkingIon = "Li"
    electrode: Literal["cathode", "anode"] = "cathode"
    objectives: dict[str, AnyRange] = Field(
        default={
            "average_voltage": Range(min=2.5, max=4.5),
            "usable_capacity": Range(min=100),
            "stability_discharge": Range(max=0.1),
        },
        description="ranges the candidates should lie in, several at once; names as in `redoxa list properties`; "
        "anodes are by default looked for from 0.1 to 1.5 V",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_anodes(cls, raw: Any) -> Any:
        """What is looked for in an anode, where nothing is said."""
        if isinstance(raw, dict) and raw.get("electrode") == "anode" and "objectives" not in raw:
            usual = cls.model_fields["objectives"].get_default()
            return raw | {"objectives": usual | {"average_voltage": Range(min=0.1, max=1.5)}}
        return raw

    @field_validator("objectives")
    @classmethod
    def _names(cls, value: dict[str, Range]) -> dict[str, Range]:
        for name in value:
            if name not in PROPERTY_NAMES:
                raise ValueError(f"'{name}' is not a property. {suggest(name, PROPERTY_NAMES)}")
        if not value:
            raise ValueError("at least one objective is needed")
        return value


class AtomCount(Section):
    """Smallest and largest number of atoms in the generated cell."""

    min: int = Field(default=4, ge=1, le=60)
    max: int = Field(default=16, ge=1, le=60)

    @model_validator(mode="after")
    def _order(self) -> AtomCount:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}")
        return self


class Chemistry(Section):
    """Which elements may occur; a hard mask for every generator."""

    allowed: Elements = ("Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "O", "F", "P", "S", "Si", "B")
    excluded: Elements = ()
    atoms_per_cell: AtomCount = AtomCount()
    charge_neutral: bool = True

    @field_validator("allowed")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one element must be allowed")
        return value


class GenerateStep(Section):
    """One generator and how many samples it gives in each round."""

    kind: Annotated[str, _known("generator", GENERATORS)]
    family: Annotated[str, _known(KIND, FAMILIES)] | None = Field(
        default=None,
        description=f"of the model that writes the formulas of composition: {', '.join(FAMILIES)}; by default "
        f"{DEFAULT_FAMILY}, or that of the weights",
    )
    count: int = Field(default=64, ge=1, le=1_000_000)
    best_of: int = Field(
        default=1, ge=1, le=64,
        description="crystals that orbits draws for each that it makes: those that it foresees to meet the objectives "
        "near a known hull, of a new family",
    )  # fmt: skip
    checkpoint: str | None = Field(default=None, description="own weights, a path inside the project folder")

    @model_validator(mode="after")
    def _has_families(self) -> GenerateStep:
        if self.family is not None and self.kind not in HAVE_FAMILIES:
            raise ValueError(f"{self.kind} has no families; leave family out")
        if self.best_of > 1 and self.kind not in CHOOSE_BEST:
            raise ValueError(f"{self.kind} cannot choose the best of several; leave best_of out")
        return self

    @property
    def source(self) -> str:
        """What its samples are said to come from: ``flow``, ``composition (mixture)``."""
        return source_name(self.kind, self.family)

    @property
    def of(self) -> tuple[str, str]:
        """Generator and family; one whose weights alone say their family counts as of the default one."""
        return self.kind, self.family or (DEFAULT_FAMILY if self.kind in HAVE_FAMILIES else "")


class Select(Section):
    """How many candidates go to the laboratory in each round, and how different they must be."""

    batch_size: int = Field(default=6, ge=1, le=1000)
    max_per_chemical_system: int = Field(default=2, ge=1)
    min_probability: float = Field(
        default=0.05, ge=0, le=1, description="smallest probability of lying within all objective ranges"
    )


class Lab(Section):
    """Where the chosen candidates go."""

    driver: Annotated[str, _known("driver", DRIVERS)] = "simulated"
    approval: Literal["person", "auto"] = Field(
        default="person",
        description="person: somebody approves with `redoxa queue approve`; auto: the safety rules suffice",
    )
    target_mass_g: float = Field(default=2.0, gt=0, le=50)
    options: dict[str, str | int | float | bool] = Field(default={}, description="settings of the driver")


class Stop(Section):
    """When the campaign ends."""

    rounds: int = Field(default=1, ge=1, le=10_000)
    budget_minutes: float | None = Field(
        default=None, gt=0, description="no new round begins after this much processor time of the screening"
    )


SILENCE_MINUTES = 60.0
"""How long a run may go on without writing anything; one relaxation of a large cell takes minutes."""


class Schedule(Section):
    """When `redoxa serve` runs the campaign: exactly one of the three."""

    cron: Annotated[str, AfterValidator(check_cron)] | None = None
    every_minutes: float | None = Field(default=None, ge=1)
    on_measurements: bool = Field(
        default=False, description="whenever it can go on: at first, on an approval, on what the laboratory gives back"
    )
    rounds_per_run: int = Field(default=1, ge=1, le=10_000, description="rounds that are completed each time")
    silence_minutes: float = Field(
        default=SILENCE_MINUTES,
        gt=0,
        description="a run that has written nothing for so long is told: see `redoxa status`",
    )

    @model_validator(mode="after")
    def _one(self) -> Schedule:
        if [self.cron is not None, self.every_minutes is not None, self.on_measurements].count(True) != 1:
            raise ValueError("give one of cron, every_minutes and on_measurements: true")
        return self

    @property
    def words(self) -> str:
        """The schedule as people say it."""
        if self.on_measurements:
            return "when the laboratory has something new"
        return f"cron {self.cron}" if self.cron is not None else f"every {self.every_minutes:g} minutes"


class CampaignSpec(Section):
    """A validated campaign. `id` hashes what decides which candidates are good; how long to go on does not enter."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")
    goal: Goal = Goal()
    chemistry: Chemistry = Chemistry()
    generate: tuple[GenerateStep, ...] = (
        GenerateStep(kind=DEFAULT_GENERATOR, best_of=32),
        GenerateStep(kind="substitution", count=32),
        GenerateStep(kind="flow", count=32),
    )
    screen: ScreenSettings = ScreenSettings()
    select: Select = Select()
    lab: Lab = Lab()
    stop: Stop = Stop()
    schedule: Schedule | None = None
    exclude_campaigns: tuple[str, ...] = Field(
        default=(),
        description="campaigns of the same store: what they had proposed when this one began counts as a duplicate; by "
        "default what a campaign finds does not depend on what others found",
    )
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _consistent(self) -> CampaignSpec:
        if not self.generate:
            raise ValueError("generate: at least one generator is needed")
        if len({step.of for step in self.generate}) != len(self.generate):
            raise ValueError("generate: each generator may be named once, or once a family; raise its count instead")
        if self.goal.working_ion in self.chemistry.excluded:
            raise ValueError(f"chemistry.excluded holds the working ion {self.goal.working_ion}")
        if not self.allowed_numbers - {atomic_numbers[self.goal.working_ion]}:
            raise ValueError("chemistry: nothing but the working ion is left after the exclusions")
        if "role" in self.screen.model_fields_set and self.screen.role != self.goal.electrode:
            raise ValueError(
                f"screen.role is {self.screen.role} but goal.electrode is {self.goal.electrode}; leave role out"
            )
        return self

    @property
    def screening(self) -> ScreenSettings:
        """The screening settings for this goal."""
        return self.screen.model_copy(update={"role": self.goal.electrode})

    @property
    def id(self) -> str:
        """Content hash of everything that decides which candidates are good.

        `stop`, `schedule`, `screen.budget` and `screen.workers` stay out: raising them goes on with the same campaign.
        """
        content = self.model_dump(
            mode="json", exclude={"stop": True, "schedule": True, "screen": {"budget", "workers", *self.screen.unused}}
        )
        if not self.exclude_campaigns:  # as if it had never been there: campaigns of earlier versions keep their id
            del content["exclude_campaigns"]
        for step in content["generate"]:
            if step["family"] is None:  # likewise
                del step["family"]
            if step["best_of"] == 1:
                del step["best_of"]
        return content_hash(content)

    @property
    def allowed_numbers(self) -> frozenset[int]:
        """Atomic numbers a sample may hold: the allowed ones and the working ion, less the excluded."""
        symbols = (set(self.chemistry.allowed) | {self.goal.working_ion}) - set(self.chemistry.excluded)
        return frozenset(atomic_numbers[x] for x in symbols)

    @property
    def allowed_symbols(self) -> tuple[str, ...]:
        """The same as symbols, by atomic number."""
        return tuple(chemical_symbols[z] for z in sorted(self.allowed_numbers))
