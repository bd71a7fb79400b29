"""What the safety rules work on: the limits of a station, and a request with its formulas read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from data.errors import InputError
from data.lab import Atmosphere, ExperimentRequest, Vessel
from robotics.formula import Amounts, molar_mass_g_mol, parse_formula
from robotics.precursors import CataloguePrecursor, default_catalogue


class Limits(BaseModel):
    """What a station allows. The defaults suit a small research laboratory with a fume hood and a glovebox."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_temperature_C: float = Field(default=1050, le=1700)
    max_ramp_C_per_min: float = Field(default=10, gt=0)
    min_ramp_C_per_min: float = Field(default=0.1, gt=0)
    max_dwell_h: float = Field(default=72, gt=0)
    max_furnace_steps: int = Field(default=24, ge=1)
    max_furnace_h: float = Field(default=240, gt=0, description="a whole programme, ramps included")
    max_end_C: float = Field(default=60, gt=0, description="what a person may take out of the furnace")
    max_target_g: float = Field(default=20, gt=0)
    max_powder_g: float = Field(default=60, gt=0, description="all precursors of one vessel together")
    max_gas_mol: float = Field(default=0.6, gt=0, description="gas set free in one vessel")
    max_toxic_gas_mol: float = Field(default=0.3, gt=0)
    max_metal_powder_g: float = Field(default=2.0, ge=0, description="free metal powder in one vessel")
    max_sulfur_mol: float = Field(default=0.05, ge=0, description="free sulfur in one sealed ampoule")
    atmospheres: frozenset[Atmosphere] = frozenset({"air", "oxygen", "argon", "argon/hydrogen 95/5", "nitrogen"})
    vessels: frozenset[Vessel] = frozenset({"alumina crucible", "nickel crucible", "sealed silica ampoule"})
    exhaust: bool = True
    glovebox: bool = True
    max_rate_C: float = Field(default=2, gt=0)
    max_cycling_days: float = Field(default=90, gt=0)
    max_replicates: int = Field(default=16, ge=1)
    max_loading_mg_cm2: float = Field(default=30, gt=0)


@dataclass(frozen=True)
class Subject:
    """A request under judgement."""

    request: ExperimentRequest
    limits: Limits

    @cached_property
    def target(self) -> Amounts | None:
        """Atoms of the target formula; None when it cannot be read."""
        return read_formula(self.request.recipe.synthesis.target_formula)

    @cached_property
    def powders(self) -> tuple[tuple[CataloguePrecursor, float], ...]:
        """Precursors that the catalogue knows, with their moles as weighed."""
        catalogue = default_catalogue()
        rows = ((catalogue.get(p.formula), p) for p in self.request.recipe.synthesis.precursors)
        return tuple((known, p.moles) for known, p in rows if known is not None)

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Formulas of precursors that the catalogue does not know."""
        known = {powder.formula for powder, _ in self.powders}
        return tuple(p.formula for p in self.request.recipe.synthesis.precursors if p.formula not in known)

    @cached_property
    def elements_by_place(self) -> dict[str, frozenset[str]]:
        """Elements of the crystal, the target, each precursor and by-product; what cannot be read is left out."""
        from ase.data import chemical_symbols

        synthesis = self.request.recipe.synthesis
        names = {f"precursor {p.formula}": p.formula for p in synthesis.precursors}
        names |= {f"by-product {gas}": gas for gas in synthesis.byproducts}
        names |= {f"target {synthesis.target_formula}": synthesis.target_formula}
        names |= {f"candidate {self.request.formula}": self.request.formula}
        read = {place: read_formula(text) for place, text in names.items()}
        found = {place: frozenset(amounts) for place, amounts in read.items() if amounts is not None}
        found["crystal"] = frozenset(chemical_symbols[z] for z in self.request.crystal.numbers)
        return found

    @cached_property
    def gases_mol(self) -> dict[str, float]:
        """Moles of each gas that the weighed powders set free; O2 from the oxygen balance, if any leaves."""
        gases: dict[str, float] = {}
        for powder, moles in self.powders:
            for gas, n in powder.gas.items():
                gases[gas] = gases.get(gas, 0.0) + float(n) * moles
        oxygen = sum(float(powder.solid.get("O", 0)) * moles for powder, moles in self.powders)
        wanted = float((self.target or {}).get("O", Fraction(0))) * self.moles_target
        if oxygen - wanted > 1e-9:
            gases["O2"] = gases.get("O2", 0.0) + (oxygen - wanted) / 2
        return gases

    @cached_property
    def moles_target(self) -> float:
        """Moles of target that are to be made."""
        return self.request.recipe.synthesis.target_mass_g / molar_mass_g_mol(self.target) if self.target else 0.0


Rule = Callable[[Subject], list[str]]
"""A rule returns what it refuses; an empty list is an explicit yes."""


def same_compound(one: Amounts, other: Amounts) -> bool:
    """Whether two formulas hold the same elements in the same proportions."""
    return shares(one) == shares(other)


def shares(amounts: Amounts) -> dict[str, Fraction]:
    """Atoms of each element by atoms in all."""
    total = sum(amounts.values())
    return {element: n / total for element, n in amounts.items()}


def read_formula(formula: str) -> Amounts | None:
    """Atoms of a formula, or None when it cannot be read."""
    try:
        return parse_formula(formula)
    except InputError:
        return None
