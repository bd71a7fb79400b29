"""The temperature at which a state of charge gives off oxygen, by equilibrium with the phases it may become.

The lowest mixture of known phases at the state's composition is followed as oxygen leaves. Its first step costs a
reaction energy by O2, which the entropy of the gas repays at some temperature (L. Wang, T. Maxisch, G. Ceder, Chem.
Mater. 19, 543, 2007, doi:10.1021/cm0620943; S. P. Ong et al., Chem. Mater. 20, 1798, 2008, doi:10.1021/cm702327g).
Entropies of solids are left out, as there. The solid O2 of the reference stands for the gas at 298 K: the MP2020
corrections of oxides were fitted to enthalpies at 298 K against such an O2 (A. Wang et al., Sci. Rep. 11, 15496, 2021,
doi:10.1038/s41598-021-94550-5).

Equilibrium of the whole composition: a metastable polymorph is taken to turn into the lowest phases first. Kinetics are
not looked at; charged layered oxides are held back by them, or fall earlier through contact with the electrolyte.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from scipy.optimize import brentq

from redoxa.data.errors import InputError
from redoxa.data.records import Estimate
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label, Note
from redoxa.screening.physics.furnace import BOLTZMANN_eV_K, gas_thermal_eV
from redoxa.screening.physics.hull_energy import (
    Competitors,
    candidate_entry,
    chemical_potential,
    formula_atoms,
    reaction_text,
)

if TYPE_CHECKING:
    from redoxa.screening.compute.relax import Relaxation

AIR_ATM: Final = 0.21
"""Partial pressure of oxygen in air."""

RELEASE_SIGMA_eV_PER_O2: Final = 0.84
"""RMS error of 13 measured reductions of binary oxides on the shipped reference (`benchmarks/hull.py`)."""

DIRECT_SHOWN_eV_PER_O2: Final = 0.01

FIRST_K, LAST_K = 300.0, 2000.0
"""Where the tables of the gas begin and end."""

SLOPE_K = 50.0
"""To both sides of a temperature, the entropy of the gas is taken from its chemical potential."""


@dataclass(frozen=True)
class OxygenRelease:
    """The first reaction that gives off oxygen.

    Attributes:
        energy_eV_per_O2: what it costs; 0 where the lowest mixture holds free oxygen already.
        direct_eV_per_O2: what the same reaction costs when it starts from the crystal, which may be metastable.
        reaction: balanced, from the crystal.
    """

    energy_eV_per_O2: float
    direct_eV_per_O2: float
    reaction: str


def oxygen_potential_eV(temperature_K: float, pressure_atm: float = AIR_ATM) -> float:
    """Chemical potential of O2 by molecule, less its enthalpy at 298 K.

    Below 300 K, where the tables end, it falls in proportion to the temperature.

    Raises:
        InputError: a temperature outside 0 to 2000 K, or a pressure that is not positive.
    """
    if temperature_K < 0 or pressure_atm <= 0:
        raise InputError(f"no oxygen at {temperature_K:g} K and {pressure_atm:g} atm")
    known_K = max(temperature_K, FIRST_K)
    potential = gas_thermal_eV("O2", known_K) + BOLTZMANN_eV_K * known_K * math.log(pressure_atm)
    return potential * temperature_K / known_K


def release_temperature_K(energy_eV_per_O2: float, pressure_atm: float = AIR_ATM) -> float:
    """Temperature at which the free energy of the gas repays a reaction energy.

    Returns:
        0 where oxygen leaves without any heat; 2000 K, the end of the tables, stands for anything above.
    """
    if energy_eV_per_O2 <= 0:
        return 0.0

    def balance_eV(temperature_K: float) -> float:
        return energy_eV_per_O2 + oxygen_potential_eV(temperature_K, pressure_atm)

    return LAST_K if balance_eV(LAST_K) > 0 else float(brentq(balance_eV, 0.0, LAST_K, xtol=0.01))


def oxygen_release(
    competitors: Competitors, formula: str, energy_eV_per_atom: float, oxygen_eV_per_atom: float
) -> OxygenRelease | None:
    """The first reaction of a crystal that gives off oxygen.

    Args:
        competitors: phases of its system; the crystal itself among them where it is to compete.
        formula: its reduced formula.
        energy_eV_per_atom: its energy, on their scale.
        oxygen_eV_per_atom: elemental oxygen's, on the same scale.

    Returns:
        None where it holds no oxygen, or nothing is known that it may become.
    """
    atoms = formula_atoms(formula)
    start = competitors.mixture(atoms) if "O" in atoms else None
    end = None if start is None else competitors.next_mixture(atoms, start, "O", -atoms["O"])
    if start is None or end is None:
        return None
    molecules = -end.taken / 2
    own_eV = energy_eV_per_atom * sum(atoms.values())
    products = {f: n for f, n in end.units.items() if f != "O2"}
    return OxygenRelease(
        energy_eV_per_O2=max(0.0, round(2 * (oxygen_eV_per_atom - chemical_potential(start, end)), 6)),
        direct_eV_per_O2=(end.energy_eV - own_eV) / molecules + 2 * oxygen_eV_per_atom,
        reaction=reaction_text({formula: 1.0}, {**products, "O2": molecules + end.units.get("O2", 0.0)}),
    )


class OxygenReleaseTemperature:
    """Where the charged state begins to give off oxygen in air: the later, the safer a cell that overheats."""

    name: ClassVar[str] = "oxygen_release_temperature"
    summary: ClassVar[str] = "temperature at which the charged state gives off O2 in air, by equilibrium; 0 at once"
    unit: ClassVar[str] = "K"
    stage: ClassVar[str] = "oxygen"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.31
    label: ClassVar[Label] = Label(
        "Oxygen release from", "Oxygen release", "Decomposition", absent="it holds no oxygen, or gives none off"
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "oxygen_release_discharge": Note("Oxygen, discharged: {}.", "Decomposition", formulas=True),
        "oxygen_release_charge": Note("Oxygen, charged: {}.", "Decomposition", formulas=True),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Nothing where there is no oxygen, or an element without a reference energy (the hull says so)."""
        discharged, charged = (self._release(state, around) for state in subject.both)
        notes = {
            f"oxygen_release_{role}": _text(found)
            for role, found in (("charge", charged), ("discharge", discharged))
            if found is not None
        }
        if charged is None:
            return Findings(notes=notes)
        value_K = release_temperature_K(charged.energy_eV_per_O2)
        below_K, above_K = max(0.0, value_K - SLOPE_K), min(LAST_K, value_K + SLOPE_K)
        entropy_eV_K = (oxygen_potential_eV(below_K) - oxygen_potential_eV(above_K)) / (above_K - below_K)
        return Findings(
            Estimate(
                value=value_K,
                sigma=RELEASE_SIGMA_eV_PER_O2 / entropy_eV_K,
                unit=self.unit,
                method=f"first reaction with O2 on the hull, in {AIR_ATM:g} atm of O2; sigma: "
                f"{RELEASE_SIGMA_eV_PER_O2:g} eV/O2, RMS error of 13 reductions of binary oxides",
                model=around.model.id,
            ),
            notes=notes,
        )

    def _release(self, state: Relaxation, around: Surroundings) -> OxygenRelease | None:
        formula, energy = state.crystal.formula, state.energy_eV_per_atom
        elements = formula_atoms(formula).keys()
        if "O" not in elements or around.reference.coverage(elements).missing:
            return None
        phases = [*around.reference.entries(elements), candidate_entry(formula, energy)]
        return oxygen_release(Competitors(phases), formula, energy, around.reference.ion_metal_energy("O"))


def _text(found: OxygenRelease) -> str:
    """E.g. ``5 CoO2 -> Co5O8 + O2: 0.77 eV/O2; from the crystal as it is 0.50 eV/O2, 233 K in air``."""
    if found.energy_eV_per_O2 == 0:
        return f"{found.reaction}: spontaneous at 0 K"
    text = f"{found.reaction}: {found.energy_eV_per_O2:.2f} eV/O2"
    if found.energy_eV_per_O2 - found.direct_eV_per_O2 < DIRECT_SHOWN_eV_PER_O2:
        return text
    direct_K = release_temperature_K(found.direct_eV_per_O2)
    return f"{text}; from the crystal as it is {found.direct_eV_per_O2:.2f} eV/O2, {direct_K:.0f} K in air"
