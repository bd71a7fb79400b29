"""Free energies at the temperature of a furnace: the solids, and the two gases that ceramic reactions exchange with it.

Energies of the reference count as enthalpies at 298 K: their corrections were fitted to such. What temperature adds is
G(T) - H(298 K): for O2 and CO2 from the NIST-JANAF tables, as pymatgen carries them; for solids the descriptor of
Bartel et al., Nat. Commun. 9, 4168 (2018), doi:10.1038/s41467-018-06682-4. It is taken once, at the target's volume and
masses, for all solids of a reaction (Neumann and Kopp's rule), since the reference keeps no volumes; so it counts only
for atoms that leave into a gas or come from one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, stdev
from typing import Literal

import numpy as np

from redoxa.data.errors import InputError
from redoxa.data.records import Crystal
from redoxa.data.units import FARADAY_C_PER_MOL

BOLTZMANN_eV_K = 8.617333262e-5
EV_PER_KJ_MOL = 1000 / FARADAY_C_PER_MOL

Gas = Literal["O2", "CO2"]

FORMATION_CO2_eV = -393.51 * EV_PER_KJ_MOL
"""Enthalpy of formation at 298 K (CODATA)."""

DECARBONATION_kJ_mol: Mapping[tuple[str, str], float] = {
    ("CaCO3", "CaO"): 178.3, ("MgCO3", "MgO"): 100.7, ("Li2CO3", "Li2O"): 224.5, ("Na2CO3", "Na2O"): 323.0,
    ("K2CO3", "K2O"): 394.3, ("MnCO3", "MnO"): 115.4, ("ZnCO3", "ZnO"): 68.8,
}  # fmt: skip
"""Enthalpy at 298 K of carbonate -> oxide + CO2 (CRC Handbook of Chemistry and Physics, 97th ed., 2016, section 5)."""

MIN_CARBONATES = 3


@dataclass(frozen=True)
class FittedGas:
    """Energy of CO2 on the scale of a reference, how well its carbonates agree about it, and how many there are."""

    energy_eV: float
    spread_eV: float
    n_carbonates: int


def gas_thermal_eV(gas: Gas, temperature_K: float) -> float:
    """G(T) - H(298 K) of a molecule at 1 atm, interpolated between hundreds of kelvin.

    Raises:
        InputError: below 300 or above 2000 K, where the tables end.
    """
    from pymatgen.core.entries import G_ELEMS, G_GASES

    grid = sorted(float(t) for t in G_ELEMS)
    if not grid[0] <= temperature_K <= grid[-1]:
        raise InputError(f"{temperature_K:g} K lies outside the tables, {grid[0]:g} to {grid[-1]:g} K")
    oxygen = [2 * G_ELEMS[f"{t:.0f}"]["O"] for t in grid]
    if gas == "O2":
        return float(np.interp(temperature_K, grid, oxygen))
    carbon = [G_ELEMS[f"{t:.0f}"]["C"] for t in grid]
    formation = [G_GASES["CO2"][f"{t:.0f}"] - FORMATION_CO2_eV for t in grid]
    return float(np.interp(temperature_K, grid, np.add(np.add(formation, carbon), oxygen)))


def solid_thermal_eV_per_atom(crystal: Crystal, temperature_K: float) -> float:
    """G(T) - H(298 K) of a crystalline compound by atom (equation 4 of Bartel et al.), for 300 to 1800 K.

    Args:
        crystal: relaxed; its volume by atom and the reduced masses of its pairs of elements enter.
        temperature_K: temperature.

    Raises:
        InputError: an element, for which the descriptor was not made.
    """
    volume_A3 = crystal.volume_A3 / crystal.n_atoms
    slope = -2.48e-4 * math.log(volume_A3) - 8.94e-5 * reduced_mass_amu(crystal.composition) / volume_A3
    return slope * temperature_K + 0.181 * math.log(temperature_K) - 0.882


def reduced_mass_amu(composition: Mapping[str, int]) -> float:
    """Mean of the reduced masses of all pairs of elements, weighted by their atoms (equation 6 of Bartel et al.).

    Raises:
        InputError: fewer than two elements.
    """
    from ase.data import atomic_masses, atomic_numbers

    if len(composition) < 2:
        raise InputError("the reduced mass needs two elements")
    total = 0.0
    for a, b in combinations(composition, 2):
        mass_a, mass_b = (float(atomic_masses[atomic_numbers[e]]) for e in (a, b))
        total += (composition[a] + composition[b]) * mass_a * mass_b / (mass_a + mass_b)
    return total / ((len(composition) - 1) * sum(composition.values()))


def gas_energy_eV(gas_298K_eV: float, gas: Gas, temperature_K: float, pressure_atm: float) -> float:
    """Free energy of a molecule at temperature and partial pressure, from its energy on the scale of the reference."""
    thermal = gas_thermal_eV(gas, temperature_K)
    return gas_298K_eV + thermal + BOLTZMANN_eV_K * temperature_K * math.log(pressure_atm)


def fit_carbon_dioxide(energies_eV: Mapping[str, float]) -> FittedGas | None:
    """Energy of CO2 that makes the carbonates of a reference give it off with the measured enthalpies.

    DFT with the MP2020 corrections binds carbonates and CO2 too strongly against graphite, and so do potentials that
    learnt from it (CHGNet 0.3.0 by 0.9 eV a carbon atom). Fitted so, the error cancels between carbonate and gas.

    Args:
        energies_eV: by reduced formula, of a formula unit.

    Returns:
        None where the reference holds fewer than three of the pairs.
    """
    found = [
        energies_eV[carbonate] - energies_eV[oxide] + enthalpy * EV_PER_KJ_MOL
        for (carbonate, oxide), enthalpy in DECARBONATION_kJ_mol.items()
        if carbonate in energies_eV and oxide in energies_eV
    ]
    if len(found) < MIN_CARBONATES:
        return None
    return FittedGas(mean(found), stdev(found), len(found))
