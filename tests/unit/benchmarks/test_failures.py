"""Where samples fail: classes, shares, the worst by name, and a figure small enough for the documentation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.failures import chemistry, draw, grouped, shares, size, worst


@pytest.fixture
def samples() -> pd.DataFrame:
    """Four samples as `redoxa evaluate` writes them; three were relaxed, of which one is near the hull."""
    return pd.DataFrame(
        {
            "formula": ["LiFePO4", "NaCl", "MgCu2", "LiF", None],
            "label": ["space group 62", "", "", "", ""],
            "n_atoms": [28, 2, 6, 2, None],
            "n_elements": [4, 2, 2, 2, None],
            "sane": [True, True, True, True, False],
            "charge_balanced": [True, True, False, True, False],
            "unique": [True, True, True, None, None],
            "novel": [True, True, True, True, None],
            "relaxed": [True, True, True, False, False],
            "converged": [True, True, False, None, None],
            "relax_reason": ["", "", "exploded", "", ""],
            "above_hull_eV_per_atom": [0.02, 0.3, None, None, None],
            "energy_drop_eV_per_atom": [0.1, 0.7, None, None, None],
        }
    ).convert_dtypes()


@pytest.mark.parametrize(
    ("formula", "expected"),
    [("LiFePO4", "oxyanions"), ("Li2O", "oxide"), ("LiFeOF", "mixed anions"), ("MgCu2", "alloy"), ("NaBr", "halide")],
)
def test_chemistry(formula: str, expected: str) -> None:
    assert chemistry(formula) == expected


def test_sizes_cover_all() -> None:
    assert [size(n) for n in (1, 5, 6, 20, 21, 200)] == ["1-5", "1-5", "6-10", "16-20", "21 and more", "21 and more"]


def test_shares_are_of_the_relaxed(samples: pd.DataFrame) -> None:
    table = shares(grouped(samples), "atoms")
    assert table["samples"].to_dict() == {"1-5": 2, "6-10": 1, "21 and more": 1}
    assert table["relaxed"].to_dict() == {"1-5": 1, "6-10": 1, "21 and more": 1}
    assert table["far"].to_dict() == {"1-5": 1.0, "6-10": 1.0, "21 and more": 0.0}
    assert table["unfit"].to_dict() == {"1-5": 0.0, "6-10": 1.0, "21 and more": 0.0}


def test_the_worst_are_named(samples: pd.DataFrame) -> None:
    rows = grouped(samples)
    first, second = worst(rows, "energy_drop_eV_per_atom")
    assert first.startswith("NaCl (no label, 2 atoms): 0.70")
    assert second.startswith("LiFePO4 (space group 62, 28 atoms)")


@pytest.mark.parametrize("relaxed", [True, False])
def test_the_figure_is_small(samples: pd.DataFrame, tmp_path: Path, *, relaxed: bool) -> None:
    rows = grouped(samples if relaxed else samples.drop(columns=["relaxed", "converged"]))
    path = tmp_path / "failures.svg"
    draw({"orbits": rows, "flow": rows}, path)
    assert 1000 < path.stat().st_size < 60_000
