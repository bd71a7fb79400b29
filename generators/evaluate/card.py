"""From rows to the numbers of a scorecard, as far as they need no potential."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redoxa.data.symmetry.symmetric import crystal_system
from redoxa.generators.evaluate.commonest import commonest_group
from redoxa.generators.evaluate.descriptor import NAMES, Floats
from redoxa.generators.evaluate.distances import frechet, jensen_shannon, wasserstein
from redoxa.generators.evaluate.elements import ElementBias, element_bias, element_divergence, presence
from redoxa.generators.evaluate.memorisation import memorisation_values
from redoxa.generators.evaluate.neighbours import cover
from redoxa.generators.evaluate.reference_set import Portrait, ReferenceSet
from redoxa.generators.evaluate.table import SampleRow
from redoxa.generators.evaluate.values import Value, mean, share
from redoxa.generators.evaluate.vendi import vendi_values

FEWEST_FOR_FRECHET = 3 * len(NAMES)
"""Below this many samples a covariance says nothing."""


def sample_values(rows: Sequence[SampleRow], from_files: bool) -> dict[str, Value]:
    """Validity, uniqueness, novelty and symmetry: shares of all samples, an unreadable one counted against them.

    Args:
        rows: one a sample.
        from_files: whether they were read from files, so that some may be unreadable.
    """
    readable = [row for row in rows if row.formula is not None]
    values = {
        "readable": share(row.formula is not None for row in rows),
        "valid_structure": share(row.valid_structure for row in rows),
        "sane": share(row.sane for row in rows),
        "charge_balanced": share(row.charge_balanced for row in rows),
        "smact_valid": share(row.smact_valid for row in rows),
        "unique": share(row.unique for row in rows),
        "novel_formula": share(row.novel_formula for row in rows),
        "novel_family": share(row.novel_family for row in rows),
        **memorisation_values([row.gaps for row in rows if row.gaps is not None]),
        "novel_skeleton": share(row.novel_skeleton for row in rows),
        "novel_structure": share(None if r.novel_structure is None else r.novel_structure == "new" for r in rows),
        "novel": share(row.novel for row in rows),
        "p1": share(row.space_group <= 1 for row in rows if row.space_group is not None),
        "p1_tight": share(row.space_group_tight <= 1 for row in rows if row.space_group_tight is not None),
        "symmetry_kept": share(row.symmetry_kept for row in rows),
        **commonest_group([row.space_group for row in rows if row.space_group is not None]),
        "two_metals": share(row.n_transition_metals > 1 for row in rows if row.n_transition_metals is not None),
        "elements": mean([row.n_elements for row in readable if row.n_elements is not None]),
        "atoms": mean([row.n_atoms for row in readable if row.n_atoms is not None]),
    }
    if not from_files:
        del values["readable"]
    return {name: value for name, value in values.items() if value.of}


def distribution_values(portraits: Sequence[Portrait], reference: ReferenceSet, seed: int) -> dict[str, Value]:
    """How far the samples lie from real crystals as a distribution, and how far as many real ones would.

    Args:
        portraits: of the samples.
        reference: real crystals.
        seed: of the draw of real crystals that gives the floor.
    """
    real = reference.portraits
    n = len(portraits)
    if not n or not real:
        return {}
    values = {
        "wasserstein_density": wasserstein([p.density_g_cm3 for p in portraits], [p.density_g_cm3 for p in real]),
        "wasserstein_elements": wasserstein([p.n_elements for p in portraits], [p.n_elements for p in real]),
        "js_crystal_system": jensen_shannon([system(p.group) for p in portraits], [system(p.group) for p in real]),
        "js_space_group": jensen_shannon([p.group for p in portraits], [p.group for p in real]),
    }
    found = {name: Value(value, n) for name, value in values.items()}
    found["js_elements"] = element_divergence(*_presences(portraits, real))
    if n < FEWEST_FOR_FRECHET:
        return found
    ours, theirs = scaled(portraits, real), scaled(real, real)
    found["frechet"] = Value(frechet(ours, theirs), n)
    found |= cover(ours, theirs) | vendi_values(ours, theirs, seed)
    drawn = np.random.default_rng(seed).choice(len(theirs), min(n, len(theirs) // 2), replace=False)
    rest = np.delete(theirs, drawn, axis=0)
    if len(drawn) >= FEWEST_FOR_FRECHET:
        found["frechet_floor"] = Value(frechet(theirs[drawn], rest), len(drawn))
        found |= {f"{name}_floor": value for name, value in cover(theirs[drawn], rest).items()}
        some, others = [real[i] for i in drawn], [p for i, p in enumerate(real) if i not in set(drawn.tolist())]
        found["js_elements_floor"] = element_divergence(*_presences(some, others))
    return found


def bias(portraits: Sequence[Portrait], reference: ReferenceSet) -> ElementBias:
    """The elements that samples hold surely too often and too seldom."""
    if not portraits or not reference.portraits:
        return ElementBias()
    return element_bias(*_presences(portraits, reference.portraits))


def _presences(first: Sequence[Portrait], second: Sequence[Portrait]) -> tuple[Floats, Floats]:
    return presence([p.numbers for p in first]), presence([p.numbers for p in second])


def scaled(portraits: Sequence[Portrait], real: Sequence[Portrait]) -> Floats:
    """Descriptors [n,D] in units of the spread of each number among real crystals."""
    base = np.array([p.vector for p in real])
    spread = base.std(0)
    kept = spread > 1e-9
    vectors = np.array([p.vector for p in portraits])
    return np.asarray((vectors[:, kept] - base[:, kept].mean(0)) / spread[kept])


def system(group: int) -> str:
    """Crystal system of a space group; P1 apart, and "none" where spglib found nothing."""
    if group <= 1:
        return "P1" if group == 1 else "none"
    return crystal_system(group)
