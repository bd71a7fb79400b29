"""Where the samples of a scorecard fail: by size, by number of elements, by chemistry; and the worst ones by name.

    redoxa evaluate orbits flow -n 1000 --relax 100 --out runs/card
    python benchmarks/failures.py runs/card                                    # every source, as text
    python benchmarks/failures.py runs/card --figure docs/images/failures.svg  # and as a figure

Reads `samples.parquet` of a folder that `redoxa evaluate` wrote in de novo mode. A relaxed sample fails that does not
converge or ends more than 0.1 eV/atom above the hull; where none was relaxed, a sample that is not sane, balanced,
unique and novel.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from redoxa.data.tables.reference import formula_elements

NEAR_HULL_eV_per_atom = 0.1
WORST = 5
SIZES = ((1, 5), (6, 10), (11, 15), (16, 20), (21, 1000))
CLASSES: tuple[tuple[str, frozenset[str]], ...] = (
    ("halide", frozenset({"F", "Cl", "Br", "I"})),
    ("oxide", frozenset({"O"})),
    ("chalcogenide", frozenset({"S", "Se", "Te"})),
    ("hydride", frozenset({"H"})),
    ("pnictide, carbide", frozenset({"N", "P", "As", "Sb", "Bi", "C"})),
)
POLYANIONS = (("P", "O"), ("S", "O"), ("Si", "O"), ("B", "O"), ("C", "O"), ("N", "O"))
GROUPINGS = ("atoms", "elements", "chemistry")


def chemistry(formula: str) -> str:
    """Class of a formula: mixed anions, oxyanions, then by its anion, "alloy" where there is none."""
    elements = formula_elements(formula)
    found = [name for name, anions in CLASSES[:3] if elements & anions]
    if any(set(pair) <= elements for pair in POLYANIONS):
        return "oxyanions"
    if len(found) > 1:
        return "mixed anions"
    return found[0] if found else next((name for name, anions in CLASSES[3:] if elements & anions), "alloy")


def size(atoms: int) -> str:
    """Class of a number of atoms."""
    low, high = next(bounds for bounds in SIZES if bounds[0] <= atoms <= bounds[1])
    return f"{low}-{high}" if high < SIZES[-1][1] else f"{low} and more"


def grouped(samples: pd.DataFrame) -> pd.DataFrame:
    """Samples [n] with their classes, and what fails; `far` is empty for those that were not relaxed.

    Args:
        samples: rows of `samples.parquet`.
    """
    rows = samples[samples["formula"].notna()].copy()
    rows["atoms"] = [size(int(n)) for n in rows["n_atoms"]]
    rows["elements"] = [f"{min(int(n), 5)}" + (" and more" if n >= 5 else "") for n in rows["n_elements"]]
    rows["chemistry"] = [chemistry(str(formula)) for formula in rows["formula"]]
    sound = rows["sane"] & rows["charge_balanced"]
    for column in ("unique", "novel"):
        sound &= rows[column].fillna(True).astype(bool)
    rows["unfit"] = (~sound.astype(bool)).astype(float)
    relaxed = rows["relaxed"].astype(bool) if "relaxed" in rows else pd.Series(False, index=rows.index)
    rows["far"] = np.nan
    if relaxed.any():
        near = rows["converged"].fillna(False).astype(bool)
        near &= rows["above_hull_eV_per_atom"].fillna(np.inf).astype(float) <= NEAR_HULL_eV_per_atom
        rows.loc[relaxed, "far"] = (~near[relaxed]).astype(float)
    return rows


def shares(rows: pd.DataFrame, grouping: str) -> pd.DataFrame:
    """By class: number of samples, share that is unfit, number relaxed, share that ends far, its standard error."""
    found = rows.groupby(grouping).agg(
        samples=("unfit", "size"), unfit=("unfit", "mean"), relaxed=("far", "count"), far=("far", "mean")
    )
    found["error"] = _error(found["far"], found["relaxed"])
    order = [f"{low}-{high}" for low, high in SIZES[:-1]]
    return found.reindex(sorted(found.index, key=lambda name: (order.index(name) if name in order else 9, name)))


def _error(share: pd.Series[float], count: pd.Series[int]) -> pd.Series[float]:
    """Standard error of shares, with one success and one failure added, lest it vanish for 0 and 1."""
    added = (share * count + 1.0) / (count + 2.0)
    return np.sqrt(added * (1.0 - added) / (count + 2.0))


def worst(rows: pd.DataFrame, column: str) -> list[str]:
    """The samples with the largest values of a column: formula, label, value."""
    if column not in rows or rows[column].notna().sum() == 0:
        return []
    known = rows[rows[column].notna()]
    found = known.assign(value=known[column].astype(float)).nlargest(WORST, "value")
    return [f"{r.formula} ({r.label or 'no label'}, {int(r.n_atoms)} atoms): {r.value:.2f}" for r in found.itertuples()]


def show(name: str, rows: pd.DataFrame) -> None:
    """Print the tables of one source."""
    print(f"\n{name}: {len(rows)} samples, {int(rows['far'].notna().sum())} relaxed")
    for grouping in GROUPINGS:
        print(shares(rows, grouping).round(3).to_string())
    for column in ("energy_drop_eV_per_atom", "above_hull_eV_per_atom"):
        for text in worst(rows, column):
            print(f"largest {column}: {text}")
    stuck = rows[rows["far"].notna() & ~rows.get("converged", pd.Series(True, index=rows.index)).fillna(False)]
    for row in stuck.head(WORST).itertuples():
        print(f"not converged: {row.formula} ({row.label}): {row.relax_reason}")


def draw(sources: Mapping[str, pd.DataFrame], path: Path) -> None:
    """One row of panels a source: share that fails by class, relaxed samples where there are any."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "failures", "svg.fonttype": "none", "font.size": 8})
    figure, axes = plt.subplots(
        len(sources), len(GROUPINGS), figsize=(9, 0.5 + 1.9 * len(sources)), squeeze=False, sharey=True
    )
    for line, (name, rows) in zip(axes, sources.items(), strict=True):
        relaxed = bool(rows["far"].notna().any())
        column, count = ("far", "relaxed") if relaxed else ("unfit", "samples")
        for panel, grouping in zip(line, GROUPINGS, strict=True):
            table = shares(rows, grouping)
            table = table[table[count] > 0]
            error = table["error"] if relaxed else _error(table["unfit"], table["samples"])
            panel.bar(range(len(table)), table[column], yerr=error, color="#4878a8", ecolor="#333333", capsize=2)
            turned = grouping == "chemistry"
            names = [
                f"{label}{', ' if turned else chr(10)}{n}" for label, n in zip(table.index, table[count], strict=True)
            ]
            panel.set_xticks(range(len(table)), names, rotation=40 if turned else 0, ha="right" if turned else "center")
            panel.set_ylim(0.0, 1.02)
            panel.set_title(f"{name}, by {grouping}", fontsize=8)
        line[0].set_ylabel("not near the hull" if relaxed else "unfit")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path, help="folder that `redoxa evaluate` wrote")
    parser.add_argument("--sources", help="some of them, separated by commas; by default all")
    parser.add_argument("--figure", type=Path, help=".svg or .png")
    options = parser.parse_args()
    table = pd.read_parquet(options.card / "samples.parquet")
    names = options.sources.split(",") if options.sources else list(dict.fromkeys(table["source"]))
    sources = {name: grouped(table[table["source"] == name]) for name in names}
    for name, rows in sources.items():
        show(name, rows)
    if options.figure:
        draw(sources, options.figure)


if __name__ == "__main__":
    main()
