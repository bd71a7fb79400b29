"""Average voltages of well-known electrodes against experiment, with the signed bias by family.

Usage: python benchmarks/voltages.py [--workers N] [--out runs/benchmarks/voltages.md] [--only NAME ...]

Every row of ../shared/anchors/voltages.csv whose discharged formula a prototype of the library carries as its `anchor`
is computed: relax as published, take out the ions that the anchor moves, relax again, average voltage.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from data.datasets import shared_dir
from data.prototypes import Prototype, load_prototypes
from data.records import Crystal
from data.reference import load_reference
from screening.electrode import ElectrodeError, State, performance
from screening.pool import Finished, relax_many
from screening.relax import RelaxSettings
from screening.removal import ion_sites, without
from screening.topotaxy import same_host


@dataclass(frozen=True)
class Row:
    """One anchor: measured and computed voltage in V, or why there is none."""

    name: str
    family: str
    measured_V: float
    computed_V: float | None
    volume_change: float | None
    remark: str = ""

    @property
    def error_V(self) -> float | None:
        """Computed less measured."""
        return None if self.computed_V is None else self.computed_V - self.measured_V


def read_anchors(path: Path) -> dict[str, float]:
    """Measured average voltage by discharged formula."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["discharged"]: float(row["average_voltage_V_experiment"]) for row in csv.DictReader(file)}


def emptied(prototype: Prototype, discharged: Crystal) -> Crystal:
    """The relaxed crystal without the ions that leave (relaxation keeps the order of the atoms)."""
    if prototype.leaving:
        return without(discharged, prototype.leaving)
    return without(discharged, ion_sites(discharged, prototype.working_ion))


def run_all(crystals: Sequence[Crystal], workers: int, what: str) -> list[Finished]:
    """Relax all; progress on stderr."""
    done: dict[int, Finished] = {}
    for i, finished in relax_many(crystals, RelaxSettings(max_steps=500), workers=workers):
        done[i] = finished
        print(f"{what} {len(done)}/{len(crystals)} {crystals[i].formula}", file=sys.stderr, flush=True)
    return [done[i] for i in range(len(crystals))]


def failure(finished: Finished) -> str:
    """Why a relaxation is no result, or an empty string."""
    if finished.relaxation is None:
        return finished.error
    return finished.relaxation.reason


def compute(prototypes: Sequence[Prototype], measured: dict[str, float], workers: int) -> list[Row]:
    """One row a prototype."""
    reference = load_reference()
    full = run_all([p.crystal for p in prototypes], workers, "discharged")
    usable = [i for i, f in enumerate(full) if not failure(f)]
    starts = [emptied(prototypes[i], full[i].relaxation.crystal) for i in usable]
    empty = dict(zip(usable, run_all(starts, workers, "charged"), strict=True))
    rows = []
    for i, prototype in enumerate(prototypes):
        volts = measured[prototype.anchor or ""]
        problem = failure(full[i]) or failure(empty[i])
        if problem:
            rows.append(Row(prototype.name, prototype.family, volts, None, None, problem))
            continue
        ends = [x.relaxation for x in (full[i], empty[i])]
        try:
            metal = reference.ion_metal_energy(prototype.working_ion)
            found = performance([State(r.crystal, r.energy_eV) for r in ends], prototype.working_ion, metal)
        except ElectrodeError as error:
            rows.append(Row(prototype.name, prototype.family, volts, None, None, str(error)))
            continue
        same = same_host(ends[0].crystal, ends[1].crystal, prototype.working_ion)
        change = ends[1].crystal.volume_A3 / ends[0].crystal.volume_A3 - 1
        remark = "" if same else "host changed"
        rows.append(Row(prototype.name, prototype.family, volts, found.average_voltage_V, change, remark))
    return rows


def markdown(rows: Sequence[Row], missing: Sequence[str]) -> str:
    """Table of all rows, then the bias by family."""
    lines = [
        "| electrode | family | measured (V) | CHGNet 0.3.0 (V) | error (V) | volume on charge | remark |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in sorted(rows, key=lambda r: (r.family, r.name)):
        numbers = ("-", "-", "-")
        if row.computed_V is not None:
            numbers = (f"{row.computed_V:.2f}", f"{row.error_V:+.2f}", f"{100 * row.volume_change:+.1f} %")
        cells = (row.name, row.family, f"{row.measured_V:.2f}", *numbers, row.remark)
        lines.append(f"| {' | '.join(cells)} |")
    good = [r for r in rows if r.computed_V is not None]
    by_family: dict[str, list[float]] = defaultdict(list)
    for row in good:
        by_family[row.family].append(row.error_V)
    lines += ["", "| family | electrodes | bias (V) | mean absolute error (V) |", "|---|---:|---:|---:|"]
    for family, errors in sorted(by_family.items()):
        lines.append(f"| {family} | {len(errors)} | {np.mean(errors):+.2f} | {np.mean(np.abs(errors)):.2f} |")
    errors = np.array([r.error_V for r in good])
    rank = spearmanr([r.measured_V for r in good], [r.computed_V for r in good]).statistic if len(good) > 2 else np.nan
    lines.append(f"| **all** | {len(good)} | {errors.mean():+.2f} | {np.abs(errors).mean():.2f} |")
    lines += ["", f"Root mean square error {np.sqrt((errors**2).mean()):.2f} V, rank correlation {rank:.2f}."]
    if missing:
        lines.append(f"Not in the prototype library: {', '.join(missing)}.")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 means one for each core")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/voltages.md"))
    parser.add_argument("--only", nargs="*", default=[], help="anchors to compute, by discharged formula")
    options = parser.parse_args()
    shared = shared_dir()
    if shared is None:
        print("the measured voltages (shared/anchors/voltages.csv) are not there; set REDOXA_SHARED", file=sys.stderr)
        return 2
    path = shared / "anchors" / "voltages.csv"
    measured = read_anchors(path)
    wanted = set(options.only) or set(measured)
    prototypes = [p for p in load_prototypes() if p.anchor in wanted & set(measured)]
    rows = compute(prototypes, measured, options.workers)
    text = markdown(rows, sorted(wanted - {p.anchor for p in prototypes}))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
