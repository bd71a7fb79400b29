"""Can it be a crystal at all: distances, density, charge balance."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import numpy as np

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.records import Crystal, Reason, Verdict
from redoxa.data.structures import density_g_cm3
from redoxa.screening.base import Findings, Needs, Subject, Surroundings

MIN_DISTANCE_FACTOR = 0.6
"""Of the sum of covalent radii (Cordero et al., Dalton Trans. 2832, 2008, doi:10.1039/b801115j). The shortest bonds of
solids, C-N in cyanides and S-O in sulfates, come to 0.78 of it."""

VOLUME_A3_PER_ATOM = (4.0, 60.0)
"""Densest: diamond, 5.7. Loosest insertion electrodes (Prussian blue): below 25."""

MAX_GAP_A = 7.0
"""Widest layer without atoms. Between the carbon sheets of KC8 it is 5.4 A with the potassium out; of 20,158 crystals
of the Materials Project the hundred with more are slabs and wires in vacuum."""

DENSITY_G_CM3 = (0.5, 25.0)


class Validity:
    """Distances, density and charge balance of the cell as it came."""

    name: ClassVar[str] = "validity"
    summary: ClassVar[str] = "no atoms on one another, a sensible density, a neutral cell"
    stage: ClassVar[str] = "validity"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.001

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Check geometry first, then composition."""
        crystal = subject.candidate.crystal
        found = Findings()
        too_large = crystal.n_atoms > around.settings.max_atoms
        if too_large:
            found.reasons.append(_reason(
                "too_many_atoms",
                f"{crystal.n_atoms} atoms in the cell; screen.max_atoms allows {around.settings.max_atoms}",
                Verdict.UNDETERMINED, crystal.n_atoms, around.settings.max_atoms,
            ))  # fmt: skip
        found.reasons += _geometry(crystal)
        if not is_charge_balanced(crystal.composition):
            policy = around.settings.charge_balance
            found.reasons.append(_reason(
                "not_neutral", f"no common oxidation states make {crystal.formula} neutral",
                Verdict.FAIL if policy == "reject" else Verdict.PASS,
            ))  # fmt: skip
        return found


def _geometry(crystal: Crystal) -> list[Reason]:
    per_atom = crystal.volume_A3 / crystal.n_atoms
    density = density_g_cm3(crystal) if per_atom > 0 else 0.0
    low, high = VOLUME_A3_PER_ATOM
    if not low <= per_atom <= high:
        text = f"{per_atom:.1f} A^3 per atom; crystals have {low:g} to {high:g}"
        return [_reason("volume", text, Verdict.FAIL, per_atom, low if per_atom < low else high)]
    low, high = DENSITY_G_CM3
    if not low <= density <= high:
        text = f"a density of {density:.2f} g/cm3; crystals have {low:g} to {high:g}"
        return [_reason("density", text, Verdict.FAIL, density, low if density < low else high)]
    if (gap_A := widest_gap_A(crystal)) > MAX_GAP_A:
        text = f"a gap of {gap_A:.1f} A without atoms: a slab, a wire or a molecule in vacuum, not a crystal"
        return [_reason("vacuum", text, Verdict.FAIL, gap_A, MAX_GAP_A)]
    (i, j), ratio, distance = closest_pair(crystal)
    if ratio < MIN_DISTANCE_FACTOR:
        text = f"atoms {i} and {j} are {distance:.2f} A apart, {ratio:.2f} of their covalent radii"
        return [_reason("distance", text, Verdict.FAIL, ratio, MIN_DISTANCE_FACTOR)]
    return []


def widest_gap_A(crystal: Crystal) -> float:
    """Widest layer that holds no centre of an atom, parallel to a face of the most compact cell."""
    from ase.geometry import minkowski_reduce

    lattice = np.array(crystal.lattice_A)
    cell, _ = minkowski_reduce(lattice)
    frac = np.sort(np.array(crystal.frac_coords) @ lattice @ np.linalg.inv(cell) % 1.0, axis=0)
    heights = crystal.volume_A3 / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    gaps = np.diff(np.vstack([frac, frac[:1] + 1]), axis=0).max(axis=0)
    return float((gaps * heights).max())


def closest_pair(crystal: Crystal) -> tuple[tuple[int, int], float, float]:
    """The pair of atoms nearest to one another in units of their covalent radii.

    Returns:
        Indices of the atoms, distance over the sum of radii, distance in Angstrom. An atom and its own image count.
    """
    radii = np.array([_radius_A(z) for z in crystal.numbers])
    lattice = np.array(crystal.lattice_A)
    frac = np.array(crystal.frac_coords)
    heights = crystal.volume_A3 / np.linalg.norm(np.cross(lattice[[1, 2, 0]], lattice[[2, 0, 1]]), axis=1)
    reach = np.minimum(np.ceil(2 * radii.max() / heights).astype(int), 8)
    shifts = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    delta = frac[:, None] - frac[None, :]
    delta -= np.rint(delta)
    best = (0, 0), np.inf, np.inf
    sums = radii[:, None] + radii[None, :]
    for shift in shifts:
        distance = np.linalg.norm((delta + shift) @ lattice, axis=-1)
        if not shift.any():
            np.fill_diagonal(distance, np.inf)
        ratio = distance / sums
        i, j = np.unravel_index(int(ratio.argmin()), ratio.shape)
        if ratio[i, j] < best[1]:
            best = (int(min(i, j)), int(max(i, j))), float(ratio[i, j]), float(distance[i, j])
    return best


@cache
def _radius_A(number: int) -> float:
    from ase.data import covalent_radii

    return float(covalent_radii[number])


def _reason(code: str, text: str, verdict: Verdict, value: float | None = None, limit: float | None = None) -> Reason:
    return Reason(stage="validity", code=code, text=text, verdict=verdict, value=value, limit=limit)
