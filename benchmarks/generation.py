"""How good and how fast the generators are, side by side, in one electrode-like chemistry.

    python benchmarks/generation.py                     # speed, validity, uniqueness, symmetry
    python benchmarks/generation.py --relax 100         # ... and the share that relaxes to near the hull and is novel
    python benchmarks/generation.py --generators flow,flow-along       # types before geometry, or along with it
    python benchmarks/generation.py --match 200         # match rate of flow on held-out formulas (shared data)

The measures are those of `redoxa evaluate` (`generators/evaluate`), which shows many more; here it is about speed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from ase.data import atomic_numbers

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.fingerprint import fingerprint, spacegroup
from redoxa.data.records import Crystal
from redoxa.data.tables.datasets import prepare, shared_dir
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.reference import load_reference
from redoxa.generators.base import Condition, Generator, generator_class
from redoxa.generators.evaluate.matching import compare, match_values
from redoxa.generators.evaluate.table import Sample
from redoxa.generators.evaluate.uniqueness import first_equals
from redoxa.generators.evaluate.validity import is_valid_structure, sanity_complaint
from redoxa.generators.evaluate.values import Value
from redoxa.generators.noise.flow import FlowGenerator
from redoxa.generators.noise.from_noise import NoiseSettings
from redoxa.pipeline.evaluate.relaxation import relax_all
from redoxa.pipeline.evaluate.stability import relaxed_rows, stability_values
from redoxa.pipeline.evaluate.truths import read_truths
from redoxa.screening.physics.hulls import Hulls

METALS = "Fe Mn Co Ni V Ti"
ANIONS = "P O F S"


@dataclass(frozen=True)
class Quality:
    """One generator's line of the table; shares are of all samples."""

    generator: str
    samples: int
    per_second: float
    cpu_s_per_sample: float
    valid: float
    sane: float
    unique: float
    inside: float
    neutral: float
    p1: float
    elements: float
    atoms: float


@dataclass(frozen=True)
class Relaxed:
    """What relaxation made of one generator's samples."""

    generator: str
    samples: int
    converged: float
    near_hull: float
    novel: float
    near_hull_and_novel: float
    cpu_s_per_hit: float
    median_hull_eV_per_atom: float
    median_drop_eV_per_atom: float


def condition_for(ion: str, max_atoms: int) -> Condition:
    """A charge-neutral cathode chemistry of one working ion."""
    allowed = frozenset(atomic_numbers[e] for e in [ion, *METALS.split(), *ANIONS.split()])
    return Condition(allowed, frozenset({atomic_numbers[ion]}), (), (4, max_atoms), charge_neutral=True)


def load_generator(name: str, checkpoint: Path | None) -> Generator:
    """A generator by its name in the registry; "flow-along" is the flow with types revealed on the way."""
    if name == "flow-along":
        return FlowGenerator(checkpoint, NoiseSettings(types="along"))
    kind = generator_class(name)
    return kind(checkpoint) if checkpoint is not None and name == "flow" else kind()


def sample_all(generator: Generator, n: int, condition: Condition, seed: int) -> tuple[list[Crystal], float, float]:
    """Sample, with wall and CPU seconds; a first small call pays for lazy imports."""
    generator.sample(2, condition, np.random.default_rng(seed + 1))
    wall, cpu = time.perf_counter(), time.process_time()
    batch, _ = generator.sample(n, condition, np.random.default_rng(seed))
    return batch.to_crystals(), time.perf_counter() - wall, time.process_time() - cpu


def quality(name: str, crystals: list[Crystal], condition: Condition, wall_s: float, cpu_s: float) -> Quality:
    """Measure one generator's samples."""
    n = len(crystals)
    twins = first_equals(crystals, [fingerprint(c) for c in crystals])
    return Quality(
        generator=name,
        samples=n,
        per_second=n / wall_s,
        cpu_s_per_sample=cpu_s / n,
        valid=sum(is_valid_structure(c) for c in crystals) / n,
        sane=sum(not sanity_complaint(c) for c in crystals) / n,
        unique=twins.count(None) / n,
        inside=sum(set(c.numbers) <= condition.allowed for c in crystals) / n,
        neutral=sum(is_charge_balanced(c.composition) for c in crystals) / n,
        p1=sum(spacegroup(c) <= 1 for c in crystals) / n,
        elements=float(np.mean([len(c.composition) for c in crystals])),
        atoms=float(np.mean([c.n_atoms for c in crystals])),
    )


def relax_samples(name: str, crystals: list[Crystal], cpu_s: float, limit_eV: float, work: Path) -> Relaxed:
    """Relax with CHGNet; count what lies within the limit of the hull and is no known material."""
    outcomes = relax_all(crystals, work, 0, lambda _done, _total: None)
    samples = [Sample(str(i), crystal) for i, crystal in enumerate(crystals)]
    rows = relaxed_rows(samples, outcomes, Hulls(load_reference()), load_known_materials())
    values = stability_values(rows, cpu_s)
    n = len(rows)
    hits = sum(row.relaxed_novel and bool(row.within(limit_eV)) for row in rows)
    seconds = cpu_s * n + sum(row.relax_seconds for row in rows)
    return Relaxed(
        generator=name,
        samples=n,
        converged=sum(row.converged for row in rows) / n,
        near_hull=sum(bool(row.within(limit_eV)) for row in rows) / n,
        novel=sum(row.relaxed_novel for row in rows) / n,
        near_hull_and_novel=hits / n,
        cpu_s_per_hit=seconds / hits if hits else float("inf"),
        median_hull_eV_per_atom=_or_nan(values["hull_median"]),
        median_drop_eV_per_atom=_or_nan(values["energy_drop_median"]),
    )


def match_rate(generator: Generator, n: int, seed: int, prepared: Path) -> tuple[float, float]:
    """Match@1 and RMSE of structure prediction on held-out crystals, one sample each, nothing filtered.

    The training data are half of MP-20's positions, so this is no comparison with published models.
    """
    drawn = read_truths(prepared, n, seed)
    contents = tuple(dict(Counter(crystal.numbers)) for crystal in drawn.crystals)
    batch, _ = generator.sample(len(contents), Condition(contents=contents), np.random.default_rng(seed))
    values = match_values(compare(drawn.crystals, [[crystal] for crystal in batch.to_crystals()]), 1)
    return _or_nan(values["match_at_1"]), _or_nan(values["rmse_at_1"])


def _or_nan(value: Value) -> float:
    return float("nan") if value.value is None else value.value


def show(rows: Sequence[Quality] | Sequence[Relaxed]) -> None:
    """Print rows as a table, one generator a column."""
    tables = [asdict(row) for row in rows]
    for key in tables[0]:
        cells = [f"{t[key]:.3g}" if isinstance(t[key], float) else str(t[key]) for t in tables]
        print(f"{key:28s}" + "".join(f"{cell:>16s}" for cell in cells))
    print()


def held_out_file(folder: Path) -> Path | None:
    """The prepared data, made where it is missing; None without the shared data."""
    path = folder / "data.safetensors"
    shared = shared_dir()
    if not path.exists() and shared is not None:
        prepare(shared / "datasets" / "mp_structures.parquet", path)
    return path if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, help="samples per generator")
    parser.add_argument("--ion", default="Li")
    parser.add_argument("--max-atoms", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--generators", default="orbits,flow,substitution")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint of flow, instead of the one that ships")
    parser.add_argument("--relax", type=int, default=0, metavar="N", help="relax the first N samples of each")
    parser.add_argument("--hull", type=float, default=0.1, help="eV/atom above the hull that count as near")
    parser.add_argument("--match", type=int, default=0, metavar="N", help="match rate of flow on N held-out crystals")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/benchmark"), help="folder for what is prepared and kept"
    )
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    condition = condition_for(options.ion, options.max_atoms)
    rows: list[Quality] = []
    relaxed: list[Relaxed] = []
    out: dict[str, object] = {}
    names = options.generators.split(",")
    samples: dict[str, tuple[list[Crystal], float]] = {}
    for name in names:
        generator = load_generator(name, options.checkpoint)
        crystals, wall_s, cpu_s = sample_all(generator, max(options.n, options.relax), condition, options.seed)
        samples[name] = crystals, cpu_s / len(crystals)
        rows.append(quality(name, crystals, condition, wall_s, cpu_s))
    print(f"{options.ion} + {METALS} {ANIONS}, 4 to {options.max_atoms} atoms, neutral; {options.threads} threads\n")
    show(rows)
    out["quality"] = [asdict(row) for row in rows]
    if options.match:
        prepared = held_out_file(options.work)
        if prepared is None:
            print("match rate: skipped, the shared data are not here\n")
        else:
            rate, error = match_rate(load_generator("flow", options.checkpoint), options.match, options.seed, prepared)
            print(f"match@1 of flow on {options.match} held-out crystals: {rate:.3f}, RMSE {error:.3f}")
            print("(trained on half the positions that published MP-20 models train on)\n")
            out["match"] = {"n": options.match, "rate": rate, "rmse": error}
    if options.relax:
        for name in names:
            crystals, cpu_s = samples[name]
            relaxed.append(relax_samples(name, crystals[: options.relax], cpu_s, options.hull, options.work))
        show(relaxed)
        out["relaxed"] = [asdict(row) for row in relaxed]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    if "OMP_WAIT_POLICY" not in os.environ:
        # OpenMP threads that spin while they wait make two threads ten times slower than one on a busy machine.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_WAIT_POLICY": "PASSIVE"})
    main()
