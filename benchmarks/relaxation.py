"""Relaxation throughput: our workers against a stock CHGNet StructOptimizer loop and against matcalc.

Usage: python benchmarks/relaxation.py [-n 24] [--workers 2] [--matcalc-python PATH] [--out FILE]

The same structures for all: Li and Na oxides of 4 to 16 atoms in ../shared/datasets/mp_structures.parquet (or else
the prototype library), atoms moved by 0.08 A and cells strained by 3 %, with a fixed seed; fmax 0.05 eV/A, Frechet cell
filter for the others, deformation gradient for ours. Loading of models and starting of processes is timed apart. The
stock loop runs in one process of two threads, matcalc like ours in two processes of one thread; matcalc is no
dependency, so it is run by the interpreter that `--matcalc-python` names, or left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from redoxa.data.records import Crystal
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.prototypes import load_prototypes
from redoxa.data.whole import whole

FMAX_eV_A = 0.05
STEPS = 500
SEED = 20261121
APART_meV = 5.0
"""By atom: structures whose final energies differ by more are named."""


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


def other(way: str, crystals: Sequence[Crystal], python: str, processes: int, threads: int) -> Timing:
    """`relaxation_others.py` in an interpreter of its own, so many processes of so many threads."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(json.dumps([c.model_dump(mode="json") for c in crystals]))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        script = str(Path(__file__).with_name("relaxation_others.py"))
        limits = ["--processes", str(processes), "--fmax", str(FMAX_eV_A), "--steps", str(STEPS)]
        subprocess.run([python, script, way, given, taken, *limits], env=environment, check=True)
        found = json.loads(taken.read_text())
    return Timing(found["start_s"], found["work_s"], [Outcome(**o) for o in found["outcomes"]])


def has_matcalc(python: str) -> bool:
    """Whether an interpreter can import matcalc and CHGNet."""
    code = "import importlib.util as u, sys; sys.exit(not (u.find_spec('matcalc') and u.find_spec('chgnet')))"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def ours(crystals: Sequence[Crystal], workers: int) -> Timing:
    """The relaxation workers of the screening, warm."""
    from redoxa.screening.compute.relax import RelaxSettings
    from redoxa.screening.workers.pool import WorkerPool

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


def pass_seconds(crystal: Crystal) -> float:
    """Least of five forward and backward passes of the network at one geometry, its neighbours given."""
    import torch

    torch.set_num_threads(1)
    from redoxa.screening.potentials.chgnet import edge_index, load_network

    network = load_network("0.3.0")
    numbers, frac, lattice = (np.array(x) for x in (crystal.numbers, crystal.frac_coords, crystal.lattice_A))
    edges = edge_index(numbers, frac, lattice, network.atom_cutoff_A, network.bond_cutoff_A)
    coords, cell = (torch.tensor(x, dtype=torch.float32, requires_grad=True) for x in (frac, lattice))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        energy, _, _ = network(torch.as_tensor(numbers), coords, cell, edges)
        torch.autograd.grad(energy, (coords, cell))
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def floor(crystals: Sequence[Crystal], run: Timing, workers: int) -> str:
    """What the passes of the network alone would take, as many processes at work as in the run."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        passes_s = np.array(list(pool.map(pass_seconds, crystals)))
    calls, atoms = np.array([o.steps for o in run.outcomes]), np.array([c.n_atoms for c in crystals])
    least_s = float(passes_s @ calls) / workers
    edges = [(4, 8), (9, 12), (13, 16)]
    groups = [(low, high, (atoms >= low) & (atoms <= high)) for low, high in edges]
    by_size = [f"{low}-{high} atoms {1000 * passes_s[g].mean():.0f} ms" for low, high, g in groups if g.any()]
    return (
        f"One forward and one backward pass on one thread: {', '.join(by_size)}. Times the force calls taken, over "
        f"{workers} processes: {least_s:.1f} s, {100 * least_s / run.work_s:.0f} % of the wall time. The rest is "
        "neighbour lists, optimiser, messages, and the wait for the last structure."
    )


def compared(ours_run: Timing, other_run: Timing, name: str) -> list[str]:
    """Throughput ratio and final energies against one other way."""
    both = [
        (i, 1000 * (a.energy_eV_per_atom - b.energy_eV_per_atom))
        for i, (a, b) in enumerate(zip(ours_run.outcomes, other_run.outcomes, strict=True))
        if a.converged and b.converged
    ]
    gap_meV = np.array([gap for _, gap in both])
    size_meV = np.abs(gap_meV)
    apart = [f"{i} ({gap:+.1f})" for i, gap in both if abs(gap) > APART_meV]
    return [
        f"Against {name}: throughput ratio **{other_run.work_s / ours_run.work_s:.1f}**. Final energy, ours less "
        f"theirs, of {len(both)} converged in both: mean {gap_meV.mean():+.2f}, mean absolute {size_meV.mean():.2f}, "
        f"median absolute {np.median(size_meV):.2f}, highest {gap_meV.max():+.1f}, lowest {gap_meV.min():+.1f} "
        f"meV/atom. More than {APART_meV:g} meV/atom apart: {', '.join(apart) or 'none'}.",
        "",
    ]


def table(runs: Mapping[str, Timing], crystals: Sequence[Crystal], source: str, workers: int) -> str:
    """All ways side by side, ours last, and how far the final energies lie apart."""
    *others, (_, ours_run) = runs.items()
    lines = [
        f"{len(crystals)} structures ({source}), 4 to 16 atoms, moved 0.08 A and strained 3 %, fmax {FMAX_eV_A} eV/A",
        "",
        "| way | start (s) | relaxation (s) | force calls | converged | structures/min |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, run in runs.items():
        calls, converged = sum(o.steps for o in run.outcomes), sum(o.converged for o in run.outcomes)
        rate = 60 * len(crystals) / run.work_s
        lines.append(f"| {name} | {run.start_s:.1f} | {run.work_s:.1f} | {calls} | {converged} | {rate:.1f} |")
    lines.append("")
    for name, run in others:
        lines += compared(ours_run, run, name)
    lines.append(floor(crystals, ours_run, workers))
    names = [f"{i}: {c.formula}, {c.n_atoms} atoms" for i, c in enumerate(crystals)]
    return "\n".join([*lines, "", "Structures: " + "; ".join(names)]) + "\n"


def main() -> int:
    """Run all ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=24, help="structures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="threads of the stock loop")
    parser.add_argument("--matcalc-python", default=sys.executable, help="an interpreter with matcalc and CHGNet")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/relaxation.md"))
    options = parser.parse_args()
    crystals, source = structures(options.n)
    ours_run = ours(crystals, options.workers)
    runs = {
        f"stock StructOptimizer, FIRE, {options.threads} threads": other(
            "stock", crystals, sys.executable, 1, options.threads
        )
    }
    if has_matcalc(options.matcalc_python):
        name = f"matcalc RelaxCalc, FIRE, {options.workers} processes"
        runs[name] = other("matcalc", crystals, options.matcalc_python, options.workers, 1)
    else:
        print(f"matcalc is left out: {options.matcalc_python} cannot import matcalc and CHGNet (--matcalc-python)")
    runs[f"Redoxa, L-BFGS, {options.workers} processes"] = ours_run
    text = table(runs, crystals, source, options.workers)
    with whole(options.out) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
