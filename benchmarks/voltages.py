"""Average voltages of published electrodes against experiment and against those of another potential.

Usage: python benchmarks/voltages.py [--workers N] [--out runs/benchmarks/voltages.md] [--only NAME ...] [--hosts 220]

Measured: every row of ../shared/anchors/voltages.csv whose discharged formula a prototype of the library carries as its
`anchor`, and those of `OTHERS`, which the calibration has never seen. Each is relaxed as published, the ions that the
measurement moved are taken out, and it is relaxed again; calibrated voltages are those of a calibration without the
electrode's family.

Listed: lithiated hosts of ../shared/datasets/li_electrodes.parquet at random (fixed seed), against the voltages that
UMA-m gave them. Finished ones are kept in a file beside the table, so that a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from redoxa.data.chemistry import removable_ions
from redoxa.data.records import Crystal
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.prototypes import Prototype, load_prototypes
from redoxa.data.tables.reference import load_reference
from redoxa.data.whole import whole
from redoxa.screening.gates.topotaxy import same_host
from redoxa.screening.physics.calibration import (
    Anchor,
    VoltageCalibration,
    leave_families_out,
    second_metals_eV,
    shipped_calibration,
)
from redoxa.screening.tables.known_electrodes import KnownElectrode, anchor, compute_known, measured_voltages_V

OTHERS = {
    "olivine LiFePO4": (3.43, "Padhi, J. Electrochem. Soc. 144, 1188 (1997)"),
    "olivine LiCoPO4": (4.80, "Amine, Electrochem. Solid-State Lett. 3, 178 (2000)"),
    "O3 LiNiO2": (3.90, "Delmas, J. Power Sources 68, 120 (1997)"),
    "spinel LiMn2O4": (4.10, "Ohzuku, J. Electrochem. Soc. 137, 769 (1990)"),
    "olivine NaFePO4": (2.90, "Moreau, Chem. Mater. 22, 4126 (2010)"),
    "tavorite LiVPO4F": (4.20, "Barker, J. Electrochem. Soc. 150, A1394 (2003)"),
    "tavorite LiFeSO4F": (3.60, "Recham, Nat. Mater. 9, 68 (2010)"),
    "spinel MgMn2O4": (2.90, "Kim, Adv. Mater. 27, 3377 (2015)"),
    "delta bronze LiV2O5": (3.30, "Delmas, Solid State Ionics 69, 257 (1994)"),
    "perovskite NaFeF3": (2.70, "Yamada, J. Power Sources 196, 4837 (2011)"),
}
"""Measured average voltages in V of prototypes that are not in the calibration; good to 0.1 to 0.2 V."""

SEED = 20261121
BATCH = 16


@dataclass(frozen=True)
class Row:
    """An electrode: measured voltage, raw and calibrated one with its sigma, or why there is none."""

    name: str
    family: str
    measured_V: float
    raw_V: float | None = None
    calibrated_V: float = 0.0
    sigma_V: float = 0.0
    volume_change: float = 0.0
    remark: str = ""


@dataclass(frozen=True)
class HostRow:
    """A lithiated host: listed and computed voltage, and whether it is an electrode by charge balance and topotaxy."""

    material_id: str
    formula: str
    listed_V: float
    computed_V: float | None
    electrode: bool
    problem: str = ""


def measured_rows(known: Sequence[KnownElectrode], volts: Sequence[float], fitted: bool) -> list[Row]:
    """Rows of computed electrodes; `fitted` ones are calibrated by the other families, others by the whole."""
    reference, seconds = load_reference(), second_metals_eV()
    anchors: dict[str, Anchor] = {}
    for k, volt in zip(known, volts, strict=True):
        if not k.problem:
            ion = k.prototype.working_ion
            anchors[k.prototype.name] = anchor(k, volt, (reference.ion_metal_energy(ion), seconds[ion]))
    if fitted:
        corrected = dict(zip(anchors, leave_families_out(list(anchors.values())), strict=True))
    else:
        shipped = shipped_calibration("chgnet") or VoltageCalibration([])
        corrected = {n: shipped(a.first_V, a.second_V, a.kind, a.redox.split()) for n, a in anchors.items()}
    rows = []
    for k, volt in zip(known, volts, strict=True):
        name, family = k.prototype.name, k.prototype.family
        if k.discharged is None or k.charged is None or name not in anchors:
            rows.append(Row(name, family, volt, remark=k.problem))
            continue
        full, empty = k.discharged.crystal, k.charged.crystal
        remark = "" if same_host(full, empty, k.prototype.working_ion) else "host changed"
        change = empty.volume_A3 / full.volume_A3 - 1
        best = corrected[name]
        rows.append(Row(name, family, volt, anchors[name].first_V, best.value_V, best.sigma_V, change, remark))
    return rows


def host_rows(path: Path, count: int, kept: Path, workers: int) -> list[HostRow]:
    """Compute hosts at random; those in `kept` are not computed again."""
    import pandas as pd

    frame = pd.read_parquet(path).sort_values("material_id").sample(count, random_state=SEED)
    done: dict[str, HostRow] = {}
    if kept.exists():
        rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        done = {row["material_id"]: HostRow(**row) for row in rows}
    missing = frame[~frame["material_id"].isin(list(done))]
    kept.parent.mkdir(parents=True, exist_ok=True)
    metal_eV = load_reference().ion_metal_energy("Li"), second_metals_eV()["Li"]
    for first in range(0, len(missing), BATCH):
        part = missing.iloc[first : first + BATCH]
        known = compute_known([_as_prototype(*row) for row in _crystals(part)], workers=workers)
        with kept.open("a", encoding="utf-8") as file:
            for k, listed_V in zip(known, part["li_voltage_V_vs_Li"], strict=True):
                row = _host_row(k, float(listed_V), metal_eV)
                done[row.material_id] = row
                file.write(json.dumps(asdict(row)) + "\n")
        print(f"hosts {len(done)}/{count}", file=sys.stderr, flush=True)
    return [done[name] for name in frame["material_id"]]


def _crystals(frame: object) -> Iterator[tuple[str, Crystal]]:
    for name, z, x, c in frame[["material_id", "atomic_numbers", "frac_coords", "cell"]].itertuples(index=False):
        frac, lattice = np.reshape(x, (-1, 3)).tolist(), np.reshape(c, (3, 3)).tolist()
        yield name, Crystal(numbers=z, frac_coords=frac, lattice_A=lattice)


def _as_prototype(name: str, crystal: Crystal) -> Prototype:
    return Prototype(
        name=name,
        family="host",
        formula=crystal.formula,
        working_ion="Li",
        space_group="P1",
        crystal=crystal,
        source=name,
    )


def _host_row(known: KnownElectrode, listed_V: float, metals_eV: tuple[float, float]) -> HostRow:
    name, formula = known.prototype.name, known.prototype.formula
    if known.discharged is None or known.charged is None or known.problem:
        return HostRow(name, formula, listed_V, None, False, known.problem)
    content = known.discharged.crystal.composition
    pays = removable_ions(content, "Li") >= content["Li"] - 1e-6
    topotactic = same_host(known.discharged.crystal, known.charged.crystal, "Li")
    return HostRow(name, formula, listed_V, known.voltages_V(metals_eV)[0], pays and topotactic)


def measured_table(rows: Sequence[Row]) -> list[str]:
    """All electrodes, one a line."""
    lines = [
        "| electrode | family | measured (V) | raw (V) | error | calibrated (V) | error | volume on charge | remark |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in sorted(rows, key=lambda r: (r.family, r.name)):
        numbers = ("-",) * 5
        if row.raw_V is not None:
            numbers = (
                f"{row.raw_V:.2f}", f"{row.raw_V - row.measured_V:+.2f}", f"{row.calibrated_V:.2f} ± {row.sigma_V:.2f}",
                f"{row.calibrated_V - row.measured_V:+.2f}", f"{100 * row.volume_change:+.1f} %",
            )  # fmt: skip
        lines.append(f"| {' | '.join((row.name, row.family, f'{row.measured_V:.2f}', *numbers, row.remark))} |")
    return [*lines, "", *summary(rows)]


def summary(rows: Sequence[Row]) -> list[str]:
    """Bias and error by family, and over all, raw and calibrated."""
    good = [r for r in rows if r.raw_V is not None]
    by_family: dict[str, list[Row]] = defaultdict(list)
    for row in good:
        by_family[row.family].append(row)
    head = "| family | electrodes | raw bias (V) | raw MAE (V) | calibrated bias (V) | calibrated MAE (V) |"
    lines = [head, "|---|---:|---:|---:|---:|---:|"]
    for name, members in [*sorted(by_family.items()), ("**all**", good)]:
        raw = np.array([(r.raw_V or 0.0) - r.measured_V for r in members])
        best = np.array([r.calibrated_V - r.measured_V for r in members])
        cells = (f"{raw.mean():+.2f}", f"{np.abs(raw).mean():.2f}", f"{best.mean():+.2f}", f"{np.abs(best).mean():.2f}")
        lines.append(f"| {name} | {len(members)} | {' | '.join(cells)} |")
    measured, raws, bests = ([getattr(r, f) for r in good] for f in ("measured_V", "raw_V", "calibrated_V"))
    errors = np.subtract(bests, measured)
    inside = np.mean(np.abs(errors) <= [r.sigma_V for r in good])
    lines += [
        "",
        f"RMS error raw {np.sqrt(np.mean(np.subtract(raws, measured) ** 2)):.2f} V, calibrated "
        f"{np.sqrt(np.mean(errors**2)):.2f} V; rank correlation raw {spearmanr(measured, raws).statistic:.3f}, "
        f"calibrated {spearmanr(measured, bests).statistic:.3f}; {100 * inside:.0f} % within one sigma.",
    ]
    return lines


def hosts_table(rows: Sequence[HostRow]) -> list[str]:
    """Agreement with the listed voltages, of all hosts and of those that are electrodes."""
    lines = [
        "| hosts | number | ours less listed (V) | MAE less a constant (V) | rank correlation |",
        "|---|---:|---:|---:|---:|",
    ]
    good = [r for r in rows if r.computed_V is not None]
    electrodes = [r for r in good if r.electrode]
    for name, members in (("all", good), ("all ions paid for, host kept", electrodes)):
        listed, ours = (np.array([getattr(r, f) for r in members]) for f in ("listed_V", "computed_V"))
        gap = ours - listed
        rest = np.abs(gap - np.median(gap)).mean()
        rank = spearmanr(listed, ours).statistic
        lines.append(f"| {name} | {len(members)} | {gap.mean():+.2f} | {rest:.3f} | {rank:.3f} |")
    return [*lines, "", f"{len(rows) - len(good)} of {len(rows)} hosts gave no voltage: not converged, or flown apart."]


def main() -> int:
    """Run and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 means one for each core")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/voltages.md"))
    parser.add_argument("--only", nargs="*", default=[], help="anchors to compute, by discharged formula")
    parser.add_argument("--hosts", type=int, default=220, help="lithiated hosts to compare; 0 for none")
    options = parser.parse_args()
    shared = shared_dir()
    if shared is None:
        print("the measured voltages (shared/anchors/voltages.csv) are not there; set REDOXA_SHARED", file=sys.stderr)
        return 2
    volts = measured_voltages_V(shared / "anchors" / "voltages.csv")
    wanted = set(options.only) or set(volts)
    fitted = [p for p in load_prototypes() if p.anchor in wanted & set(volts)]
    known = compute_known(fitted, workers=options.workers)
    lines = measured_table(measured_rows(known, [volts[p.anchor or ""] for p in fitted], fitted=True))
    if missing := sorted(wanted - {p.anchor for p in fitted}):
        lines.append(f"Not in the prototype library: {', '.join(missing)}.")
    if not options.only:
        others = [p for p in load_prototypes() if p.name in OTHERS]
        computed = compute_known(others, workers=options.workers)
        rows = measured_rows(computed, [OTHERS[p.name][0] for p in others], fitted=False)
        lines += ["", "Electrodes that the calibration has not seen:", "", *measured_table(rows)]
    if options.hosts and not options.only:
        kept = options.out.with_name("voltages_hosts.jsonl")
        table = shared / "datasets" / "li_electrodes.parquet"
        lines += [
            "",
            "Against listed voltages (UMA-m):",
            "",
            *hosts_table(host_rows(table, options.hosts, kept, options.workers)),
        ]
    text = "\n".join(lines) + "\n"
    with whole(options.out) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
