"""Relaxation within the symmetry: one each of equivalent atoms, bonds and angles against all of them.

    python -m benchmarks.symmetric [-n 60] [--relaxations 28] [--out runs/benchmarks/symmetric.md]

Shipped templates at random, as many of each crystal system, 3 % too large in each direction. Processor time on one
thread: of one call with forces and stress (the best of five), and of whole relaxations, the same method both ways.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from redoxa.data.records import Crystal
from redoxa.data.symmetry.site_symmetry import site_symmetry
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import LAST_GROUP, SymmetricCrystal, crystal_system
from redoxa.data.whole import whole
from redoxa.screening.compute.symmetric_relax import relax_symmetric
from redoxa.screening.potentials.base import PointResult
from redoxa.screening.potentials.chgnet import MAX_ATOMIC_NUMBER, Chgnet

SIZES = ((1, 6), (7, 12), (13, 20))
"""Atoms in the primitive cell, from and to: rows of the table."""


class AllAtoms:
    """CHGNet that makes nothing of symmetry."""

    name, model_id, energy_scale = Chgnet.name, Chgnet.model_id, Chgnet.energy_scale
    energy_mae_eV_per_atom = Chgnet.energy_mae_eV_per_atom

    def __init__(self, chgnet: Chgnet) -> None:
        self._chgnet = chgnet

    def compute(self, crystal: Crystal, forces: bool = True) -> PointResult:
        """As CHGNet does."""
        return self._chgnet.compute(crystal, forces)


@dataclass(frozen=True)
class Timed:
    """One crystal: its sizes, processor time of a call both ways (ms), and how far the energies lie apart."""

    atoms: int
    orbits: int
    all_ms: float
    some_ms: float
    apart_eV_per_atom: float


def forms(n: int) -> list[SymmetricCrystal]:
    """Templates of all crystal systems in turn, swollen by 3 %."""
    table = load_templates()
    found: dict[str, list[SymmetricCrystal]] = {system: [] for system in LAST_GROUP.values()}
    each = -(-n // len(found))
    for i in np.random.default_rng(0).permutation(len(table)):
        taken = found[crystal_system(int(table.groups[i]))]
        if len(taken) < each and max(table[i].composition) <= MAX_ATOMIC_NUMBER:
            form = table[i].form
            taken.append(replace(form, lengths_A=tuple(1.03 * a for a in form.lengths_A)))
    return [form for row in zip(*found.values(), strict=True) for form in row][:n]


def best_ms(call: Callable[[], PointResult]) -> float:
    """Processor time of the best of five calls."""
    times = []
    for _ in range(5):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return 1000 * min(times)


def timed(form: SymmetricCrystal, chgnet: Chgnet) -> Timed:
    """One call both ways."""
    crystal, symmetry = form.to_crystal(), site_symmetry(form)
    apart = chgnet.compute(crystal).energy_eV - chgnet.compute_symmetric(crystal, symmetry).energy_eV
    return Timed(
        crystal.n_atoms,
        len(form.orbits),
        best_ms(lambda: chgnet.compute(crystal)),
        best_ms(lambda: chgnet.compute_symmetric(crystal, symmetry)),
        abs(apart) / crystal.n_atoms,
    )


def calls_table(rows: Sequence[Timed]) -> list[str]:
    """Means by size and by atoms for each orbit."""
    lines = [
        "| atoms N | atoms by orbit N/O | crystals | all atoms (ms) | one of each (ms) | ratio |",
        "|---|---|---:|---:|---:|---:|",
    ]
    groups = [
        (f"{low}-{high}", name, [r for r in rows if low <= r.atoms <= high and least <= r.atoms / r.orbits < most])
        for low, high in SIZES
        for name, least, most in (("below 2", 0, 2), ("2 to 4", 2, 4), ("4 and more", 4, np.inf))
    ]
    larger = [r for r in rows if r.atoms > SIZES[-1][1]]
    for size, name, group in [*groups, (f"over {SIZES[-1][1]}", "any", larger), ("all", "any", list(rows))]:
        if group:
            all_ms, some_ms = (float(np.mean(x)) for x in zip(*((r.all_ms, r.some_ms) for r in group), strict=True))
            lines.append(f"| {size} | {name} | {len(group)} | {all_ms:.1f} | {some_ms:.1f} | {all_ms / some_ms:.1f} |")
    apart = max(r.apart_eV_per_atom for r in rows)
    return [*lines, "", f"Energies lie at most {apart:.1e} eV/atom apart."]


def relaxations_table(chosen: Sequence[SymmetricCrystal], chgnet: Chgnet) -> list[str]:
    """Seconds and calls of whole relaxations both ways."""
    plain = [relax_symmetric(form, AllAtoms(chgnet)) for form in chosen]
    spared = [relax_symmetric(form, chgnet) for form in chosen]
    lines = ["| way | relaxations | calls | converged | processor time (s) |", "|---|---:|---:|---:|---:|"]
    for name, done in (("all atoms", plain), ("one of each", spared)):
        calls, converged, seconds = (
            sum(x) for x in zip(*((r.force_calls, r.converged, r.seconds) for r in done), strict=True)
        )
        lines.append(f"| {name} | {len(done)} | {calls} | {converged} | {seconds:.1f} |")
    apart = max(abs(a.energy_eV - b.energy_eV) / a.crystal.n_atoms for a, b in zip(plain, spared, strict=True))
    return [*lines, "", f"Final energies lie at most {1000 * apart:.2f} meV/atom apart."]


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=60, help="crystals of which one call is timed")
    parser.add_argument("--relaxations", type=int, default=28, help="of how many of them the relaxation is")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/symmetric.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    chgnet, chosen = Chgnet(), forms(options.n)
    lines = [*calls_table([timed(form, chgnet) for form in chosen]), ""]
    lines += relaxations_table(chosen[: options.relaxations], chgnet)
    text = "\n".join(lines) + "\n"
    with whole(options.out) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
