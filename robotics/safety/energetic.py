"""Safety rule about targets that store energy: by composition, by charge balance, and by the bonds of the crystal."""

from __future__ import annotations

from math import lcm
from typing import Final

from redoxa.data.chemistry import oxidation_states
from redoxa.data.records import Crystal
from redoxa.data.synthesis.formula import Amounts
from redoxa.robotics.safety.subject import Subject

ALKALI: Final = frozenset({"Li", "Na", "K", "Rb", "Cs"})
HALOGENS: Final = frozenset({"Cl", "Br", "I"})

_STATES = {
    1: "Li Na K Rb Cs",
    2: "Be Mg Ca Sr Ba Zn",
    3: "B Al Ga In Sc Y La Nd Sm Eu Gd Dy Ho Er Tm Yb Lu Au",
    4: "C Si Ge Sn Ti Zr Hf Cr Mn Fe Co Ni Rh Pd Pt Ce Pr Tb",
    5: "P V Nb Ta Sb Bi Ir Ru",
    6: "S Se Te Mo W Re",
}
HIGHEST_STATE: Final = {e: state for state, elements in _STATES.items() for e in elements.split()} | {"Cu": 3, "Ag": 1}
"""Highest oxidation state in an oxide that holds its oxygen firmly. Beyond lie permanganate and manganate (Mn +7, +6,
+5), ferrate (Fe +6), chromate and dichromate (Cr +6) and what only pressure or electrolysis makes (N. N. Greenwood,
A. Earnshaw, Chemistry of the Elements, 2nd ed., 1997). An element that is not here cannot be judged."""

IN_NITRIDES: Final = HIGHEST_STATE | {"Mn": 5, "Cr": 6}
"""The same in nitrides, which hold such states without being oxidisers (Li7MnN4, Li6CrN4)."""

OVERCHARGED_OXIDE = "a peroxide, or an oxidiser such as a permanganate, ferrate or chromate"
OVERCHARGED_NITRIDE = "an azide or another compound with bonds between nitrogens"

BONDS_A: Final = {
    ("O", "O"): (1.75, "oxygen bonded to oxygen: a peroxide, superoxide or ozonide"),
    ("N", "N"): (1.6, "nitrogen bonded to nitrogen: an azide or another energetic compound"),
    ("C", "C"): (1.3, "a triple bond between carbons: an acetylide"),
    ("C", "N"): (1.25, "a triple bond between carbon and nitrogen: a cyanide"),
    ("N", "O"): (1.6, "nitrogen bonded to oxygen: a nitrate or nitrite"),
}
"""Pairs of elements, the distance in Angstrom below which they are bonded so (F. H. Allen et al., J. Chem. Soc. Perkin
Trans. 2, S1 (1987)), and what that is."""


def energetic(subject: Subject) -> list[str]:
    """S017."""
    target = subject.target
    if target is None:
        return ["the target cannot be read"]
    bonds = _by_bonds(subject.crystal) if subject.crystal is not None else []
    return [*_by_composition(target), *_by_charge(target), *bonds]


def _by_composition(target: Amounts) -> list[str]:
    problems = []
    if "H" in target:
        problems.append("a hydride, hydroxide or hydrate is not made by firing")
    if {"N", "O"} <= target.keys():
        problems.append("nitrogen with oxygen: may be a nitrate or nitrite")
    if target.keys() & HALOGENS and "O" in target:
        common = lcm(*(n.denominator for n in target.values()))
        states = oxidation_states({e: int(n * common) for e, n in target.items()})
        # Without a balanced assignment the halide cannot be told from the chlorate.
        if states is None or any(states[x] > 0 for x in target.keys() & HALOGENS):
            problems.append("a halogen with oxygen: may be a chlorate or perchlorate")
    if {"C", "N"} <= target.keys() or target.get("N", 0) >= 3 * sum(n for e, n in target.items() if e != "N"):
        problems.append("cyanide, azide or other energetic nitrogen compound")
    if (
        "C" in target
        and target.keys() - {"C"} <= ALKALI | {"Mg", "Ca", "Sr", "Ba", "Cu", "Ag"}
        and target["C"] <= 2 * (sum(target.values()) - target["C"])
    ):
        problems.append("a carbide of this kind may be an acetylide")
    return problems


def _by_charge(target: Amounts) -> list[str]:
    """Whether an oxide or nitride needs more positive charge than its cations give harmlessly."""
    if "O" in target:
        anions, highest, what = {"O": 2, "F": 1}, HIGHEST_STATE, OVERCHARGED_OXIDE
    elif "N" in target:
        anions, highest, what = (
            {"N": 3, "F": 1},
            IN_NITRIDES,
            OVERCHARGED_NITRIDE,
        )
    else:
        return []
    anions |= dict.fromkeys(HALOGENS, 1)
    cations = {e: n for e, n in target.items() if e not in anions}
    if unknown := sorted(cations.keys() - highest.keys() - {"N", "H", "C"}):
        return [f"no harmless oxidation state of {', '.join(unknown)} beside {'O' if 'O' in target else 'N'} is known"]
    wanted = sum(n * anions[e] for e, n in target.items() if e in anions)
    given = sum(n * highest.get(e, 0) for e, n in cations.items())
    if wanted <= given:
        return []
    return [f"the anions take {float(wanted):g} charges and the cations give at most {float(given):g}: {what}"]


def _by_bonds(crystal: Crystal) -> list[str]:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    atoms = Atoms(numbers=crystal.numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice_A, pbc=True)
    symbols = atoms.get_chemical_symbols()
    cutoffs = {pair: limit_A for pair, (limit_A, _) in BONDS_A.items()}
    near = zip(*neighbor_list("ij", atoms, cutoffs), strict=True)
    bonded = {tuple(sorted((symbols[i], symbols[j]))) for i, j in near}
    return [text for pair, (_, text) in BONDS_A.items() if pair in bonded]
