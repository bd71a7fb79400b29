"""How good and how fast the generators are, side by side, in one electrode-like chemistry.

    python benchmarks/generation.py                     # speed, validity, uniqueness, symmetry
    python benchmarks/generation.py --relax 100         # ... and the share that relaxes to near the hull and is novel
    python benchmarks/generation.py --generators flow,flow-along       # types before geometry, or along with it
    python benchmarks/generation.py --match 200         # match rate of flow on held-out formulas (shared data)

Validity is CDVAE's (arXiv:2110.06197): no two atoms nearer than 0.5 A, at least 0.1 A3. "Sane" is stricter: contacts
of at least 0.7 sums of covalent radii and a packing as in real crystals. Uniqueness: pymatgen's `StructureMatcher`
within equal formulas.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from ase.data import atomic_numbers
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from data.chemistry import is_charge_balanced
from data.datasets import load, prepare, shared_dir
from data.fingerprint import spacegroup
from data.records import Crystal
from data.registry import load as load_kind
from data.structures import to_structure
from generators import GENERATORS
from generators.base import Condition, Generator
from generators.flow import FlowGenerator, FlowSettings
from generators.sanity import SanityLimits, is_sane

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
        return FlowGenerator(checkpoint, FlowSettings(types="along"))
    kind: Callable[..., Generator] = load_kind(GENERATORS, "generator", name)
    return kind(checkpoint) if checkpoint is not None and name == "flow" else kind()


def sample_all(generator: Generator, n: int, condition: Condition, seed: int) -> tuple[list[Crystal], float, float]:
    """Sample, with wall and CPU seconds; a first small call pays for lazy imports."""
    generator.sample(2, condition, np.random.default_rng(seed + 1))
    wall, cpu = time.perf_counter(), time.process_time()
    batch, _ = generator.sample(n, condition, np.random.default_rng(seed))
    return batch.to_crystals(), time.perf_counter() - wall, time.process_time() - cpu


def is_valid(structure: Structure) -> bool:
    """CDVAE's structural validity."""
    distances = structure.distance_matrix + np.diag(np.full(len(structure), 10.0))
    return bool(distances.min() >= 0.5 and structure.volume >= 0.1)


def unique_count(crystals: Sequence[Crystal]) -> int:
    """Crystals left when those that match an earlier one of the same reduced formula are dropped."""
    matcher = StructureMatcher()
    groups: dict[str, list[Structure]] = defaultdict(list)
    for crystal in crystals:
        kept = groups[crystal.formula]
        structure = to_structure(crystal)
        if not any(matcher.fit(structure, other) for other in kept):
            kept.append(structure)
    return sum(map(len, groups.values()))


def sane_share(crystals: Sequence[Crystal]) -> float:
    """Share of crystals within the flow's limits of contact and packing."""
    limits, good = SanityLimits(), 0
    for crystal in crystals:
        numbers, coords, lattice = (
            torch.tensor([x]) for x in (crystal.numbers, crystal.frac_coords, crystal.lattice_A)
        )
        good += int(is_sane(numbers, coords, lattice, limits)[0])
    return good / len(crystals)


def quality(name: str, crystals: list[Crystal], condition: Condition, wall_s: float, cpu_s: float) -> Quality:
    """Measure one generator's samples."""
    n = len(crystals)
    return Quality(
        generator=name,
        samples=n,
        per_second=n / wall_s,
        cpu_s_per_sample=cpu_s / n,
        valid=sum(is_valid(to_structure(c)) for c in crystals) / n,
        sane=sane_share(crystals),
        unique=unique_count(crystals) / n,
        inside=sum(set(c.numbers) <= condition.allowed for c in crystals) / n,
        neutral=sum(is_charge_balanced(c.composition) for c in crystals) / n,
        p1=sum(spacegroup(c) <= 1 for c in crystals) / n,
        elements=float(np.mean([len(c.composition) for c in crystals])),
        atoms=float(np.mean([c.n_atoms for c in crystals])),
    )


def relax_samples(name: str, crystals: list[Crystal], generation_cpu_s: float, limit_eV: float) -> Relaxed:
    """Relax with CHGNet; count what lies within the limit of the hull and is no known material."""
    from data.reference import load_reference
    from data.tables import load_known_materials
    from screening.pool import relax_many
    from screening.potential import load_potential
    from screening.stability import Hulls

    hulls, known, potential = Hulls(load_reference()), load_known_materials(), load_potential()
    heights: list[float] = []
    drops: list[float] = []
    seconds, novel, hits, near = generation_cpu_s, 0, 0, 0
    for index, finished in relax_many(crystals):
        relaxation = finished.relaxation
        seconds += relaxation.seconds if relaxation is not None else 0.0
        if relaxation is None or not relaxation.converged:
            continue
        found = hulls.distance(relaxation.crystal.composition, relaxation.energy_eV_per_atom)
        match = known.nearest(relaxation.crystal)
        is_new = match is None or match.level != "structure"
        height = found.value_eV_per_atom if found is not None else np.nan
        heights.append(height)
        start = potential.compute(crystals[index], forces=False).energy_eV / crystals[index].n_atoms
        drops.append(start - relaxation.energy_eV_per_atom)
        novel += is_new
        near += height <= limit_eV
        hits += is_new and height <= limit_eV
    n = len(crystals)
    return Relaxed(
        generator=name,
        samples=n,
        converged=len(heights) / n,
        near_hull=near / n,
        novel=novel / n,
        near_hull_and_novel=hits / n,
        cpu_s_per_hit=seconds / hits if hits else float("inf"),
        median_hull_eV_per_atom=float(np.nanmedian(heights)) if heights else float("nan"),
        median_drop_eV_per_atom=float(np.median(drops)) if drops else float("nan"),
    )


def match_rate(generator: Generator, n: int, seed: int, prepared: Path) -> tuple[float, float]:
    """Match@1 and RMSE of structure prediction on held-out crystals, one sample each, nothing filtered.

    The training data are half of MP-20's positions, so this is no comparison with published models.
    """
    data = load(prepared)
    held_out = list(data.subset(data.held_out))[:n]
    contents = tuple(
        {int(z): int(count) for z, count in zip(*np.unique(numbers, return_counts=True), strict=True)}
        for numbers, _, _ in held_out
    )
    batch, _ = generator.sample(len(held_out), Condition(contents=contents), np.random.default_rng(seed))
    matcher = StructureMatcher(stol=0.5, ltol=0.3, angle_tol=10)
    errors = []
    for crystal, (numbers, frac, cell) in zip(batch.to_crystals(), held_out, strict=True):
        found = matcher.get_rms_dist(to_structure(crystal), Structure(cell, numbers, frac))
        if found is not None:
            errors.append(found[0])
    return len(errors) / len(held_out), float(np.mean(errors)) if errors else float("nan")


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
    parser.add_argument("--generators", default="flow,substitution")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint of flow, instead of the one that ships")
    parser.add_argument("--relax", type=int, default=0, metavar="N", help="relax the first N samples of each")
    parser.add_argument("--hull", type=float, default=0.1, help="eV/atom above the hull that count as near")
    parser.add_argument("--match", type=int, default=0, metavar="N", help="match rate of flow on N held-out crystals")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"), help="folder for prepared data")
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
            relaxed.append(relax_samples(name, crystals[: options.relax], cpu_s * options.relax, options.hull))
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
