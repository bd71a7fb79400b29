"""Usable capacities of published electrodes, each by those of other families, against theory with 10 %.

Usage: python benchmarks/capacity.py [--out runs/benchmarks/capacity.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from redoxa.data.whole import whole
from redoxa.screening.physics.usable_share import known_capacities, leave_families_out

FORMER_SIGMA = 0.10
"""Relative, of a theoretical capacity, before shares were learned."""


def table() -> list[str]:
    """One line an electrode, and what the two ways are worth."""
    known = known_capacities()
    theory = np.array([k.removal.theory_mAh_g for k in known])
    published = np.array([k.reversible_mAh_g for k in known])
    share, share_sigma = np.array(leave_families_out(known)).T
    value, sigma = share * theory, share_sigma * theory
    lines = [
        "| electrode | family | couples | theory (mAh/g) | published | predicted | sigma | inside |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    inside = np.abs(value - published) <= sigma
    for i in sorted(range(len(known)), key=lambda i: (known[i].family, known[i].formula)):
        k, numbers = known[i], (theory[i], published[i], value[i], sigma[i])
        cells = (k.formula, k.family, ", ".join(k.couples), *(f"{x:.0f}" for x in numbers))
        lines.append(f"| {' | '.join(cells)} | {'yes' if inside[i] else 'no'} |")
    lines += [
        "",
        "| way | mean absolute error (mAh/g) | within one sigma | mean sigma (mAh/g) |",
        "|---|---:|---:|---:|",
    ]
    ways = {
        "theory ± 10 %": (theory, FORMER_SIGMA * theory),
        "`capacity_grav`: theory, sigma from the shortfall": (theory, (1 - share + share_sigma / 2) * theory),
        "`usable_capacity`": (value, sigma),
    }
    for name, (stated, error) in ways.items():
        gap = np.abs(stated - published)
        lines.append(f"| {name} | {gap.mean():.1f} | {100 * np.mean(gap <= error):.0f} % | {error.mean():.0f} |")
    families = {k.family for k in known}
    return [*lines, "", f"{len(known)} electrodes of {len(families)} families, each predicted without its family."]


def main() -> int:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/capacity.md"))
    options = parser.parse_args()
    text = "\n".join(table()) + "\n"
    with whole(options.out) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
