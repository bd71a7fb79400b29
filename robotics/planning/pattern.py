"""What the X-ray pattern of the target should look like, and its crystal as a CIF. pymatgen is loaded when asked."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redoxa.data.records import Crystal

if TYPE_CHECKING:
    from pymatgen.core import Structure

RADIATION = "CuKa"
WAVELENGTH_TEXT = "Cu Kalpha, 1.5418 A"
TWO_THETA_DEG = (5.0, 90.0)
SYMMETRY_A = 0.01
"""Tolerance for the symmetry, as in the CIF, so that the indices refer to its cell."""

LEAST_PERCENT = 0.1
"""Weaker lines are left out."""


@dataclass(frozen=True)
class Line:
    """A line of a powder pattern; intensity as percent of the strongest."""

    two_theta_deg: float
    d_A: float
    intensity_percent: float
    hkl: str


def predicted_pattern(crystal: Crystal) -> tuple[Line, ...]:
    """Lines of an ideal powder by angle: kinematic, without texture, strain or thermal motion.

    Empty where no pattern can be computed, as for elements without tabulated scattering factors.
    """
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pattern = XRDCalculator(wavelength=RADIATION, symprec=0).get_pattern(
                _conventional(crystal), two_theta_range=TWO_THETA_DEG
            )
        except (ValueError, TypeError, KeyError):
            return ()
    rows = zip(pattern.x, pattern.d_hkls, pattern.y, pattern.hkls, strict=True)
    lines = (Line(round(float(x), 3), round(float(d), 4), round(float(y), 2), _indices(hkls)) for x, d, y, hkls in rows)
    return tuple(line for line in lines if line.intensity_percent >= LEAST_PERCENT)


def strongest(lines: Sequence[Line], count: int = 10) -> tuple[Line, ...]:
    """The strongest lines, by angle."""
    kept = sorted(lines, key=lambda line: (-line.intensity_percent, line.two_theta_deg))[:count]
    return tuple(sorted(kept, key=lambda line: line.two_theta_deg))


def pattern_csv(lines: Sequence[Line]) -> str:
    """A pattern as a table: two_theta_deg, d_A, intensity_percent, hkl."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("two_theta_deg", "d_A", "intensity_percent", "hkl"))
    for line in lines:
        writer.writerow((f"{line.two_theta_deg:.3f}", f"{line.d_A:.4f}", f"{line.intensity_percent:.2f}", line.hkl))
    return out.getvalue()


def target_cif(crystal: Crystal, formula: str) -> str:
    """CIF of the predicted crystal, with its space group where one is found, else in P1."""
    from redoxa.data.io import cif_text

    return cif_text(crystal, SYMMETRY_A, f"{formula} as computed, discharged: predicted, not measured")


def _conventional(crystal: Crystal) -> Structure:
    """The conventional cell, in which people index; the crystal as it is where no symmetry is found."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    from redoxa.data.structures import to_structure

    structure = to_structure(crystal)
    try:
        return SpacegroupAnalyzer(structure, symprec=SYMMETRY_A).get_refined_structure()
    except (TypeError, ValueError):  # spglib finds none in a badly strained cell
        return structure


def _indices(hkls: Sequence[dict[str, object]]) -> str:
    """``1 0 -1; 2 0 0``: of all lines that fall together."""
    return "; ".join(" ".join(str(i) for i in _three(entry["hkl"])) for entry in hkls)


def _three(hkl: object) -> tuple[int, int, int]:
    """Miller indices; of hexagonal cells pymatgen gives four."""
    h, k, *_, last = tuple(hkl)  # type: ignore[arg-type, var-annotated]
    return int(h), int(k), int(last)
