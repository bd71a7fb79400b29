"""Composite electrode and half-cell: the defaults of a research laboratory, by working ion and voltage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from redoxa.data.errors import RecipeError
from redoxa.data.lab.laboratory import Cycler
from redoxa.data.lab.recipe import Cell, Electrode
from redoxa.data.records import WorkingIon

Collector = Literal["Al", "Cu", "Ti", "Mo"]

REPLICATES = 3
"""Cells per powder: one in twenty fails (ODACell, doi:10.1039/D3DD00058C)."""

LOADING_MG_CM2 = 3.0
"""Active mass by area, unless the cycler needs more."""

SOLIDS_FRACTION = 0.2
"""Of the slurry: 80:10:10 with PVDF in NMP flows under a doctor blade at about this."""

ALUMINIUM_LEAST_V = 0.3
"""Lithium alloys with an aluminium collector below this."""

ANODE_V = 1.5
"""Materials that stay below this are cycled as anodes."""

WINDOW_MARGIN_V = 0.3
"""How far beyond the predicted voltages a cell is charged and discharged."""


@dataclass(frozen=True)
class CellSystem:
    """An electrolyte with what goes with it. The limits are cautious working values, not the edge of decomposition.

    Attributes:
        min_V: lowest voltage against the counter electrode.
        max_V: highest voltage against the counter electrode.
        collector: of the working electrode; an anode in a lithium cell gets copper, because lithium alloys with Al.
        source: where the limits come from.
    """

    electrolyte: str
    min_V: float
    max_V: float
    counter: str
    collector: Collector
    casing: str
    separator: str
    source: str


_COIN = "CR2032, 316L steel"
_INERT = "PTFE two-electrode cell, Mo plungers"
_GLASS = "glass fibre, 16 mm"

CELL_SYSTEMS: Final[dict[WorkingIon, tuple[CellSystem, ...]]] = {
    "Li": (
        CellSystem(
            "1 M LiPF6 in EC:DEC 1:1 (v/v)", 0.0, 4.5, "lithium chip, 15.6 mm", "Al", _COIN, "Celgard 2400, 16 mm",
            "Xu 2004, doi:10.1021/cr030203g",
        ),
        CellSystem(
            "1 M LiPF6 in FEC:FEMC:HFE 2:6:2 (w/w)", 0.0, 5.0, "lithium chip, 15.6 mm", "Al", _COIN,
            "Celgard 2400, 16 mm", "Fan 2018, doi:10.1038/s41565-018-0183-2; all fluorinated",
        ),
    ),
    "Na": (
        CellSystem(
            "1 M NaPF6 in EC:DEC 1:1 (v/v)", 0.0, 4.2, "sodium disc, 15 mm", "Al", _COIN, _GLASS,
            "Ponrouch 2012, doi:10.1039/c2ee22258b",
        ),
    ),
    "K": (
        CellSystem(
            "0.8 M KPF6 in EC:DEC 1:1 (v/v)", 0.0, 4.2, "potassium disc, 15 mm", "Al", _COIN, _GLASS,
            "Hosaka 2020, doi:10.1021/acs.chemrev.9b00463",
        ),
    ),
    "Mg": (
        CellSystem(
            "0.4 M APC (2 PhMgCl + AlCl3) in THF", 0.0, 2.2, "magnesium foil, scraped", "Mo", _INERT, _GLASS,
            "Mizrahi 2008, doi:10.1149/1.2806175; chlorides corrode steel and aluminium",
        ),
        CellSystem(
            "0.5 M Mg(TFSI)2 in diglyme", 0.0, 3.2, "magnesium foil, scraped", "Al", _COIN, _GLASS,
            "Ha 2014, doi:10.1021/am405619v",
        ),
    ),
    "Ca": (
        CellSystem(
            "0.25 M Ca[B(hfip)4]2 in DME", 0.0, 3.9, "calcium foil, scraped", "Al", _COIN, _GLASS,
            "Li 2019, doi:10.1039/c9ee01699f",
        ),
    ),
    "Zn": (
        CellSystem(
            "2 M ZnSO4 in water", 0.2, 1.9, "zinc foil", "Ti", _COIN, _GLASS,
            "Pan 2016, doi:10.1038/nenergy.2016.39; oxygen evolves above",
        ),
    ),
    "Al": (
        CellSystem(
            "AlCl3:EMImCl 1.3:1 (mol)", 0.1, 2.3, "aluminium foil", "Mo", _INERT, _GLASS,
            "Lin 2015, doi:10.1038/nature14340; chloroaluminate corrodes steel",
        ),
    ),
}  # fmt: skip
"""Cell systems of each working ion, the preferred first."""


def choose_system(ion: WorkingIon, highest_V: float) -> CellSystem:
    """First system that stands the highest predicted voltage and the margin above it, else the widest one."""
    systems = CELL_SYSTEMS[ion]
    enough = (s for s in systems if s.max_V >= highest_V + WINDOW_MARGIN_V)
    return next(enough, max(systems, key=lambda s: s.max_V))


def find_system(ion: WorkingIon, electrolyte: str) -> CellSystem | None:
    """The cell system of this electrolyte, or None for one that we do not know for this ion."""
    return next((s for s in CELL_SYSTEMS[ion] if s.electrolyte == electrolyte), None)


def voltage_window_V(
    system: CellSystem, lowest_V: float, highest_V: float, cycler: Cycler | None = None
) -> tuple[float, float]:
    """Cut-off voltages: the voltages that may be met and a margin, inside what electrolyte, collector and cycler stand.

    Anodes (nothing above 1.5 V) are discharged to 10 mV above the counter electrode, or to the electrolyte's limit.
    Others stay above 0.3 V on aluminium in a lithium cell.

    Args:
        system: the cell.
        lowest_V: lower end of the prediction.
        highest_V: upper end of the prediction.
        cycler: which cycles it; without one only the cell sets limits.

    Raises:
        RecipeError: no window is left between the limits.
    """
    limits_V = (system.min_V, system.max_V)
    if cycler is not None:
        limits_V = (max(system.min_V, cycler.min_V), min(system.max_V, cycler.max_V))
    top = min(highest_V + WINDOW_MARGIN_V, limits_V[1])
    bottom = max(lowest_V - WINDOW_MARGIN_V if highest_V > ANODE_V else 0.0, limits_V[0], 0.01)
    if system.counter.startswith("lithium") and collector_of("Li", system, top) == "Al":
        bottom = max(bottom, ALUMINIUM_LEAST_V)
    if top - bottom < WINDOW_MARGIN_V:
        stands = system.electrolyte if cycler is None else f"{system.electrolyte} on {cycler.name}"
        raise RecipeError(
            f"predicted {lowest_V:.2f} to {highest_V:.2f} V lies outside what {stands} stands "
            f"({limits_V[0]:g} to {limits_V[1]:g} V): the cell cannot be cycled"
        )
    return max(round(bottom, 2), limits_V[0]), min(round(top, 2), limits_V[1])


def collector_of(ion: WorkingIon, system: CellSystem, max_voltage_V: float) -> Collector:
    """Copper for anodes in lithium cells, else that of the system."""
    return "Cu" if ion == "Li" and max_voltage_V <= ANODE_V + WINDOW_MARGIN_V else system.collector


def plan_electrode(ion: WorkingIon, system: CellSystem, max_voltage_V: float) -> Electrode:
    """80:10:10 active material, carbon black and PVDF, cast from NMP."""
    return Electrode(
        active_fraction=0.8,
        carbon_fraction=0.1,
        binder_fraction=0.1,
        binder="PVDF",
        solvent="NMP",
        collector=collector_of(ion, system, max_voltage_V),
        active_loading_mg_cm2=LOADING_MG_CM2,
        solids_fraction=SOLIDS_FRACTION,
        drying_C=80,
        drying_h=12,
        diameter_mm=14,
    )


def plan_cell(system: CellSystem) -> Cell:
    """A half-cell with excess electrolyte, in three copies."""
    return Cell(
        casing=system.casing,
        counter=system.counter,
        separator=system.separator,
        electrolyte=system.electrolyte,
        electrolyte_uL=100,
        replicates=REPLICATES,
    )
