"""What the safety rules work on: a request with its formulas read once, and the laboratory it is meant for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from redoxa.data.errors import InputError
from redoxa.data.lab.laboratory import Furnace, Laboratory
from redoxa.data.lab.recipe import Synthesis
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Crystal
from redoxa.data.synthesis.catalogue import CataloguePrecursor, default_catalogue
from redoxa.data.synthesis.formula import Amounts, molar_mass_g_mol, parse_formula

BURNING: Final = frozenset({"air", "oxygen"})

Powders = tuple[tuple[CataloguePrecursor, float], ...]
"""Powders of the catalogue with their moles as weighed."""


@dataclass(frozen=True)
class Subject:
    """A synthesis under judgement, with the crystal that is meant where one is known."""

    synthesis: Synthesis
    laboratory: Laboratory
    crystal: Crystal | None = None

    @cached_property
    def furnace(self) -> Furnace:
        """The furnace that the recipe names, else the first; S006 refuses names that the laboratory does not know."""
        return self.laboratory.by_name.get(self.synthesis.furnace_name, self.laboratory.furnaces[0])

    @cached_property
    def target(self) -> Amounts | None:
        """Atoms of the target formula; None when it cannot be read."""
        return read_formula(self.synthesis.target_formula)

    @cached_property
    def powders(self) -> Powders:
        """Precursors that the catalogue knows, with their moles as weighed."""
        catalogue = default_catalogue()
        rows = ((catalogue.get(p.formula), p) for p in self.synthesis.precursors)
        return tuple((known, p.moles) for known, p in rows if known is not None)

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Formulas of precursors that the catalogue does not know."""
        known = {powder.formula for powder, _ in self.powders}
        return tuple(p.formula for p in self.synthesis.precursors if p.formula not in known)

    @cached_property
    def elements_by_place(self) -> dict[str, frozenset[str]]:
        """Elements of the crystal, the target, each precursor and by-product; what cannot be read is left out."""
        from ase.data import chemical_symbols

        synthesis = self.synthesis
        names = {f"precursor {p.formula}": p.formula for p in synthesis.precursors}
        names |= {f"by-product {gas}": gas for gas in synthesis.byproducts}
        names |= {f"target {synthesis.target_formula}": synthesis.target_formula}
        read = {place: read_formula(text) for place, text in names.items()}
        found = {place: frozenset(amounts) for place, amounts in read.items() if amounts is not None}
        if self.crystal is not None:
            found["crystal"] = frozenset(chemical_symbols[z] for z in self.crystal.numbers)
        return found

    @cached_property
    def moles_target(self) -> float:
        """Moles of target that are to be made."""
        return self.synthesis.target_mass_g / molar_mass_g_mol(self.target) if self.target else 0.0


@dataclass(frozen=True)
class RequestSubject(Subject):
    """A whole request under judgement; make one with `of`."""

    request: ExperimentRequest = field(kw_only=True)

    @classmethod
    def of(cls, request: ExperimentRequest, laboratory: Laboratory) -> RequestSubject:
        """The request with its own synthesis and crystal."""
        return cls(request.recipe.synthesis, laboratory, request.crystal, request=request)


SynthesisRule = Callable[[Subject], list[str]]
RequestRule = Callable[[RequestSubject], list[str]]
"""A rule returns what it refuses; an empty list is an explicit yes."""


def read_formula(formula: str) -> Amounts | None:
    """Atoms of a formula, or None when it cannot be read."""
    try:
        return parse_formula(formula)
    except InputError:
        return None
