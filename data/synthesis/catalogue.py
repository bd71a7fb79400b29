"""The catalogue of precursors: what each leaves in the crucible, what it gives off, and what is dangerous about it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from redoxa.data.errors import InputError
from redoxa.data.synthesis.formula import Amounts, add_scaled, molar_mass_g_mol, parse_formula

Hazard = Literal[
    "oxidiser", "fuel", "metal_fuel", "metal_oxidiser", "flammable", "toxic", "carcinogen", "reprotoxic", "corrosive",
    "H2S",
]  # fmt: skip


def _fraction(value: Any) -> Any:
    return Fraction(str(value)) if isinstance(value, int | float | str) else value


def _cas(value: str) -> str:
    # The last digit is the sum of the others, each times its place from the right, modulo ten.
    digits = value.replace("-", "")
    if value.count("-") != 2 or not digits.isdigit():
        raise ValueError(f"'{value}' is not a CAS number")
    if sum(i * int(d) for i, d in enumerate(reversed(digits[:-1]), start=1)) % 10 != int(digits[-1]):
        raise ValueError(f"the check digit of CAS number '{value}' is wrong")
    return value


Exact = Annotated[Fraction, BeforeValidator(_fraction)]


class CataloguePrecursor(BaseModel):
    """One compound of the catalogue (see the head of ``precursors.yaml`` for the fields)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formula: str
    name: str
    cas: Annotated[str, AfterValidator(_cas)]
    stable_C: float
    residue: Mapping[str, Exact] = {}
    gas: Mapping[str, Exact] = {}
    air_O2: Exact = Fraction(0)
    hazards: tuple[Hazard, ...] = ()
    sensitive: tuple[Literal["moisture", "air"], ...] = ()
    keep_below_C: float | None = None
    boils_C: float | None = None
    gives_O: tuple[float, float] | None = None
    takes_O: tuple[float, float] | None = None
    rank: int = Field(default=1, ge=0, le=4)
    reductant: bool = False

    @cached_property
    def amounts(self) -> Amounts:
        """Atoms of a formula unit as weighed."""
        return parse_formula(self.formula)

    @cached_property
    def solid(self) -> Amounts:
        """Atoms that stay in the crucible per formula unit."""
        if not self.residue:
            return self.amounts
        total: Amounts = {}
        for formula, factor in self.residue.items():
            add_scaled(total, parse_formula(formula), factor)
        return total

    @property
    def is_oxygen_free_anion(self) -> bool:
        """Whether it is a sulfide, a nitride, or sulfur."""
        return bool(self.solid.keys() & {"S", "N"}) and "O" not in self.solid

    @cached_property
    def molar_mass_g_mol(self) -> float:
        """Molar mass as weighed."""
        return molar_mass_g_mol(self.amounts)

    @model_validator(mode="after")
    def _conserved(self) -> CataloguePrecursor:
        balance = dict(self.amounts)
        add_scaled(balance, self.solid, Fraction(-1))
        for formula, factor in self.gas.items():
            add_scaled(balance, parse_formula(formula), -factor)
        if balance:
            raise ValueError(f"{self.formula}: residue and gas do not add up to the formula; left over {balance}")
        return self


class Catalogue(BaseModel):
    """All precursors by formula."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    precursors: tuple[CataloguePrecursor, ...]

    @cached_property
    def by_formula(self) -> dict[str, CataloguePrecursor]:
        """Precursors by formula."""
        return {p.formula: p for p in self.precursors}

    def get(self, formula: str) -> CataloguePrecursor | None:
        """The precursor of this formula, or None when the catalogue does not hold it."""
        return self.by_formula.get(formula)

    def without(self, formulas: frozenset[str]) -> Catalogue:
        """The catalogue of a laboratory that has not got these."""
        kept = tuple(p for p in self.precursors if p.formula not in formulas)
        return Catalogue(version=self.version, precursors=kept)


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue file.

    Raises:
        InputError: the file breaks the format, a formula does not balance, or one is listed twice.
    """
    try:
        catalogue = Catalogue.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {error}") from error
    if len(catalogue.by_formula) != len(catalogue.precursors):
        raise InputError(f"{path}: a formula is listed twice")
    return catalogue


@lru_cache(maxsize=1)
def default_catalogue() -> Catalogue:
    """The catalogue that ships with Redoxa."""
    return read_catalogue(Path(__file__).with_name("precursors.yaml"))
