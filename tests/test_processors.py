"""Results are the same whatever instructions numpy finds: with AVX-512 its sorts order equal values differently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__ as FEATURES

ROOT = Path(__file__).parents[1]

NARROW = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
"""Features that are switched off, those of them that this processor and this numpy know."""

FINGERPRINTS = """
from redoxa.data.fingerprint import fingerprint
from redoxa.data.tables.prototypes import build_crystal, load_prototypes
crystals = [p.crystal for p in load_prototypes()]
crystals += [build_crystal("P4_2/mnm", (4.593, 4.593, 2.959, 90, 90, 90), ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)])[0]]
print(json.dumps([x for c in crystals for x in fingerprint(c).vector.tolist()]))
"""

ELECTRODES = """
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.ions.removal import ion_sites, supercell, without
names = ["O3 LiCoO2", "P2 NaCoO2", "chain Li2CuO2", "layered LiTiS2", "spinel LiMn2O4", "chain Ca3Co2O6"]
hosts = [(prototype(name).crystal, prototype(name).working_ion) for name in names]
"""

ORDERINGS = """
from redoxa.screening.ions import orderings
usual = orderings.MAX_ENUMERATED
for enumerated in (20_000, 0):  # all of them, then annealing
    orderings.MAX_ENUMERATED = enumerated
    cells = [(supercell(crystal, 4 if crystal.n_atoms < 5 else 1), ion) for crystal, ion in hosts]
    sites = [ion_sites(crystal, ion) for crystal, ion in cells]
    found = [orderings.lowest_orderings(c, s, len(s) // 2, 4) for (c, _), s in zip(cells, sites)]
    print(json.dumps([x for one in found for choice in one.choices for x in choice]))
orderings.MAX_ENUMERATED = usual
"""

EMPTY_SITES = """
from redoxa.screening.ions.empty_sites import empty_sites
found = [s for crystal, ion in hosts for s in empty_sites(without(crystal, ion_sites(crystal, ion)), ion)]
print(json.dumps([x for s in found for x in (*s.frac, s.orbit, s.clearance_A, s.bond_valence)]))
"""

HOPS = """
from redoxa.screening.mobility.hops import hop_kinds
kinds = [kind for crystal, ion in hosts for kind in hop_kinds(supercell(crystal, 2), ion)]
print(json.dumps([x for k in kinds for e in k.edges for x in (k.distance_A, k.symmetric, e.start, e.end, *e.image)]))
"""

HOP_CELLS = """
from redoxa.screening.mobility.hop_cell import supercell_matrix
found = [supercell_matrix(np.array(crystal.lattice_A), 8.5, 130 // crystal.n_atoms)[0] for crystal, _ in hosts]
print(json.dumps([x for matrix in found for x in matrix.ravel().tolist()]))
"""

SELECTION = """
from redoxa.data.records import Estimate, ScreeningResult, Verdict
from redoxa.pipeline.campaign.spec import Select
from redoxa.pipeline.campaign.select import choose, score
from redoxa.screening.settings import Range
values = 3.0 + np.random.default_rng(0).integers(1, 4, (200, 2)) / 3 * np.array([0.1, 0.7])  # many are equal
values = [[np.dot(np.full(24, v / 24), np.ones(24)) for v in row] for row in values]  # sums round differently
results = [
    ScreeningResult(
        candidate_id=f"{i:03}", formula=formula, working_ion="Li", verdict=Verdict.PASS, settings_hash="s",
        estimates={n: Estimate(value=v, sigma=0.3, unit="V", method="m", model="x") for n, v in zip("ab", row)},
    )
    for i, (row, formula) in enumerate(zip(values, ["LiCoO2", "LiFePO4", "LiMnO2", "LiNiO2"] * 50))
]
scored = score(results, {"a": Range(min=3.0, max=4.0), "b": Range(min=3.0)})
chosen = choose(scored, Select(batch_size=20, max_per_chemical_system=8))
print(json.dumps([*(s.front for s in scored), *(int(c.scored.result.candidate_id) for c in chosen)]))
"""

SAMPLES = """
from redoxa.generators.base import Condition
from redoxa.generators.exchange.{name} import {generator}
contents = ({{3: 1, 28: 1, 8: 2}}, {{3: 4, 24: 4, 15: 4, 8: 16}}, {{3: 4, 24: 4, 15: 4, 8: 16}})
conditions = [
    Condition(frozenset([3, 8, 15, 22, 25, 26, 27]), frozenset([3]), n_atoms=(4, 30)), Condition(contents=contents)
]
for condition in conditions:
    n = len(condition.contents) or 12
    batch, labels = {generator}().sample(n, condition, np.random.default_rng(0))
    print(json.dumps([ord(x) for x in "".join(labels)] + [z for c in batch.to_crystals() for z in c.numbers]))
"""

CASES = {
    "fingerprints": FINGERPRINTS,
    "orderings": ELECTRODES + ORDERINGS,
    "empty sites": ELECTRODES + EMPTY_SITES,
    "hops": ELECTRODES + HOPS,
    "hop cells": ELECTRODES + HOP_CELLS,
    "selection": SELECTION,
    "template": SAMPLES.format(name="template", generator="TemplateGenerator"),
    "substitution": SAMPLES.format(name="substitution", generator="SubstitutionGenerator"),
}


ALL = """
import contextlib, io, json, sys
import numpy as np
for name, code in json.load(sys.stdin).items():
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {"json": json, "np": np})
    print(json.dumps([name, [x for line in said.getvalue().splitlines() for x in json.loads(line)]]))
"""
"""Runs the cases, each with names of its own, and prints what each found."""


def results(disabled: str) -> dict[str, list[float]]:
    """What each case prints as JSON, with these features of numpy switched off."""
    env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", ALL], input=json.dumps(CASES), cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )  # fmt: skip
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """With every feature of this processor, and without the wide ones."""
    return results(""), results(" ".join(name for name in NARROW.split() if FEATURES.get(name)))


@pytest.mark.skipif(not FEATURES.get("AVX512F"), reason="this processor has no AVX-512, so numpy has one way to sort")
@pytest.mark.parametrize("case", CASES)
def test_both_ways_of_sorting_agree(case: str, both: tuple[dict[str, list[float]], dict[str, list[float]]]) -> None:
    once, again = (found[case] for found in both)
    assert once
    np.testing.assert_allclose(once, again, atol=1e-7)
