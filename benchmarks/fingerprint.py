"""Recall and precision of the structure fingerprint against pymatgen's StructureMatcher, on the shared crystal data.

    python benchmarks/fingerprint.py --pairs 1500

Pairs of one formula from the shared data are the hard case: the Materials Project lists them as different materials.
The distorted crystals are what a relaxation by another potential does to one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from redoxa.data.fingerprint import SAME, SAME_UNRELAXED, distance, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure
from redoxa.data.tables.datasets import shared_dir
from redoxa.screening.tables.tasks import dataset_tasks

MATCH_LIMIT_S = 5
"""Longest time for one StructureMatcher comparison; pairs beyond it are left out."""


class Late(Exception):  # noqa: N818
    """A comparison that took too long."""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def distorted(crystal: Crystal, sigma_A: float, strain: float, rng: np.random.Generator) -> Crystal:
    lattice = np.array(crystal.lattice_A)
    noise = rng.normal(0, strain, (3, 3))
    positions = np.array(crystal.frac_coords) @ lattice + rng.normal(0, sigma_A, (crystal.n_atoms, 3))
    return Crystal(
        numbers=crystal.numbers,
        frac_coords=(positions @ np.linalg.inv(lattice)).tolist(),
        lattice_A=(lattice @ (np.eye(3) + (noise + noise.T) / 2)).tolist(),
    )


def compare_pairs(crystals: list[Crystal], n_pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Fingerprint distance and StructureMatcher's normalised rms (NaN for no match) of pairs of one formula."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    groups = defaultdict(list)
    for crystal in crystals:
        groups[crystal.formula].append(crystal)
    buckets = [g for g in groups.values() if len(g) > 1]
    matcher = StructureMatcher()
    gaps, rms = [], []
    for i in rng.permutation(len(buckets)):
        pairs = list(itertools.combinations(buckets[i], 2))
        for j in rng.permutation(len(pairs))[:4]:
            a, b = pairs[j]
            try:
                with limit(MATCH_LIMIT_S):
                    found = matcher.get_rms_dist(to_structure(a), to_structure(b))
            except Late:
                continue
            gaps.append(distance(fingerprint(a), fingerprint(b)))
            rms.append(np.nan if found is None else found[0])
        if len(gaps) >= n_pairs:
            break
    return np.array(gaps), np.array(rms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--max-atoms", type=int, default=28)
    arguments = parser.parse_args()
    folder = shared_dir()
    if folder is None:
        raise SystemExit("the shared crystal data is not beside the checkout (REDOXA_SHARED names it)")
    rng = np.random.default_rng(0)
    tasks = (
        t for name in ("mp_structures", "li_electrodes") for t in dataset_tasks(folder / "datasets" / f"{name}.parquet")
    )
    crystals = [t.crystal for t in tasks if t.crystal.n_atoms <= arguments.max_atoms]
    gaps, rms = compare_pairs(crystals, arguments.pairs, rng)
    equal, close = np.isfinite(rms), rms < 0.05
    sample = [crystals[i] for i in rng.permutation(len(crystals))[:300]]
    started = time.perf_counter()
    marks = [fingerprint(c) for c in sample]
    result: dict[str, object] = {
        "fingerprint_ms": round(1000 * (time.perf_counter() - started) / len(sample), 2),
        "pairs_of_one_formula": len(gaps),
        "equal_by_StructureMatcher": int(equal.sum()),
        "of_these_within_rms_0.05": int(close.sum()),
    }
    for name, tolerance in (("SAME", SAME), ("SAME_UNRELAXED", SAME_UNRELAXED)):
        result[f"{name} = {tolerance}"] = {
            "recall_rms_below_0.05": round(float((gaps[close] <= tolerance).mean()), 3),
            "recall_all_matches": round(float((gaps[equal] <= tolerance).mean()), 3),
            "false_matches_of_different_pairs": round(float((gaps[~equal] <= tolerance).mean()), 3),
        }
    for sigma_A, strain in ((0.02, 0.01), (0.05, 0.02), (0.08, 0.03)):
        moved = [
            distance(m, fingerprint(distorted(c, sigma_A, strain, rng))) for m, c in zip(marks, sample, strict=True)
        ]
        result[f"recall after noise of {sigma_A} A and {strain:.0%} strain"] = {
            "SAME": round(float((np.array(moved) <= SAME).mean()), 3),
            "SAME_UNRELAXED": round(float((np.array(moved) <= SAME_UNRELAXED).mean()), 3),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
