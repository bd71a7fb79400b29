"""What a reaction of powders is worth in a furnace: its free energy, and the rivals of what it makes.

A reaction has

* a driving force, the free energy of the reaction by atom of the target, and
* an inverse hull energy, how deep the target lies below the best mixture of other phases that the same powders could
  become in the same gas (J. Chen et al., Nat. Synth. 3, 606, 2024, doi:10.1038/s44160-024-00502-y).

A strong driving force that is shared with rivals makes mixtures. Thermodynamics of the whole mixture only: which pair
of grains reacts first is not looked at, and nothing here says that a compound can be made. Powders that give off water,
ammonia, CO or NO2 count as what they leave (NH4H2PO4 as P2O5, an oxalate as its oxide); carbonates count in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.optimize import linprog

from redoxa.data.lab.recipe import Atmosphere
from redoxa.data.synthesis.catalogue import CataloguePrecursor
from redoxa.data.synthesis.formula import parse_formula
from redoxa.data.synthesis.reaction import Reaction
from redoxa.data.synthesis.route import RouteEnergy
from redoxa.screening.physics.furnace import fit_carbon_dioxide, gas_energy_eV

Amounts = Mapping[str, float]
"""Atoms by element symbol."""

OXYGEN_ATM: Final[Mapping[Atmosphere, float]] = {
    "air": 0.21, "oxygen": 1.0, "argon": 1e-5, "nitrogen": 1e-5, "argon/hydrogen 95/5": 1e-22,
}  # fmt: skip
"""Partial pressure of O2; beside hydrogen that of its equilibrium with a hundredth of water at 1000 K (NIST-JANAF)."""

BRINGS_OXYGEN: Final = frozenset({"air", "oxygen"})
"""Gases that exchange O2 freely; the others only take it away."""

CARBON_DIOXIDE_ATM: Final = 1.0
"""Between reacting grains, not in the furnace: carbonates are not helped along by thin air."""

OWN_FORMULA_MARGIN_eV_PER_ATOM = 0.005
"""A polymorph of the target is its rival where it lies lower by more than two relaxations of one crystal differ."""

TINY = 1e-8


@dataclass(frozen=True)
class Phase:
    """A solid: its atoms in a formula unit and its energy on the scale of the reference."""

    formula: str
    atoms: Amounts
    energy_eV: float

    @property
    def n_atoms(self) -> float:
        """Atoms in a formula unit."""
        return sum(self.atoms.values())

    @property
    def shares(self) -> frozenset[tuple[str, float]]:
        """What tells compounds apart, whatever their formula unit."""
        return _shares(self.atoms)


@dataclass(frozen=True)
class Furnace:
    """Free energies of the gases (None: CO2 is not known) and thermal part of the solids, at one temperature."""

    oxygen_eV: Mapping[Atmosphere, float]
    carbon_dioxide_eV: float | None
    solid_eV_per_atom: float

    def energy_eV(self, phase: Phase) -> float:
        """Free energy of a solid by formula unit."""
        return phase.energy_eV + self.solid_eV_per_atom * phase.n_atoms


def furnace_at(known: Iterable[Phase], oxygen_eV: float, solid_eV_per_atom: float, temperature_K: float) -> Furnace:
    """Free energies at a temperature.

    Args:
        known: phases of the reference, for the carbonates by which the energy of CO2 is fitted.
        oxygen_eV: energy of O2 on the scale of the reference, by molecule.
        solid_eV_per_atom: `screening.physics.furnace.solid_thermal_eV_per_atom` of the target.
        temperature_K: within 300 to 2000 K.
    """
    fitted = fit_carbon_dioxide({phase.formula: phase.energy_eV for phase in known})
    carbon_dioxide_eV = None
    if fitted is not None:
        carbon_dioxide_eV = gas_energy_eV(fitted.energy_eV, "CO2", temperature_K, CARBON_DIOXIDE_ATM)
    return Furnace(
        oxygen_eV={a: gas_energy_eV(oxygen_eV, "O2", temperature_K, p) for a, p in OXYGEN_ATM.items()},
        carbon_dioxide_eV=carbon_dioxide_eV,
        solid_eV_per_atom=solid_eV_per_atom,
    )


@dataclass(frozen=True)
class ReactionEnergies:
    """Energies of the reactions that make one compound; call it with a reaction and its furnace gas.

    Attributes:
        target: energy relaxed by the potential of the reference.
        known: phases of the reference in the target's elements, and in carbon where it may leave as CO2.
        furnace: free energies at firing temperature.
    """

    target: Phase
    known: Sequence[Phase]
    furnace: Furnace

    def __call__(self, reaction: Reaction, atmosphere: Atmosphere) -> RouteEnergy | None:
        """Driving force and depth; None where the reference holds no energy of a powder, or nitrogen takes part."""
        if "N2" in reaction.gases:
            return None
        if any(not self._solids(powder) for powder, _ in reaction.terms):
            return None
        solids = [(phase, float(n) * m) for powder, n in reaction.terms for phase, m in self._solids(powder)]
        carbon = sum(n * phase.atoms.get("C", 0.0) for phase, n in solids) if self.carbon_leaves else 0.0
        held = sum(n * phase.atoms.get("O", 0.0) for phase, n in solids)
        uptake = (self.target.atoms["O"] + 2 * carbon - held) / 2 if self.oxygen else 0.0
        gases_eV = carbon * (self.furnace.carbon_dioxide_eV or 0.0) - uptake * self.furnace.oxygen_eV[atmosphere]
        made_eV = self.furnace.energy_eV(self.target) + gases_eV
        change_eV = made_eV - sum(n * self.furnace.energy_eV(phase) for phase, n in solids)
        mixture_eV, rivals = self._without_target(solids, atmosphere)
        return RouteEnergy(change_eV / self.target.n_atoms, (made_eV - mixture_eV) / self.target.n_atoms, rivals)

    @property
    def oxygen(self) -> bool:
        """Whether a gas may bring or take oxygen."""
        return "O" in self.target.atoms and len(self.target.atoms) > 1

    @property
    def carbon_leaves(self) -> bool:
        """Whether carbon goes into CO2."""
        return self.oxygen and "C" not in self.target.atoms and self.furnace.carbon_dioxide_eV is not None

    @property
    def elements(self) -> set[str]:
        """Of the target, and carbon where it goes into CO2."""
        return set(self.target.atoms) | ({"C"} if self.carbon_leaves else set())

    @cached_property
    def usable(self) -> tuple[Phase, ...]:
        """Phases of the target's elements, and carbonates."""
        return tuple(phase for phase in self.known if phase.atoms.keys() <= self.elements)

    @cached_property
    def _by_shares(self) -> dict[frozenset[tuple[str, float]], Phase]:
        return {phase.shares: phase for phase in sorted(self.usable, key=lambda p: -p.energy_eV / p.n_atoms)}

    def _solids(self, powder: CataloguePrecursor) -> list[tuple[Phase, float]]:
        """Phases that stand for a formula unit of a powder, with their amounts; empty where one is not known."""
        own = {powder.formula: 1.0}
        whole = {formula: float(n) for formula, n in powder.residue.items()} or own
        for formulas in (own, whole) if set(powder.gas) <= {"CO2"} else (whole,):
            found = []
            for formula, n in formulas.items():
                atoms = {e: float(x) for e, x in parse_formula(formula).items()}
                phase = self._by_shares.get(_shares(atoms))
                if phase is not None:
                    found.append((phase, n * sum(atoms.values()) / phase.n_atoms))
            if len(found) == len(formulas):
                return found
        return []

    def _is_rival(self, phase: Phase) -> bool:
        gaseous = {"O", "C"} if self.carbon_leaves else {"O"} if self.oxygen else set()
        if phase.atoms.keys() <= gaseous:  # the gases stand for them
            return False
        lower = self.target.energy_eV / self.target.n_atoms - phase.energy_eV / phase.n_atoms
        return phase.shares != self.target.shares or lower > OWN_FORMULA_MARGIN_eV_PER_ATOM

    def _without_target(
        self, solids: Sequence[tuple[Phase, float]], atmosphere: Atmosphere
    ) -> tuple[float, tuple[str, ...]]:
        """Least free energy of the same atoms without the target, by a linear programme, and its phases."""
        rivals = [phase for phase in self.usable if self._is_rival(phase)]
        oxygen_eV = self.furnace.oxygen_eV[atmosphere]
        gases: list[tuple[Amounts, float]] = []
        if self.oxygen:
            gases.append(({"O": 2.0}, oxygen_eV))
            if atmosphere in BRINGS_OXYGEN:
                gases.append(({"O": -2.0}, -oxygen_eV))
        if self.carbon_leaves and self.furnace.carbon_dioxide_eV is not None:
            gases.append(({"C": 1.0, "O": 2.0}, self.furnace.carbon_dioxide_eV))
        columns = [*((p.atoms, self.furnace.energy_eV(p)) for p in rivals), *gases]
        elements = sorted(self.elements)
        matrix = np.array([[atoms.get(e, 0.0) for atoms, _ in columns] for e in elements])
        mixture = [sum(n * phase.atoms.get(e, 0.0) for phase, n in solids) for e in elements]
        solved = linprog([energy for _, energy in columns], A_eq=matrix, b_eq=mixture, method="highs")
        if solved.status != 0:
            names = ", ".join(phase.formula for phase, _ in solids)
            raise ArithmeticError(f"{names}: the atoms of these powders do not balance themselves")
        order = np.argsort(-np.round(solved.x[: len(rivals)], 6), kind="stable")
        return float(solved.fun), tuple(rivals[i].formula for i in order if solved.x[i] > TINY)


def _shares(atoms: Amounts) -> frozenset[tuple[str, float]]:
    total = sum(atoms.values())
    return frozenset((e, round(n / total, 6)) for e, n in atoms.items())
