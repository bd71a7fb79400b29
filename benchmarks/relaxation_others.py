"""The ways that `relaxation.py` compares with, timed: stock CHGNet and matcalc. Needs nothing of ours.

Usage: python benchmarks/relaxation_others.py stock|matcalc IN.json OUT.json --processes N --fmax eV/A --steps N

So any interpreter with CHGNet (and matcalc) can run it. IN holds a list of crystals with `numbers`, `frac_coords` and
`lattice_A`; OUT gets the seconds to get ready and to relax, and of each crystal energy (eV/atom), force calls and
whether the relaxation ended before its last step.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ase import Atoms

Relax = Callable[[Atoms, float, int], tuple[float, int]]
"""Atoms, fmax in eV/A and steps -> energy of the cell in eV, force calls."""


def stock() -> Relax:
    """`StructOptimizer` as CHGNet's documentation shows it (FIRE, Frechet cell filter)."""
    from chgnet.model import StructOptimizer

    optimizer = StructOptimizer(use_device="cpu")

    def relax(atoms: Atoms, fmax_eV_A: float, steps: int) -> tuple[float, int]:
        path = optimizer.relax(atoms, fmax=fmax_eV_A, steps=steps, verbose=False)["trajectory"]
        return float(path.energies[-1]), len(path)

    return relax


def matcalc() -> Relax:
    """`matcalc.RelaxCalc` as it comes (FIRE, Frechet cell filter) with CHGNet's own ASE calculator."""
    from chgnet.model import CHGNetCalculator
    from matcalc import RelaxCalc  # type: ignore[import-not-found]  # no dependency

    class Counting(CHGNetCalculator):  # type: ignore[misc]  # untyped
        calls = 0

        def calculate(self, *args: Any, **kwargs: Any) -> None:
            self.calls += 1
            super().calculate(*args, **kwargs)

    calculator = Counting(use_device="cpu")

    def relax(atoms: Atoms, fmax_eV_A: float, steps: int) -> tuple[float, int]:
        before = calculator.calls
        done = RelaxCalc(calculator, fmax=fmax_eV_A, max_steps=steps).calc(atoms)
        return float(done["energy"]), calculator.calls - before

    return relax


WAYS = {"stock": stock, "matcalc": matcalc}


@cache
def loaded(way: str) -> Relax:
    """The way, loaded once a process."""
    return WAYS[way]()


def warm(way: str, crystal: dict[str, Any], everyone: Any) -> None:
    """Load the model and call it once; then wait until all processes have, so that each does this once."""
    relaxed(way, crystal, 1.0, 1)
    if everyone is not None:
        everyone.wait()


def relaxed(way: str, crystal: dict[str, Any], fmax_eV_A: float, steps: int) -> dict[str, Any]:
    """Outcome of one relaxation."""
    atoms = Atoms(
        numbers=crystal["numbers"], scaled_positions=crystal["frac_coords"], cell=crystal["lattice_A"], pbc=True
    )
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        energy_eV, calls = loaded(way)(atoms, fmax_eV_A, steps)
    return {"energy_eV_per_atom": energy_eV / len(atoms), "steps": calls, "converged": calls <= steps}


def main() -> int:
    """Time one way. With one process it runs here, with the threads the environment allows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("given", type=Path)
    parser.add_argument("taken", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--fmax", type=float, required=True)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args()
    crystals = json.loads(options.given.read_text())
    jobs = [(options.way, crystal, options.fmax, options.steps) for crystal in crystals]
    started = time.perf_counter()
    if options.processes == 1:
        warm(options.way, crystals[0], None)
        ready = time.perf_counter()
        outcomes = [relaxed(*job) for job in jobs]
    else:
        spawn = multiprocessing.get_context("spawn")
        everyone = spawn.Barrier(options.processes + 1)
        with spawn.Pool(options.processes, warm, (options.way, crystals[0], everyone)) as pool:
            everyone.wait()
            ready = time.perf_counter()
            outcomes = pool.starmap(relaxed, jobs, chunksize=1)
    timing = {"start_s": ready - started, "work_s": time.perf_counter() - ready, "outcomes": outcomes}
    options.taken.write_text(json.dumps(timing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
