"""Predicted X-ray patterns against textbook lines: Bragg's law with Cu Kalpha, 1.54184 A."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys

import pytest

from redoxa.data.records import Crystal
from redoxa.robotics.planning.pattern import pattern_csv, predicted_pattern, strongest, target_cif

A = 5.64
HALF = 0.5
ROCKSALT = Crystal(
    numbers=[11, 17],
    frac_coords=[(0, 0, 0), (HALF, HALF, HALF)],
    lattice_A=[(0, A / 2, A / 2), (A / 2, 0, A / 2), (A / 2, A / 2, 0)],
)
"""NaCl in its primitive cell."""


def test_rock_salt_is_indexed_in_its_cubic_cell() -> None:
    lines = predicted_pattern(ROCKSALT)
    first, second, third = lines[:3]
    for line, squares, hkl in ((first, 3, "1 1 1"), (second, 4, "2 0 0"), (third, 8, "2 2 0")):
        d_A = A / math.sqrt(squares)
        assert line.d_A == pytest.approx(d_A, abs=2e-4)
        assert line.two_theta_deg == pytest.approx(2 * math.degrees(math.asin(1.54184 / 2 / d_A)), abs=2e-3)
        assert sorted(line.hkl.replace("-", "").split(), reverse=True) == hkl.split()
    assert second.intensity_percent == 100
    assert first.intensity_percent < 15  # the scattering of chlorine less that of sodium
    assert third.intensity_percent == pytest.approx(60, abs=10)
    assert [line.two_theta_deg for line in lines] == sorted(line.two_theta_deg for line in lines)


def test_the_strongest_lines_stand_by_angle() -> None:
    lines = predicted_pattern(ROCKSALT)
    two = strongest(lines, 2)
    assert [round(line.two_theta_deg) for line in two] == [32, 45]
    assert len(strongest(lines)) == min(10, len(lines))
    assert strongest(()) == ()


def test_hexagonal_cells_have_three_indices() -> None:
    a, c = 2.82, 14.05  # the layered lattice of LiCoO2, cobalt and oxygen alone
    layered = Crystal(
        numbers=[27, 27, 27],
        frac_coords=[(0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)],
        lattice_A=[(a, 0, 0), (-a / 2, a * math.sqrt(3) / 2, 0), (0, 0, c)],
    )
    first = predicted_pattern(layered)[0]
    assert first.hkl == "0 0 3"
    assert first.d_A == pytest.approx(c / 3, abs=1e-3)


def test_the_table_and_the_cif() -> None:
    rows = list(csv.DictReader(io.StringIO(pattern_csv(predicted_pattern(ROCKSALT)))))
    assert list(rows[0]) == ["two_theta_deg", "d_A", "intensity_percent", "hkl"]
    assert float(rows[1]["intensity_percent"]) == 100
    text = target_cif(ROCKSALT, "NaCl")
    assert "Fm-3m" in text
    assert text.startswith("# NaCl as computed")


def test_an_element_without_scattering_factors_leaves_the_pattern_empty() -> None:
    einsteinium = ROCKSALT.model_copy(update={"numbers": (99, 17)})
    assert predicted_pattern(einsteinium) == ()
    assert pattern_csv(()) == "two_theta_deg,d_A,intensity_percent,hkl\n"


def test_work_lists_load_pymatgen_only_when_a_pattern_is_asked_for() -> None:
    code = "import sys, redoxa.robotics.drivers.file_drop, redoxa.robotics.drivers.work_order; print('pymatgen' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
