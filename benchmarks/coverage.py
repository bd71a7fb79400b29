"""How often the stated sigmas hold: voltages, capacities and volume changes against published ones, in one table.

Usage: python -m benchmarks.coverage [--workers N] [--out runs/benchmarks/coverage.md]

A sigma that is one holds for 68 % of what it was not fitted to. Voltages and capacities are predicted for each
electrode by those of other families; the ten electrodes of `benchmarks/voltages.py` were in no fit. Volume changes are
those of `redoxa screen` on the shipped prototypes (a minute), against cells in the literature; where the potential
cannot tell, none is stated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.voltages import OTHERS, measured_rows
from redoxa.data.records import Candidate, Origin
from redoxa.data.tables.prototypes import load_prototypes, prototype
from redoxa.data.tables.reference import load_reference
from redoxa.data.whole import whole
from redoxa.screening.funnel import Context, screen
from redoxa.screening.physics.calibration import leave_families_out, shipped_calibration
from redoxa.screening.physics.usable_share import known_capacities
from redoxa.screening.physics.usable_share import leave_families_out as capacities_left_out
from redoxa.screening.settings import ScreenSettings
from redoxa.screening.tables.known_electrodes import compute_known

VOLUMES = {
    "olivine LiFePO4": (0.073, "Padhi, J. Electrochem. Soc. 144, 1188 (1997): -6.8 % on charge"),
    "olivine LiMnPO4": (0.101, "Yonemura, J. Electrochem. Soc. 151, A1352 (2004)"),
    "olivine NaFePO4": (0.176, "Moreau, Chem. Mater. 22, 4126 (2010)"),
    "spinel LiMn2O4": (0.083, "Hunter, J. Solid State Chem. 39, 142 (1981): 8.03 A; 8.247 A lithiated"),
    "P4_332 ordered spinel LiNi0.5Mn1.5O4": (0.065, "Ariyoshi, J. Electrochem. Soc. 151, A296 (2004)"),
    "lithiated spinel Li7Ti5O12": (0.002, "Ohzuku, J. Electrochem. Soc. 142, 1431 (1995)"),
    "tavorite LiVPO4F": (0.093, "Ateba Mba, Chem. Mater. 24, 1223 (2012): -8.5 % on charge"),
    "tavorite LiFeSO4F": (0.104, "Recham, Nat. Mater. 9, 68 (2010)"),
    "borate LiFeBO3": (0.02, "Yamada, Adv. Mater. 22, 3583 (2010)"),
    "O3 LiCoO2": (0.086, "Amatucci, J. Electrochem. Soc. 143, 1114 (1996): CoO2 2.822, 4.29 A"),
    "O3 LiNiO2": (0.09, "de Biasi, ChemSusChem 12, 2240 (2019)"),
    "layered LiTiS2": (0.119, "Whittingham, Prog. Solid State Chem. 12, 41 (1978): 3.407, 5.695 A; 3.455, 6.195 A"),
    "graphite LiC6": (0.127, "Billaud, Mater. Res. Bull. 31, 793 (1996), and graphite 2.461, 6.708 A"),
    "O3 NaCoO2": (0.269, "NaCoO2 2.889, 15.61 A, and CoO2 of Amatucci (1996)"),
}  # fmt: skip
"""Largest over smallest volume by host, less 1, between the states that are compared; good to 0.01 to 0.02."""


@dataclass(frozen=True)
class Line:
    """A stated quantity with its published value."""

    name: str
    published: float
    value: float
    sigma: float


def voltages(workers: int) -> tuple[list[Line], list[Line]]:
    """Of the calibration's electrodes, families left out, and of those it never saw."""
    calibration = shipped_calibration("chgnet")
    anchors = () if calibration is None else calibration.anchors
    left_out = leave_families_out(anchors)
    known = [Line(a.name, a.measured_V, c.value_V, c.sigma_V) for a, c in zip(anchors, left_out, strict=True)]
    others = [p for p in load_prototypes() if p.name in OTHERS]
    rows = measured_rows(compute_known(others, workers=workers), [OTHERS[p.name][0] for p in others], fitted=False)
    return known, [Line(r.name, r.measured_V, r.calibrated_V, r.sigma_V) for r in rows if r.raw_V is not None]


def capacities() -> list[Line]:
    """Usable capacities, families left out, in mAh/g."""
    known = known_capacities()
    theory = [k.removal.theory_mAh_g for k in known]
    return [
        Line(k.formula, k.reversible_mAh_g, share * full, sigma * full)
        for k, full, (share, sigma) in zip(known, theory, capacities_left_out(known), strict=True)
    ]


def volumes(workers: int) -> tuple[list[Line], list[str]]:
    """Volume changes, and the electrodes of which none is stated."""
    candidates = {}
    for name in VOLUMES:
        one = prototype(name)
        origin = Origin(generator="library", seed=0)
        candidates[name] = Candidate(crystal=one.crystal, working_ion=one.working_ion, origin=origin)
    with Context(load_reference()) as context:
        settings = ScreenSettings.permissive(workers=workers)
        found = {r.candidate_id: r for r in screen(list(candidates.values()), settings, context)}
    lines, without = [], []
    for name, candidate in candidates.items():
        estimate = found[candidate.id].estimates.get("max_delta_volume")
        if estimate is None:
            without.append(name)
        else:
            lines.append(Line(name, VOLUMES[name][0], estimate.value, estimate.sigma))
    return lines, without


def row(what: str, lines: Sequence[Line], digits: int) -> str:
    """One line of the table."""
    published, value, sigma = (np.array([getattr(x, f) for x in lines]) for f in ("published", "value", "sigma"))
    error = np.abs(value - published)
    cells = (f"{error.mean():.{digits}f}", f"{sigma.mean():.{digits}f}", f"{100 * np.mean(error <= sigma):.0f} %")
    return f"| {what} | {len(lines)} | {' | '.join(cells)} |"


def main() -> int:
    """Compute and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 means one for each core")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/coverage.md"))
    options = parser.parse_args()
    known, unseen = voltages(options.workers)
    changes, without = volumes(options.workers)
    held, loose = ([x for x in changes if (x.sigma > 0.05) is y] for y in (False, True))
    lines = [
        "| stated | electrodes | mean absolute error | mean sigma | within one sigma |",
        "|---|---:|---:|---:|---:|",
        row("average_voltage (V), families left out", known, 2),
        row("average_voltage (V), never seen", unseen, 2),
        row("usable_capacity (mAh/g), families left out", capacities(), 0),
        row("max_delta_volume, frameworks", held, 3),
        row("max_delta_volume, layers that the potential does not hold", loose, 3),
        row("max_delta_volume, all", changes, 3),
        "",
        f"No volume change is stated for: {', '.join(without) or 'none'}.",
        "",
        "| volume change of | published | stated | source |",
        "|---|---:|---:|---|",
        *(f"| {x.name} | {x.published:.3f} | {x.value:.3f} ± {x.sigma:.3f} | {VOLUMES[x.name][1]} |" for x in changes),
    ]
    text = "\n".join(lines) + "\n"
    with whole(options.out) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
