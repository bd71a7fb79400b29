"""Which magnetic moment an ion of a known oxidation state has in the potential's eyes, counted over published crystals.

CHGNet was trained on the site moments of DFT and so tells Fe2+ from Fe3+ where bond lengths alone would not. The table
counts, for each element, state and anion, the moments in crystals whose composition leaves that element no choice.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from redoxa.data.chemistry import REDOX_WINDOW, oxidation_states
from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.screening.potentials.base import Potential

SHIPPED = "magnetic_moments.csv"
ANIONS = ("O", "F", "S")
"""Whose crystals are counted apart, the first that a crystal holds."""

MOST_CRYSTALS = 40
"""Of one element, state and anion."""

LEAST_CRYSTALS = 3
MAX_ATOMS = 24
OTHER_MOMENTS = frozenset(["Ce", "Pr", "Nd", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "U", "Np", "Pu"])
"""Elements whose own moments and states would blur the count."""


@dataclass(frozen=True)
class TypicalMoment:
    """Moments of one element in one state beside one anion.

    Attributes:
        element: symbol.
        state: oxidation state.
        anion: beside which anion.
        crystals: how many were counted.
        median_muB: median over the crystals of their mean absolute moment.
        spread_muB: half the distance between the 16th and the 84th percentile.
    """

    element: str
    state: int
    anion: str
    crystals: int
    median_muB: float
    spread_muB: float


def typical_moments(
    crystals: Iterable[Crystal], potential: Potential, on_step: Callable[[int], None] | None = None
) -> list[TypicalMoment]:
    """Count moments over relaxed crystals that hold one redox element in one integer state.

    Args:
        crystals: published crystals, in any order; the first `MOST_CRYSTALS` of a kind count.
        potential: one that gives magnetic moments.
        on_step: called with the number of crystals looked at so far.
    """
    found: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for looked_at, crystal in enumerate(crystals, 1):
        if on_step is not None:
            on_step(looked_at)
        kind = _kind(crystal)
        if kind is None or len(found[kind]) >= MOST_CRYSTALS:
            continue
        try:
            moments = potential.compute(crystal, forces=False).magmoms_muB
        except PotentialError:
            continue
        if moments is not None:
            found[kind].append(float(np.mean(moments[_sites(crystal, kind[0])])))
    rows = []
    for (element, state, anion), values in sorted(found.items()):
        low, median, high = np.percentile(values, [16, 50, 84])
        spread = round(float(high - low) / 2, 3)
        rows.append(TypicalMoment(element, state, anion, len(values), round(float(median), 3), spread))
    return [row for row in rows if row.crystals >= LEAST_CRYSTALS]


def _kind(crystal: Crystal) -> tuple[str, int, str] | None:
    """Element, state and anion that a crystal stands for, or None where its composition leaves a choice."""
    present = crystal.composition
    metals = [e for e in present if e in REDOX_WINDOW]
    anions = [e for e in ANIONS if e in present]
    if crystal.n_atoms > MAX_ATOMS or len(metals) != 1 or not anions or OTHER_MOMENTS & present.keys():
        return None
    states = oxidation_states(present)
    if states is None or abs(states[metals[0]] - round(states[metals[0]])) > 1e-6:
        return None
    return metals[0], round(states[metals[0]]), anions[0]


def _sites(crystal: Crystal, element: str) -> list[int]:
    from ase.data import atomic_numbers

    return [i for i, z in enumerate(crystal.numbers) if z == atomic_numbers[element]]


def write_moments(path: Path, rows: Iterable[TypicalMoment]) -> None:
    """Write the table (CSV)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["element", "state", "anion", "crystals", "median_muB", "spread_muB"])
        writer.writerows([r.element, r.state, r.anion, r.crystals, r.median_muB, r.spread_muB] for r in rows)


@cache
def shipped_moments() -> Mapping[tuple[str, str], tuple[TypicalMoment, ...]]:
    """Typical moments of the states of an element beside an anion, by (element, anion)."""
    table: dict[tuple[str, str], list[TypicalMoment]] = defaultdict(list)
    with shipped(SHIPPED).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            table[row["element"], row["anion"]].append(
                TypicalMoment(
                    row["element"],
                    int(row["state"]),
                    row["anion"],
                    int(row["crystals"]),
                    float(row["median_muB"]),
                    float(row["spread_muB"]),
                )
            )
    return {key: tuple(rows) for key, rows in table.items()}
