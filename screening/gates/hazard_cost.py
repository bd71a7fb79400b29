"""Hazard, price and abundance of the elements (table with the source of each number: `screening/elements.csv`)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import ClassVar

from redoxa.data.records import Estimate, Reason, Verdict
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import NO_PRICE, Label, Note

PRICE_RELATIVE_SIGMA = 0.5
"""Prices of Li, V and Co move by a factor of two within a year."""

ABUNDANCE_RELATIVE_SIGMA = 0.3


@dataclass(frozen=True)
class ElementFacts:
    """What the table says of an element; None where unknown.

    Attributes:
        price_USD_per_kg: market price in its cheapest bulk form.
        price_source: source and year of the price, e.g. ``SMM 2020``.
        abundance_mg_per_kg: in the continental crust.
        hazard: "toxic", "carcinogenic", "radioactive" or "".
    """

    price_USD_per_kg: float | None
    price_source: str
    abundance_mg_per_kg: float | None
    hazard: str


@cache
def element_facts() -> Mapping[str, ElementFacts]:
    """The table, by symbol."""
    text = (files("redoxa.screening") / "elements.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        row["symbol"]: ElementFacts(
            price_USD_per_kg=_number(row["price_USD_per_kg"]),
            price_source=f"{row['price_source']} {row['price_year']}".strip(),
            abundance_mg_per_kg=_number(row["abundance_mg_per_kg"]),
            hazard=row["hazard"],
        )
        for row in rows
    }


def mass_fractions(composition: Mapping[str, int]) -> dict[str, float]:
    """Share of the mass by element symbol."""
    from ase.data import atomic_masses, atomic_numbers

    masses = {e: n * float(atomic_masses[atomic_numbers[e]]) for e, n in composition.items()}
    total = sum(masses.values())
    return {e: mass / total for e, mass in masses.items()}


def cost_by_element_USD_per_kg(composition: Mapping[str, int]) -> dict[str, float] | None:
    """What each element adds to the price of a kilogram of the compound; None where one has no market price."""
    prices = {e: facts.price_USD_per_kg if (facts := element_facts().get(e)) else None for e in composition}
    known = {e: price for e, price in prices.items() if price is not None}
    if len(known) < len(prices):
        return None
    return {e: share * known[e] for e, share in mass_fractions(composition).items()}


def scarcest_element(composition: Mapping[str, int]) -> tuple[str, float] | None:
    """The scarcest element and its crustal abundance in mg/kg; None where one is not in the table."""
    values = {e: facts.abundance_mg_per_kg if (facts := element_facts().get(e)) else None for e in composition}
    known = {e: v for e, v in values.items() if v is not None}
    if len(known) < len(values):
        return None
    return min(known.items(), key=lambda item: (item[1], item[0]))


class Hazard:
    """Radioactive and toxic elements; carcinogenic ones are named in a note, never rejected."""

    name: ClassVar[str] = "hazard"
    summary: ClassVar[str] = "no radioactive and no highly toxic element"
    stage: ClassVar[str] = "hazard"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.004
    notes: ClassVar[Mapping[str, Note]] = {
        "carcinogenic": Note("Carcinogenic", told="warning"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Name each hazardous element once."""
        found = Findings()
        policies = {"radioactive": around.settings.radioactive, "toxic": around.settings.toxic}
        for kind, policy in policies.items():
            if names := _with_hazard(subject, kind):
                verdict = Verdict.FAIL if policy == "reject" else Verdict.PASS
                text = f"{subject.candidate.formula} holds {kind} {names}"
                found.reasons.append(Reason(stage=self.stage, code=kind, text=text, verdict=verdict))
        if names := _with_hazard(subject, "carcinogenic"):
            found.notes["carcinogenic"] = f"{names}: dust and salts bear H350 (Regulation (EC) 1272/2008, Annex VI)"
        return found


class RawMaterialCost:
    """What the elements of a kilogram of the compound cost; processing is not in it."""

    name: ClassVar[str] = "raw_material_cost"
    summary: ClassVar[str] = "price of the elements in a kilogram of the compound, market of 2020 or the last known"
    unit: ClassVar[str] = "USD/kg"
    stage: ClassVar[str] = "cost"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.005
    label: ClassVar[Label] = Label("Cost of the elements", "Element cost", "Practicalities", absent=NO_PRICE)
    notes: ClassVar[Mapping[str, Note]] = {
        "cost_shares": Note("Share of the elements in that cost: {}.", "Practicalities"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Mass-weighted price, and whose it is; no estimate where an element has no market."""
        parts = cost_by_element_USD_per_kg(subject.candidate.crystal.composition)
        if parts is None:
            return Findings()
        total = sum(parts.values())
        shares = sorted(parts.items(), key=lambda item: (-item[1], item[0]))
        sources = ", ".join(f"{e} {element_facts()[e].price_source}" for e in parts)
        return Findings(
            tabulated(total, PRICE_RELATIVE_SIGMA, self.unit, f"element prices by mass ({sources})"),
            notes={"cost_shares": ", ".join(f"{e} {100 * part / total:.0f} %" for e, part in shares)},
        )


class MinAbundance:
    """How common the scarcest element is in the Earth's crust."""

    name: ClassVar[str] = "min_abundance"
    summary: ClassVar[str] = "crustal abundance of the scarcest element"
    unit: ClassVar[str] = "mg/kg"
    stage: ClassVar[str] = "cost"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.005
    label: ClassVar[Label] = Label("Abundance of the scarcest element", "Abundance", "Practicalities", absent=NO_PRICE)
    notes: ClassVar[Mapping[str, Note]] = {
        "scarcest_element": Note("Scarcest element: {}.", "Practicalities"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Smallest abundance among the elements, and whose it is."""
        scarcest = scarcest_element(subject.candidate.crystal.composition)
        if scarcest is None:
            return Findings()
        element, value = scarcest
        source = f"{element}, CRC Handbook, 97th ed. (2016)"
        return Findings(
            tabulated(value, ABUNDANCE_RELATIVE_SIGMA, self.unit, source), notes={"scarcest_element": element}
        )


def tabulated(value: float, relative_sigma: float, unit: str, source: str) -> Estimate:
    """An estimate read from a table, with a sigma in proportion to it."""
    return Estimate(
        value=value,
        sigma=relative_sigma * value,
        unit=unit,
        method=f"{source}; sigma {100 * relative_sigma:.0f} %",
        model="table",
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _with_hazard(subject: Subject, kind: str) -> str:
    facts = element_facts()
    return ", ".join(sorted(e for e in subject.candidate.crystal.composition if e in facts and facts[e].hazard == kind))
