"""Hazard, price and abundance of the elements (table with sources: `screening/elements.csv`)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import ClassVar

from ase.data import atomic_masses, atomic_numbers

from data.records import Estimate, Reason, Verdict
from screening.base import Findings, Needs, Subject, Surroundings

PRICE_RELATIVE_SIGMA = 0.5
ABUNDANCE_RELATIVE_SIGMA = 0.3


@dataclass(frozen=True)
class ElementFacts:
    """Price in USD/kg and crustal abundance in mg/kg (None where unknown), hazard "toxic", "radioactive" or ""."""

    price_USD_per_kg: float | None
    abundance_mg_per_kg: float | None
    hazard: str


@cache
def element_facts() -> Mapping[str, ElementFacts]:
    """The table, by symbol."""
    text = (files("screening") / "elements.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))

    def number(cell: str) -> float | None:
        return float(cell) if cell else None

    return {
        row["symbol"]: ElementFacts(number(row["price_USD_per_kg"]), number(row["abundance_mg_per_kg"]), row["hazard"])
        for row in rows
    }


def raw_material_cost_USD_per_kg(composition: Mapping[str, int]) -> float | None:
    """Price of the elements in a kilogram of the compound; None where one has no market price."""
    masses = {e: n * atomic_masses[atomic_numbers[e]] for e, n in composition.items()}
    prices = {e: facts.price_USD_per_kg if (facts := element_facts().get(e)) else None for e in composition}
    if any(price is None for price in prices.values()):
        return None
    return float(sum(masses[e] * (prices[e] or 0.0) for e in masses) / sum(masses.values()))


def min_abundance_mg_per_kg(composition: Mapping[str, int]) -> float | None:
    """Crustal abundance of the scarcest element; None where one is not in the table."""
    values = [facts.abundance_mg_per_kg if (facts := element_facts().get(e)) else None for e in composition]
    known = [v for v in values if v is not None]
    return min(known) if len(known) == len(values) else None


class Hazard:
    """Radioactive and toxic elements."""

    name: ClassVar[str] = "hazard"
    summary: ClassVar[str] = "no radioactive and no highly toxic element"
    stage: ClassVar[str] = "hazard"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.004

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Name each hazardous element once."""
        found = Findings()
        policies = {"radioactive": around.settings.radioactive, "toxic": around.settings.toxic}
        for kind, policy in policies.items():
            names = sorted(
                e for e in subject.candidate.crystal.composition
                if (facts := element_facts().get(e)) and facts.hazard == kind
            )  # fmt: skip
            if names:
                verdict = Verdict.FAIL if policy == "reject" else Verdict.PASS
                text = f"{subject.candidate.formula} holds {kind} {', '.join(names)}"
                found.reasons.append(Reason(stage=self.stage, code=kind, text=text, verdict=verdict))
        return found


class RawMaterialCost:
    """What the elements of a kilogram of the compound cost; processing is not in it."""

    name: ClassVar[str] = "raw_material_cost"
    summary: ClassVar[str] = "price of the elements in a kilogram of the compound, 2018-2020 market"
    unit: ClassVar[str] = "USD/kg"
    stage: ClassVar[str] = "cost"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.005

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Mass-weighted price; no estimate where an element has no market."""
        value = raw_material_cost_USD_per_kg(subject.candidate.crystal.composition)
        return Findings(_tabulated(value, PRICE_RELATIVE_SIGMA, self.unit, "element prices of 2018-2020 by mass"))


class MinAbundance:
    """How common the scarcest element is in the Earth's crust."""

    name: ClassVar[str] = "min_abundance"
    summary: ClassVar[str] = "crustal abundance of the scarcest element"
    unit: ClassVar[str] = "mg/kg"
    stage: ClassVar[str] = "cost"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.005

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Smallest abundance among the elements."""
        value = min_abundance_mg_per_kg(subject.candidate.crystal.composition)
        return Findings(_tabulated(value, ABUNDANCE_RELATIVE_SIGMA, self.unit, "CRC Handbook, 97th ed. (2016)"))


def _tabulated(value: float | None, relative_sigma: float, unit: str, source: str) -> Estimate | None:
    if value is None:
        return None
    return Estimate(
        value=value,
        sigma=relative_sigma * value,
        unit=unit,
        method=f"{source}; sigma {100 * relative_sigma:.0f} %",
        model="table",
    )
