"""Migration barriers of known electrodes against those of DFT.

Usage: python benchmarks/barriers.py [--workers N] [--kinds 2] [--out runs/benchmarks/barriers.md] [--only NAME ...]

Each prototype is relaxed, its shortest kinds of hops are searched as the screening searches them (climbing-image nudged
elastic bands, one vacancy in the full host, or one ion in the empty one), and the barrier of the easiest way through
the crystal is compared with the one of DFT-NEB collected in arXiv:2508.06459. Finished searches are kept in a file
beside the table, so that a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import Prototype, prototype
from redoxa.screening.compute.relax import RelaxSettings
from redoxa.screening.ions.removal import ion_sites, without
from redoxa.screening.mobility.barrier import Barrier, BarrierSettings
from redoxa.screening.mobility.hop_cell import Hop, Limit, make_hop
from redoxa.screening.mobility.hops import HopKind, Level, hop_kinds, percolation_levels
from redoxa.screening.potentials.base import potential_class
from redoxa.screening.workers.jobs import job_key
from redoxa.screening.workers.pool import open_pool, relax_many

POTENTIAL = "chgnet"
GOOD_eV = 0.5
"""The line between good and bad conductors in the comparison of potentials of d5dd00534e."""


@dataclass(frozen=True)
class System:
    """A prototype, the limit of its filling, and the published barrier in eV."""

    name: str
    limit: Limit
    published_eV: float


SYSTEMS = (
    System("olivine LiFePO4", "vacancy", 0.27),
    System("olivine LiMnPO4", "vacancy", 0.25),
    System("olivine LiCoPO4", "vacancy", 0.36),
    System("olivine LiNiPO4", "vacancy", 0.13),
    System("olivine NaFePO4", "vacancy", 0.35),
    System("maricite NaFePO4", "vacancy", 1.46),
    System("O3 LiCoO2", "vacancy", 0.672),
    System("O3 LiNiO2", "vacancy", 0.451),
    System("O3 NaCoO2", "vacancy", 0.38),
    System("O3' LiMnO2", "vacancy", 0.66),
    System("layered LiTiS2", "vacancy", 0.282),
    System("spinel LiMn2O4", "vacancy", 0.371),
    System("spinel MgMn2O4", "vacancy", 0.473),
    System("spinel ZnMn2O4", "vacancy", 0.871),
    System("tavorite LiVPO4F", "vacancy", 0.33),
    System("borate LiFeBO3", "vacancy", 0.223),
    System("silicate Li2FeSiO4", "vacancy", 0.88),
    System("olivine LiFePO4", "dilute", 0.20),
    System("spinel LiMn2O4", "dilute", 0.544),
    System("spinel MgMn2O4", "dilute", 0.776),
    System("anatase LiTiO2", "dilute", 0.50),
    System("Chevrel Mg2Mo6S8", "dilute", 0.27),
)


@dataclass(frozen=True)
class Row:
    """What was found of one system."""

    system: System
    atoms: int
    kinds: tuple[HopKind, ...]
    barriers: tuple[Barrier, ...]

    @property
    def levels(self) -> dict[int, Level]:
        """Lowest barrier by dimension."""
        known = {
            i: (b.barrier_eV, b.reverse_eV)
            for i, b in enumerate(self.barriers)
            if b.barrier_eV is not None and b.reverse_eV is not None
        }
        return percolation_levels(self.kinds, known)

    @property
    def error_eV(self) -> float | None:
        """Computed less published."""
        levels = self.levels
        return levels[1].barrier_eV - self.system.published_eV if 1 in levels else None


def hosts(systems: Sequence[System], workers: int) -> list[tuple[System, Prototype, Crystal]]:
    """Relaxed hosts; for the dilute limit the sites of the ions in the lattice of the relaxed empty host."""
    prototypes = [prototype(s.name) for s in systems]
    starts = [
        p.crystal if s.limit == "vacancy" else without(p.crystal, ion_sites(p.crystal, p.working_ion))
        for s, p in zip(systems, prototypes, strict=True)
    ]
    found: dict[int, Crystal] = {}
    for i, finished in relax_many(starts, RelaxSettings(max_steps=500), POTENTIAL, workers):
        if finished.relaxation is not None and finished.relaxation.converged:
            found[i] = finished.relaxation.crystal
        else:
            print(f"{systems[i].name}: the host did not relax", file=sys.stderr)
    return [
        (systems[i], prototypes[i], relaxed if systems[i].limit == "vacancy" else _refilled(prototypes[i], relaxed))
        for i, relaxed in sorted(found.items())
    ]


def _refilled(kind: Prototype, empty: Crystal) -> Crystal:
    sites = ion_sites(kind.crystal, kind.working_ion)
    return Crystal(
        numbers=(*empty.numbers, *(kind.crystal.numbers[i] for i in sites)),
        frac_coords=(*empty.frac_coords, *(kind.crystal.frac_coords[i] for i in sites)),
        lattice_A=empty.lattice_A,
    )


def search(hops: Sequence[Hop], kept: Path, workers: int) -> list[Barrier]:
    """Find the barriers; those that `kept` holds are not searched again."""
    settings, model = BarrierSettings(), potential_class(POTENTIAL).model_id
    keys = [job_key(hop, settings, model) for hop in hops]
    done: dict[str, Barrier] = {}
    if kept.exists():
        lines = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        done = {line["key"]: Barrier.model_validate(line["barrier"]) for line in lines}
    kept.parent.mkdir(parents=True, exist_ok=True)
    pool = open_pool(POTENTIAL, workers)
    try:
        for key, hop in zip(keys, hops, strict=True):
            if key not in done:
                pool.submit(key, hop, settings)
        while len(pool):
            finished = pool.wait()
            found = finished.outcome if isinstance(finished.outcome, Barrier) else Barrier(reason=finished.error)
            done[finished.job_id] = found
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": finished.job_id, "barrier": found.model_dump(mode="json")}) + "\n")
            print(f"{len(pool)} hops left", file=sys.stderr, flush=True)
    finally:
        pool.close()
    return [done[key] for key in keys]


def table(rows: Sequence[Row]) -> str:
    """One line a system, then the agreement."""
    lines = [
        "| electrode | limit | hops (A) | atoms | DFT (eV) | CHGNet (eV) | error | ways | CPU s |",
        "|---|---|---|---:|---:|---:|---:|---|---:|",
    ]
    for row in rows:
        levels = row.levels
        ours = f"{levels[1].barrier_eV:.2f}" if 1 in levels else "-"
        error = f"{row.error_eV:+.2f}" if row.error_eV is not None else "; ".join(b.reason for b in row.barriers)
        hops = ", ".join(f"{k.distance_A:.1f}" for k in row.kinds)
        cells = (row.system.name, row.system.limit, hops, str(row.atoms), f"{row.system.published_eV:.2f}", ours, error)
        seconds = sum(b.seconds for b in row.barriers)
        lines.append(f"| {' | '.join(cells)} | {_ways(levels)} | {seconds:.0f} |")
    good = [r for r in rows if r.error_eV is not None]
    errors = np.array([r.error_eV for r in good])
    published = np.array([r.system.published_eV for r in good])
    ours_eV = published + errors
    same_side = np.mean((published <= GOOD_eV) == (ours_eV <= GOOD_eV))
    lines += [
        "",
        f"{len(good)} barriers: mean absolute error {np.abs(errors).mean():.2f} eV, median "
        f"{np.median(np.abs(errors)):.2f}, bias {errors.mean():+.2f}, RMS {np.sqrt((errors**2).mean()):.2f}, rank "
        f"correlation {spearmanr(published, ours_eV).statistic:.2f}; "
        f"{100 * same_side:.0f} % on the same side of {GOOD_eV:g} eV.",
    ]
    return "\n".join(lines) + "\n"


def _ways(levels: dict[int, Level]) -> str:
    parts = []
    for dimension, level in sorted(levels.items()):
        shape = {1: "[{} {} {}]", 2: "({} {} {})"}.get(level.network.dimension, "")
        axes = " ".join(shape.format(*axis) for axis in level.network.axes)
        parts.append(f"{dimension}D {level.barrier_eV:.2f} {axes}".strip())
    return ", ".join(parts)


def main() -> int:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 means one for each core")
    parser.add_argument("--kinds", type=int, default=2, help="kinds of hops of each host, the shortest")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/barriers.md"))
    parser.add_argument("--only", nargs="*", default=[], help="names of prototypes")
    options = parser.parse_args()
    systems = [s for s in SYSTEMS if not options.only or s.name in options.only]
    relaxed = hosts(systems, options.workers)
    kinds = [hop_kinds(crystal, p.working_ion)[: options.kinds] for _, p, crystal in relaxed]
    hops = [
        [make_hop(crystal, p.working_ion, kind.edges[0], s.limit) for kind in some]
        for (s, p, crystal), some in zip(relaxed, kinds, strict=True)
    ]
    barriers = iter(search([hop for some in hops for hop in some], options.out.with_suffix(".jsonl"), options.workers))
    rows = [
        Row(s, some_hops[0].start.n_atoms, some, tuple(next(barriers) for _ in some))
        for (s, _, _), some, some_hops in zip(relaxed, kinds, hops, strict=True)
    ]
    text = table(rows)
    options.out.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
