"""How favourable it is to make a compound from common solid precursors: reaction energy and rivals.

Every set of common precursors that balances to the target is a route, in air or in an inert gas. A route has

* a driving force, the free energy of the reaction by atom of the target, and
* an inverse hull energy, how deep the target lies below the best mixture of other phases that the same powders could
  become (J. Chen et al., Nat. Synth. 3, 606, 2024, doi:10.1038/s44160-024-00502-y).

Deep targets come first, since a strong driving force shared with rivals makes mixtures. Thermodynamics of the whole
mixture only: which pair of grains reacts first is not looked at, and nothing here says that a compound can be made.
Precursors that give off water, ammonia, NOx or CO (hydroxides, ammonium phosphates, nitrates, oxalates) are left out;
phosphorus comes from P2O5 or from phosphates of metals instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from math import comb, lcm
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from screening.furnace import fit_carbon_dioxide, gas_energy_eV

FloatArray = npt.NDArray[np.float64]
Amounts = Mapping[str, float]
"""Atoms by element symbol."""

Atmosphere = Literal["air", "inert gas"]
OXYGEN_ATM: Final[Mapping[Atmosphere, float]] = {"air": 0.21, "inert gas": 1e-5}
CARBON_DIOXIDE_ATM: Final = 1.0
"""Between reacting grains, not in the furnace: carbonates are not helped along by thin air."""

_FORMULAS = """
Li2CO3 Na2CO3 K2CO3 Rb2CO3 Cs2CO3 MgCO3 CaCO3 SrCO3 BaCO3 MnCO3 MgO CaO SrO BaO ZnO Al2O3 Ga2O3 In2O3 Sc2O3 Y2O3
La2O3 CeO2 TiO2 ZrO2 HfO2 V2O3 VO2 V2O5 Nb2O5 Ta2O5 Cr2O3 MoO3 WO3 MnO Mn2O3 MnO2 FeO Fe2O3 CoO Co3O4 NiO CuO
Cu2O Ag2O B2O3 SiO2 GeO2 SnO SnO2 Sb2O3 Bi2O3 P2O5 TeO2 SeO2 Li3PO4 LiPO3 Na3PO4 NaPO3 K3PO4 FePO4 AlPO4 Li2SO4
Na2SO4 K2SO4 MgSO4 FeSO4 MnSO4 CoSO4 NiSO4 ZnSO4 LiF NaF KF MgF2 CaF2 AlF3 TiF3 VF3 CrF3 MnF2 FeF2 FeF3 CoF2 NiF2
CuF2 ZnF2 LiCl NaCl KCl MgCl2 CaCl2 AlCl3 TiCl3 VCl3 CrCl3 MnCl2 FeCl2 FeCl3 CoCl2 NiCl2 ZnCl2 YCl3 InCl3 ZrCl4
LiBr NaBr LiI NaI Li2S Na2S K2S MgS CaS ZnS Al2S3 TiS2 VS2 NbS2 CrS MoS2 WS2 MnS FeS FeS2 CoS NiS CuS Cu2S SnS SnS2
Sb2S3 Bi2S3 P2S5 SiS2 GeS2 Li3N Mg3N2 AlN S Se Te P C Si Ge Sn Sb Bi Mg Al Zn Ti V Nb Cr Mo W Mn Fe Co Ni Cu
"""
PRECURSORS: Final = frozenset(_FORMULAS.split())
"""Solids that laboratories buy. Elements serve targets without oxygen only: in air they would burn first."""

MAX_SETS = 200_000
"""With more (seven elements beside oxygen), the solids that hold most elements are left out."""

MAX_SCORED = 12
"""Routes of each atmosphere, by driving force, whose rivals are looked for."""

OWN_FORMULA_MARGIN_eV_PER_ATOM = 0.005
"""A polymorph of the target is its rival where it lies lower by more than two relaxations of one crystal differ."""

INVERSE_HULL_STEP_eV_PER_ATOM = 0.02
"""Inverse hull energies closer than this count as equal when routes are ranked."""

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


@dataclass(frozen=True)
class Furnace:
    """Free energies of the gases (None: CO2 is not known) and thermal part of the solids, at one temperature."""

    oxygen_eV: Mapping[Atmosphere, float]
    carbon_dioxide_eV: float | None
    solid_eV_per_atom: float

    def energy_eV(self, phase: Phase) -> float:
        """Free energy of a solid by formula unit."""
        return phase.energy_eV + self.solid_eV_per_atom * phase.n_atoms


@dataclass(frozen=True)
class Route:
    """One balanced way to a formula unit of the target.

    Attributes:
        target: its formula.
        precursors: formula units consumed, by formula.
        oxygen: O2 molecules taken up; negative where given off.
        carbon_dioxide: CO2 molecules given off.
        atmosphere: "air" exchanges O2 freely; "inert gas" only takes it away.
        driving_force_eV_per_atom: free energy of the reaction by atom of the target; negative is downhill.
        inverse_hull_eV_per_atom: of the target against its rivals; negative where it lies below them.
        rivals: what the mixture would become if there were no target.
    """

    target: str
    precursors: Mapping[str, float]
    oxygen: float
    carbon_dioxide: float
    atmosphere: Atmosphere
    driving_force_eV_per_atom: float
    inverse_hull_eV_per_atom: float = 0.0
    rivals: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The reaction in whole numbers, e.g. ``6 Li2CO3 + 4 Co3O4 + O2 -> 12 LiCoO2 + 6 CO2``."""
        left = {**self.precursors, "O2": max(self.oxygen, 0.0)}
        right = {self.target: 1.0, "O2": max(-self.oxygen, 0.0), "CO2": self.carbon_dioxide}
        exact = [{f: Fraction(n).limit_denominator(360) for f, n in side.items() if n > TINY} for side in (left, right)]
        scale = lcm(*(n.denominator for side in exact for n in side.values()))
        sides = [" + ".join(f"{n * scale} {f}".removeprefix("1 ") for f, n in side.items()) for side in exact]
        return " -> ".join(sides)

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Downhill before uphill, then deep before shallow, then the stronger driving force."""
        depth = round(self.inverse_hull_eV_per_atom / INVERSE_HULL_STEP_eV_PER_ATOM)
        driving_force = round(self.driving_force_eV_per_atom, 6)
        return driving_force > 0, depth, driving_force


def furnace_at(known: Iterable[Phase], oxygen_eV: float, solid_eV_per_atom: float, temperature_K: float) -> Furnace:
    """Free energies at a temperature.

    Args:
        known: phases of the reference, for the carbonates by which the energy of CO2 is fitted.
        oxygen_eV: energy of O2 on the scale of the reference, by molecule.
        solid_eV_per_atom: `screening.furnace.solid_thermal_eV_per_atom` of the target.
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


def find_routes(target: Phase, known: Sequence[Phase], furnace: Furnace) -> list[Route]:
    """Routes to a target, the best first; empty where no set of common precursors balances.

    Args:
        target: energy relaxed by the potential of the reference.
        known: phases of the reference in the target's elements, and in carbon where it may leave as CO2.
        furnace: free energies at firing temperature.
    """
    system = _System.of(target, furnace)
    usable = [phase for phase in known if phase.atoms.keys() <= system.allowed]
    solids = [phase for phase in usable if system.is_precursor(phase)]
    routes = [
        route
        for amounts in system.balanced_sets(solids)
        for route in system.routes([(solids[i], n) for i, n in amounts.items()])
    ]
    routes.sort(key=lambda route: (round(route.driving_force_eV_per_atom, 6), sorted(route.precursors)))
    best = [r for atmosphere in OXYGEN_ATM for r in [r for r in routes if r.atmosphere == atmosphere][:MAX_SCORED]]
    rivals = [phase for phase in usable if system.is_rival(phase)]
    by_formula = {phase.formula: phase for phase in solids}
    scored = [system.with_rivals(route, [by_formula[f] for f in route.precursors], rivals) for route in best]
    return sorted(scored, key=lambda route: route.rank)


@dataclass(frozen=True)
class _System:
    """The target's elements, sorted into those that only solids hold and those that gases carry."""

    target: Phase
    furnace: Furnace
    cations: tuple[str, ...]
    oxygen: bool
    carbon_leaves: bool

    @classmethod
    def of(cls, target: Phase, furnace: Furnace) -> _System:
        oxygen = "O" in target.atoms and len(target.atoms) > 1
        carbon_leaves = oxygen and "C" not in target.atoms and furnace.carbon_dioxide_eV is not None
        cations = tuple(sorted(e for e in target.atoms if not (oxygen and e == "O")))
        return cls(target, furnace, cations, oxygen, carbon_leaves)

    @property
    def allowed(self) -> frozenset[str]:
        return frozenset(self.target.atoms) | ({"C"} if self.carbon_leaves else set())

    def cations_of(self, phase: Phase) -> FloatArray:
        return np.array([phase.atoms.get(e, 0.0) for e in self.cations])

    def is_precursor(self, phase: Phase) -> bool:
        element_in_air = self.oxygen and len(phase.atoms) == 1
        return phase.formula in PRECURSORS and phase.formula != self.target.formula and not element_in_air

    def is_rival(self, phase: Phase) -> bool:
        if not self.cations_of(phase).any():  # oxygen, carbon and carbon oxides: the gases stand for them
            return False
        lower = self.target.energy_eV / self.target.n_atoms - phase.energy_eV / phase.n_atoms
        return phase.formula != self.target.formula or lower > OWN_FORMULA_MARGIN_eV_PER_ATOM

    def balanced_sets(self, solids: Sequence[Phase]) -> list[dict[int, float]]:
        """Amounts by index of every set of as many solids as cations that makes the target's cations."""
        size = len(self.cations)
        simple_first = sorted(range(len(solids)), key=lambda i: np.count_nonzero(self.cations_of(solids[i])))
        while comb(len(simple_first), size) > MAX_SETS:
            simple_first.pop()
        sets = np.array(list(combinations(simple_first, size)))
        if not len(sets):
            return []
        columns = np.array([self.cations_of(phase) for phase in solids])
        matrices = columns[sets].transpose(0, 2, 1)
        sets = sets[regular := np.abs(np.linalg.det(matrices)) > TINY]
        wanted = np.broadcast_to(self.cations_of(self.target)[:, None], (len(sets), size, 1))
        amounts = np.linalg.solve(matrices[regular], wanted)[:, :, 0]
        found = {}
        for indices, row in zip(sets, amounts, strict=True):
            if np.all(row > -TINY):
                kept = {int(i): float(n) for i, n in sorted(zip(indices, row, strict=True)) if n > TINY}
                found[tuple(kept)] = kept
        return list(found.values())

    def routes(self, amounts: Sequence[tuple[Phase, float]]) -> list[Route]:
        """The reaction in each atmosphere that allows it."""
        carbon = sum(n * phase.atoms.get("C", 0.0) for phase, n in amounts) if self.carbon_leaves else 0.0
        held = sum(n * phase.atoms.get("O", 0.0) for phase, n in amounts)
        uptake = (self.target.atoms["O"] + 2 * carbon - held) / 2 if self.oxygen else 0.0
        precursors_eV = sum(n * self.furnace.energy_eV(phase) for phase, n in amounts)
        found = []
        for atmosphere, oxygen_eV in self.furnace.oxygen_eV.items():
            if (atmosphere == "inert gas" and uptake > TINY) or (atmosphere == "air" and not self.oxygen):
                continue
            gases_eV = carbon * (self.furnace.carbon_dioxide_eV or 0.0) - uptake * oxygen_eV
            change_eV = self.furnace.energy_eV(self.target) + gases_eV - precursors_eV
            precursors = {phase.formula: n for phase, n in amounts}
            driving_force = change_eV / self.target.n_atoms
            found.append(Route(self.target.formula, precursors, uptake, carbon, atmosphere, driving_force))
        return found

    def with_rivals(self, route: Route, precursors: Sequence[Phase], rivals: Sequence[Phase]) -> Route:
        """The route with its inverse hull energy, by a linear programme: its atoms without the target."""
        oxygen_eV = self.furnace.oxygen_eV[route.atmosphere]
        gases: list[tuple[Amounts, float]] = []
        if self.oxygen:
            gases.append(({"O": 2.0}, oxygen_eV))
            if route.atmosphere == "air":
                gases.append(({"O": -2.0}, -oxygen_eV))
        if self.carbon_leaves and self.furnace.carbon_dioxide_eV is not None:
            gases.append(({"C": 1.0, "O": 2.0}, self.furnace.carbon_dioxide_eV))
        elements = sorted(self.allowed)
        columns = [*((p.atoms, self.furnace.energy_eV(p)) for p in rivals), *gases]
        matrix = np.array([[atoms.get(e, 0.0) for atoms, _ in columns] for e in elements])
        mixture = [sum(route.precursors[p.formula] * p.atoms.get(e, 0.0) for p in precursors) for e in elements]
        solved = linprog([energy for _, energy in columns], A_eq=matrix, b_eq=mixture, method="highs")
        if solved.status != 0:
            raise ArithmeticError(f"{route.text}: its precursors do not balance themselves")
        gases_eV = route.carbon_dioxide * (self.furnace.carbon_dioxide_eV or 0.0) - route.oxygen * oxygen_eV
        depth_eV = self.furnace.energy_eV(self.target) + gases_eV - float(solved.fun)
        order = np.argsort(-np.round(solved.x[: len(rivals)], 6), kind="stable")
        names = tuple(rivals[i].formula for i in order if solved.x[i] > TINY)
        return replace(route, inverse_hull_eV_per_atom=depth_eV / self.target.n_atoms, rivals=names)
