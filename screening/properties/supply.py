"""Supply risk: how few countries mine the elements of a compound, and how few hold their reserves.

The Herfindahl-Hirschman index of an element is the sum of the squared market shares of the countries in per cent, from
0 (many suppliers) to 10,000 (one); a compound's is the mean by mass. Values of M. W. Gaultois et al., Chem. Mater. 25,
2911 (2013), doi:10.1021/cm400893e, from the production and the reserves that the USGS gave for 2011.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.gates.hazard_cost import mass_fractions, tabulated
from redoxa.screening.labels import NO_PRICE, Label, Note

HHI_RELATIVE_SIGMA = 0.4
"""Shares move within a decade: that of Congo in the mining of cobalt from 53 % (2011) to 68 % (2022, USGS)."""

MODERATE, HIGH = 1500, 2500
"""Bounds of moderate and high concentration (US Department of Justice, Horizontal Merger Guidelines, 2010)."""

Kind = Literal["production", "reserve"]


@dataclass(frozen=True)
class SupplyIndex:
    """Herfindahl-Hirschman index of a compound, and the element that adds most to it."""

    value: float
    main_element: str

    @property
    def level(self) -> str:
        """``low``, ``moderate`` or ``high`` concentration."""
        return "low" if self.value < MODERATE else "moderate" if self.value <= HIGH else "high"


def supply_index(composition: Mapping[str, int], kind: Kind) -> SupplyIndex | None:
    """Index of a compound by mass; None where an element (hydrogen, for one) has none.

    Args:
        composition: atoms by element symbol.
        kind: market shares of the yearly production or of the reserves.
    """
    from pymatgen.analysis.hhi import HHIModel

    column = {"production": 0, "reserve": 1}[kind]
    table = HHIModel().symbol_hhip_hhir
    if not composition.keys() <= table.keys():
        return None
    parts = {e: share * float(table[e][column]) for e, share in mass_fractions(composition).items()}
    return SupplyIndex(sum(parts.values()), max(sorted(parts), key=parts.__getitem__))


class HhiProduction:
    """Concentration of the mines of its elements in few countries."""

    name: ClassVar[str] = "hhi_production"
    summary: ClassVar[str] = "supply risk: Herfindahl-Hirschman index of production, 0 to 10,000, by mass"
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "cost"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.005
    label: ClassVar[Label] = Label(
        "Supply risk of production (HHI)", "HHI production", "Practicalities", absent=NO_PRICE
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "supply_production": Note("Production by country: {}.", "Practicalities"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Mean by mass; no estimate where an element has no index."""
        return _findings(subject, "production")


class HhiReserve:
    """Concentration of the reserves of its elements in few countries."""

    name: ClassVar[str] = "hhi_reserve"
    summary: ClassVar[str] = "supply risk: Herfindahl-Hirschman index of reserves, 0 to 10,000, by mass"
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "cost"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.005
    label: ClassVar[Label] = Label("Supply risk of reserves (HHI)", "HHI reserves", "Practicalities", absent=NO_PRICE)
    notes: ClassVar[Mapping[str, Note]] = {
        "supply_reserve": Note("Reserves by country: {}.", "Practicalities"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Mean by mass; no estimate where an element has no index."""
        return _findings(subject, "reserve")


def _findings(subject: Subject, kind: Kind) -> Findings:
    found = supply_index(subject.candidate.crystal.composition, kind)
    if found is None:
        return Findings()
    return Findings(
        tabulated(found.value, HHI_RELATIVE_SIGMA, "1", f"{kind} of 2011, doi:10.1021/cm400893e, by mass"),
        notes={f"supply_{kind}": f"{found.level} concentration, most of it from {found.main_element}"},
    )
