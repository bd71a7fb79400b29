"""Relaxation throughput: a stock CHGNet StructOptimizer loop (2 threads) against our workers (2 processes).

Usage: python benchmarks/relaxation.py [-n 24] [--workers 2] [--out runs/benchmarks/relaxation.md]

The same structures for both: Li and Na oxides of 4 to 16 atoms in ../shared/datasets/mp_structures.parquet (or else
the prototype library), atoms moved by 0.08 A and cells strained by 3 %, with a fixed seed; fmax 0.05 eV/A, Frechet cell
filter for stock, deformation gradient for ours. Loading of models and starting of processes is timed apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.datasets import shared_dir
from data.prototypes import load_prototypes
from data.records import Crystal

FMAX_eV_A = 0.05
STEPS = 500
SEED = 20261121


@dataclass(frozen=True)
class Outcome:
    """One relaxation: energy in eV/atom, steps and whether it converged."""

    energy_eV_per_atom: float
    steps: int
    converged: bool


@dataclass(frozen=True)
class Timing:
    """A whole run: seconds to get ready, seconds of relaxation, outcomes in the order of the structures."""

    start_s: float
    work_s: float
    outcomes: list[Outcome]


def structures(count: int) -> tuple[list[Crystal], str]:
    """Perturbed crystals and where they come from."""
    rng = np.random.default_rng(SEED)
    shared = shared_dir()
    if shared is not None:
        import pandas as pd

        frame = pd.read_parquet(shared / "datasets" / "mp_structures.parquet")
        fits = frame["n_atoms"].between(4, 16) & frame["atomic_numbers"].map(lambda z: 8 in z and (3 in z or 11 in z))
        rows = frame[fits].sort_values("material_id").sample(count, random_state=SEED)
        plain = [
            Crystal(numbers=z, frac_coords=np.reshape(f, (-1, 3)).tolist(), lattice_A=np.reshape(c, (3, 3)).tolist())
            for z, f, c in zip(rows["atomic_numbers"], rows["frac_coords"], rows["cell"], strict=True)
        ]
        source = "Materials Project oxides"
    else:
        small = [p.crystal for p in load_prototypes() if p.crystal.n_atoms <= 16]
        plain = [small[i % len(small)] for i in range(count)]
        source = "prototype library"
    return [perturbed(crystal, rng) for crystal in plain], source


def perturbed(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Atoms moved by normal numbers of 0.08 A, cell strained by symmetric normal numbers of 3 %."""
    cell = np.array(crystal.lattice_A)
    shift = rng.normal(0, 0.08, (crystal.n_atoms, 3)) @ np.linalg.inv(cell)
    random = rng.normal(0, 0.03, (3, 3))
    return Crystal(
        numbers=crystal.numbers,
        frac_coords=(np.array(crystal.frac_coords) + shift).tolist(),
        lattice_A=(cell @ (np.eye(3) + (random + random.T) / 2)).tolist(),
    )


def stock(crystals: Sequence[Crystal]) -> Timing:
    """The loop that CHGNet's documentation shows. Runs in a process of its own (`--stock`)."""
    import contextlib
    import io
    import warnings

    from data.structures import to_atoms

    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from chgnet.model import StructOptimizer

        relaxer = StructOptimizer(use_device="cpu")
        relaxer.relax(to_atoms(crystals[0]), fmax=FMAX_eV_A, steps=1, verbose=False)
        ready = time.perf_counter()
        outcomes = []
        for crystal in crystals:
            done = relaxer.relax(to_atoms(crystal), fmax=FMAX_eV_A, steps=STEPS, verbose=False)
            path = done["trajectory"]
            outcomes.append(Outcome(float(path.energies[-1]) / crystal.n_atoms, len(path), len(path) <= STEPS))
    return Timing(ready - started, time.perf_counter() - ready, outcomes)


def stock_apart(crystals: Sequence[Crystal], threads: int) -> Timing:
    """`stock` in its own process with that many threads."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(json.dumps([c.model_dump(mode="json") for c in crystals]))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        subprocess.run([sys.executable, __file__, "--stock", given, taken], env=environment, check=True)
        found = json.loads(taken.read_text())
    return Timing(found["start_s"], found["work_s"], [Outcome(**o) for o in found["outcomes"]])


def ours(crystals: Sequence[Crystal], workers: int) -> Timing:
    """The relaxation workers of the screening, warm."""
    from screening.pool import WorkerPool
    from screening.relax import RelaxSettings

    settings = RelaxSettings(fmax_eV_A=FMAX_eV_A, max_steps=STEPS)
    started = time.perf_counter()
    with WorkerPool("chgnet", workers) as pool:
        for i in range(workers):
            pool.submit(f"warm {i}", crystals[0], RelaxSettings(max_steps=1))
        for _ in range(workers):
            pool.wait()
        ready = time.perf_counter()
        for i, crystal in enumerate(crystals):
            pool.submit(str(i), crystal, settings)
        done = {f.job_id: f.relaxation for f in (pool.wait() for _ in crystals)}
        work_s = time.perf_counter() - ready
    relaxed = [done[str(i)] for i in range(len(crystals))]
    outcomes = [Outcome(r.energy_eV_per_atom, r.force_calls, r.converged) for r in relaxed if r is not None]
    return Timing(ready - started, work_s, outcomes)


def table(stock_run: Timing, our_run: Timing, source: str, workers: int) -> str:
    """Both runs side by side, and how far the final energies lie apart."""
    count = len(stock_run.outcomes)
    pairs = list(zip(stock_run.outcomes, our_run.outcomes, strict=True))
    both = np.array([[a.energy_eV_per_atom, b.energy_eV_per_atom] for a, b in pairs if a.converged and b.converged])
    gap_meV = 1000 * (both[:, 1] - both[:, 0])
    lines = [
        f"{count} structures ({source}), 4 to 16 atoms, moved 0.08 A and strained 3 %, fmax {FMAX_eV_A} eV/A",
        "",
        "| way | start (s) | relaxation (s) | force calls | converged | structures/min |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    ways = (("stock StructOptimizer, FIRE, 2 threads", stock_run), (f"Redoxa, L-BFGS, {workers} processes", our_run))
    for name, run in ways:
        calls, converged = sum(o.steps for o in run.outcomes), sum(o.converged for o in run.outcomes)
        rate = 60 * count / run.work_s
        lines.append(f"| {name} | {run.start_s:.1f} | {run.work_s:.1f} | {calls} | {converged} | {rate:.1f} |")
    lines += [
        "",
        f"Throughput ratio **{stock_run.work_s / our_run.work_s:.1f}**. Final energy, ours less stock, of {len(both)} "
        f"converged in both: mean {gap_meV.mean():+.2f}, mean absolute {np.abs(gap_meV).mean():.2f}, "
        f"largest {gap_meV[np.abs(gap_meV).argmax()]:+.1f} meV/atom.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=24, help="structures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="threads of the stock loop")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/relaxation.md"))
    parser.add_argument("--stock", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stock:
        given, taken = options.stock
        taken.write_text(json.dumps(asdict(stock([Crystal.model_validate(c) for c in json.loads(given.read_text())]))))
        return 0
    crystals, source = structures(options.n)
    ours_run = ours(crystals, options.workers)
    text = table(stock_apart(crystals, options.threads), ours_run, source, options.workers)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
