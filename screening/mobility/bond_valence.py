"""Bond valence site energy: what a working ion feels at each place of its empty host, from bond lengths and charges.

A Morse potential made of bond valence parameters draws the ion to the anions, a screened Coulomb potential pushes it
away from the cations (S. Adams, R. P. Rao, Phys. Status Solidi A 208, 1746 (2011), doi:10.1002/pssa.201001116; H. Chen,
L. L. Wong, S. Adams, Acta Cryst. B 75, 18 (2019), doi:10.1107/S2052520618015718). The host stands still and the ion is
alone in it: good for a ranking, not for a rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from redoxa.data.chemistry import oxidation_states
from redoxa.data.errors import InputError
from redoxa.data.units import ION_VALENCE
from redoxa.screening.ions.removal import ion_sites, without
from redoxa.screening.mobility.grid import Grid, positions_A, refined
from redoxa.screening.mobility.percolation import Threshold, percolation

if TYPE_CHECKING:
    from redoxa.data.records import Crystal

FloatArray = npt.NDArray[np.float64]

SPACING_A, STEP_eV = 0.3, 0.005
"""Of the grid, refined to half by splines, and of the levels: barriers are within 0.02 eV of those of a finer grid."""

COULOMB_eV_A = 14.4
"""e^2 / (4 pi epsilon_0), rounded as in the parametrisation."""

SCREENING = 0.74
"""Screening length of the repulsion over the sum of the covalent radii (doi:10.1107/S2052520618015718)."""

NEGLIGIBLE_eV = 1e-3
"""A pair that contributes less is not summed."""

CLOSEST_A = 0.5
"""Nearer to an atom than this the energy stays what it is here: far too high to matter."""

SITE_REACH_A = 4.0
"""Largest distance that is told between the lowest place and a site."""

CEILING_eV = 12.0
"""So far above the best place nothing passes."""

OPEN_eV = 3.0
"""A higher barrier closes a host: maricite NaFePO4 has 5.5 eV, O3 NaCoO2, where Na is mobile, 2.0 eV."""

WITHIN_eV = 0.7
"""Dimensions that cost no more than this above the easiest count as open (0.3 to 0.4 eV by DFT)."""


@dataclass(frozen=True)
class Bond:
    """Morse potential between a cation and an anion.

    Attributes:
        depth_eV: D0, energy of the bond at its minimum.
        r_min_A: length at the minimum.
        b_A: softness parameter b of the bond valence, the inverse of alpha.
    """

    depth_eV: float
    r_min_A: float
    b_A: float

    def energy_eV(self, distance_A: FloatArray) -> FloatArray:
        """The ion's half of the energy of a bond of that length."""
        decay = np.exp((self.r_min_A - np.maximum(distance_A, CLOSEST_A)) / self.b_A)
        return np.asarray(self.depth_eV / 2 * decay * (decay - 2))

    @property
    def reach_A(self) -> float:
        """Beyond it a bond is worth less than `NEGLIGIBLE_eV`."""
        return self.r_min_A + self.b_A * math.log(self.depth_eV / NEGLIGIBLE_eV)


@dataclass(frozen=True)
class Repulsion:
    """Screened Coulomb potential between two cations.

    Attributes:
        strength_eV_A: product of the charges, each over the root of its principal quantum number, times `COULOMB_eV_A`.
        length_A: screening length.
    """

    strength_eV_A: float
    length_A: float

    @classmethod
    def of(cls, ion: str, cation: str, charge: float) -> Repulsion:
        """Between a working ion and a cation of that charge, from covalent radii (as ASE tabulates them)."""
        from ase.data import atomic_numbers, covalent_radii

        z, other = atomic_numbers[ion], atomic_numbers[cation]
        strength_eV_A = COULOMB_eV_A * ION_VALENCE[ion] * charge / math.sqrt(_period(z) * _period(other))
        return cls(strength_eV_A, SCREENING * float(covalent_radii[z] + covalent_radii[other]))

    def energy_eV(self, distance_A: FloatArray) -> FloatArray:
        """Energy at that distance."""
        from scipy.special import erfc

        away_A = np.maximum(distance_A, CLOSEST_A)
        return np.asarray(self.strength_eV_A / away_A * erfc(away_A / self.length_A))

    @property
    def reach_A(self) -> float:
        """Beyond it the energy is less than `NEGLIGIBLE_eV`, since exp(-x^2) bounds erfc(x)."""
        return self.length_A * math.sqrt(max(1.0, math.log(self.strength_eV_A / self.length_A / NEGLIGIBLE_eV)))


_TABLE = {
    ("Li", "N"): (2.0550, 2.1326, 0.637), ("Li", "O"): (0.9882, 1.9400, 0.516), ("Li", "F"): (0.4961, 1.8727, 0.508),
    ("Li", "S"): (1.0403, 2.4097, 0.653), ("Li", "Cl"): (0.4930, 2.3965, 0.634), ("Li", "Se"): (0.8875, 2.6839, 0.684),
    ("Na", "O"): (0.5752, 2.3743, 0.482), ("Na", "F"): (0.2959, 2.2322, 0.474), ("Na", "S"): (0.6307, 2.9162, 0.619),
    ("Na", "Cl"): (0.3155, 2.7480, 0.601), ("Na", "Se"): (0.5764, 3.0470, 0.650),
    ("K", "O"): (0.3498, 2.7664, 0.436), ("K", "F"): (0.1762, 2.6460, 0.428), ("K", "S"): (0.4117, 3.3153, 0.573),
    ("K", "Cl"): (0.2011, 3.1841, 0.555), ("K", "Se"): (0.3736, 3.5150, 0.604),
    ("Mg", "N"): (2.8748, 2.2159, 0.601), ("Mg", "O"): (1.5755, 1.9563, 0.512), ("Mg", "F"): (0.7961, 1.8757, 0.504),
    ("Mg", "S"): (1.6454, 2.4575, 0.649), ("Mg", "Cl"): (0.7960, 2.3933, 0.630),
    ("Ca", "O"): (0.9943, 2.3203, 0.476), ("Ca", "F"): (0.4986, 2.2267, 0.467), ("Ca", "S"): (1.0982, 2.8354, 0.612),
    ("Ca", "Cl"): (0.5315, 2.7598, 0.594), ("Ca", "Se"): (1.0013, 2.9728, 0.643),
    ("Zn", "O"): (1.2403, 1.8856, 0.403), ("Zn", "F"): (0.9258, 1.8128, 0.406), ("Zn", "S"): (1.4858, 2.3076, 0.540),
    ("Zn", "Cl"): (1.0128, 2.2282, 0.521), ("Zn", "Se"): (1.3855, 2.3962, 0.571),
    ("Al", "O"): (1.8035, 1.7581, 0.424), ("Al", "F"): (1.4473, 1.6412, 0.519), ("Al", "S"): (1.8915, 2.3029, 0.550),
    ("Al", "Cl"): (1.3673, 2.1975, 0.646), ("Al", "Se"): (1.7311, 2.4401, 0.582),
}  # fmt: skip
BONDS: Final[Mapping[tuple[str, str], Bond]] = MappingProxyType({pair: Bond(*x) for pair, x in _TABLE.items()})
"""Parameters of softBV (doi:10.1107/S2052520618015718) by working ion and anion in its usual negative state.

Pairs for which no parameters, or such of the wrong sign (Mg-Se), are published are left out.
"""

ANION_STATES: Final[Mapping[str, int]] = MappingProxyType({"N": -3, "O": -2, "S": -2, "Se": -2, "F": -1, "Cl": -1})
"""States that the parameters are for; peroxides and persulfides have none."""


@dataclass(frozen=True)
class BondValenceMap:
    """What the landscape of an ion in its host says.

    Attributes:
        thresholds: by dimension, in eV above the lowest place; a dimension that is not reached within `CEILING_eV` is
            left out.
        site_distance_A: from the lowest place to the nearest site of the ion; large where the landscape is wrong.
    """

    thresholds: Mapping[int, Threshold]
    site_distance_A: float

    @property
    def dimension(self) -> int:
        """In how many dimensions ions move: those within `WITHIN_eV` of the easiest and below `OPEN_eV`."""
        levels = {dimension: threshold.level for dimension, threshold in self.thresholds.items()}
        limit_eV = min(OPEN_eV, levels.get(1, 0.0) + WITHIN_eV)
        return max((dimension for dimension, level in levels.items() if level <= limit_eV), default=0)


@lru_cache(maxsize=16)
def bond_valence_map(crystal: Crystal, ion: str) -> BondValenceMap:
    """How far the energy of an ion has to rise until it can cross the host in one, two and three dimensions.

    Args:
        crystal: the filled host; all its ions are taken out, the charges of the others stay.
        ion: symbol of a working ion.

    Raises:
        InputError: the crystal holds no such ion or nothing else, its charges are not known, or no parameters are
            published for the ion and an anion of the host.
    """
    sites = ion_sites(crystal, ion)
    if not 0 < len(sites) < crystal.n_atoms:
        raise InputError(f"{crystal.formula} is no host that holds {ion}")
    charges = _charges(crystal)
    host = without(crystal, sites)
    grid = Grid.of(host, SPACING_A)
    field_eV = site_energy_eV(host, charges, ion, grid)
    lowest = np.unravel_index(field_eV.argmin(), grid.shape)
    to_site_A = grid.nearest(positions_A(crystal)[sites], SITE_REACH_A)[lowest]
    field_eV = refined(field_eV - field_eV.min())
    field_eV -= field_eV.min()
    field_eV[field_eV > CEILING_eV] = np.inf
    return BondValenceMap(MappingProxyType(percolation(field_eV, grid.axes, STEP_eV)), float(to_site_A))


def site_energy_eV(host: Crystal, charges: Mapping[str, float], ion: str, grid: Grid) -> FloatArray:
    """Energy [a,b,c] of an ion at the points of the grid.

    Args:
        host: the crystal without its working ions.
        charges: by element symbol; anions are those of negative charge.
        ion: symbol of a working ion.
        grid: of the host's cell.

    Raises:
        InputError: no parameters are published for the ion and one of the anions.
    """
    from ase.data import atomic_numbers

    numbers, places_A = np.array(host.numbers), positions_A(host)
    field_eV = np.zeros(grid.shape)
    for element in sorted(host.composition):
        charge = charges[element]
        if charge:
            pair = _bond(ion, element, charge) if charge < 0 else Repulsion.of(ion, element, charge)
            field_eV += grid.summed(places_A[numbers == atomic_numbers[element]], pair.reach_A, pair.energy_eV)
    return field_eV


def _period(number: int) -> int:
    """Row of the periodic table: the principal quantum number by which the charges are scaled."""
    return 1 + sum(number > noble_gas for noble_gas in (2, 10, 18, 36, 54, 86))


def _bond(ion: str, anion: str, charge: float) -> Bond:
    if (ion, anion) not in BONDS:
        raise InputError(f"no bond valence parameters are published for {ion} and {anion}")
    if abs(charge - ANION_STATES[anion]) > 0.5:
        raise InputError(f"the bond valence parameters of {ion}-{anion} are not for {anion} {charge:+.2g}")
    return BONDS[ion, anion]


def _charges(crystal: Crystal) -> dict[str, float]:
    charges = oxidation_states(crystal.composition)
    if charges is None or min(charges.values()) >= 0:
        raise InputError(f"{crystal.formula} has no common oxidation states, so that its bond valences are unknown")
    return charges
