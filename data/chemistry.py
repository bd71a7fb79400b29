"""Small chemistry: common oxidation states, charge balance, redox capacity, ion sizes.

Pure functions without torch; pymatgen is imported for radii only.

Oxidation states are the common ones of the solid state after Greenwood and Earnshaw, *Chemistry of the Elements*, 2nd
ed. (1997), the most usual first. Radii are those of R. D. Shannon, Acta Cryst. A 32, 751 (1976),
doi:10.1107/S0567739476001551, as pymatgen tabulates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import pairwise
from math import gcd
from typing import Literal

from redoxa.data.units import FARADAY_MAH_PER_MOL, ION_VALENCE

OXIDATION_STATES: Mapping[str, tuple[int, ...]] = {
    "H": (1, -1),
    "Li": (1,), "Be": (2,), "B": (3,), "C": (4, 3, 2, -4), "N": (-3, 5, 3), "O": (-2,), "F": (-1,),
    "Na": (1,), "Mg": (2,), "Al": (3,), "Si": (4, -4), "P": (5, -3, 3, 4), "S": (-2, 6, 4, -1), "Cl": (-1, 7, 5),
    "K": (1,), "Ca": (2,), "Sc": (3,), "Ti": (4, 3, 2), "V": (5, 4, 3, 2), "Cr": (3, 6, 4, 2), "Mn": (2, 4, 3),
    "Fe": (3, 2, 4), "Co": (3, 2, 4), "Ni": (2, 3, 4), "Cu": (2, 1, 3), "Zn": (2,), "Ga": (3,), "Ge": (4, 2, -4),
    "As": (5, 3, -3), "Se": (-2, 4, 6, -1), "Br": (-1, 5),
    "Rb": (1,), "Sr": (2,), "Y": (3,), "Zr": (4,), "Nb": (5, 4, 3), "Mo": (6, 4, 3, 5, 2), "Tc": (7, 4),
    "Ru": (4, 3, 5), "Rh": (3, 4), "Pd": (2, 4), "Ag": (1, 2), "Cd": (2,), "In": (3,), "Sn": (4, 2), "Sb": (5, 3, -3),
    "Te": (-2, 4, 6), "I": (-1, 5, 7),
    "Cs": (1,), "Ba": (2,), "La": (3,), "Ce": (4, 3), "Pr": (3, 4), "Nd": (3,), "Pm": (3,), "Sm": (3,), "Eu": (3, 2),
    "Gd": (3,), "Tb": (3, 4), "Dy": (3,), "Ho": (3,), "Er": (3,), "Tm": (3,), "Yb": (3, 2), "Lu": (3,),
    "Hf": (4,), "Ta": (5, 4), "W": (6, 5, 4), "Re": (7, 6, 5, 4), "Os": (4, 8), "Ir": (4, 3, 5), "Pt": (4, 2),
    "Au": (3, 1), "Hg": (2, 1), "Tl": (1, 3), "Pb": (2, 4), "Bi": (3, 5),
    "Ac": (3,), "Th": (4,), "Pa": (5,), "U": (6, 4, 5), "Np": (5, 4), "Pu": (4, 3), "Am": (3,),
}  # fmt: skip

REDOX_WINDOW: Mapping[str, tuple[int, int]] = {
    "Ti": (3, 4), "V": (2, 5), "Cr": (2, 4), "Mn": (2, 4), "Fe": (2, 4), "Co": (2, 4), "Ni": (2, 4), "Cu": (1, 3),
    "Nb": (3, 5), "Mo": (2, 6), "Ru": (3, 5), "Ag": (1, 2), "Sn": (2, 4), "Sb": (3, 5), "Ce": (3, 4), "Ta": (4, 5),
    "W": (4, 6), "Re": (4, 7), "Ir": (3, 5), "Bi": (3, 5),
}  # fmt: skip
"""Lowest and highest state each redox element reaches in insertion electrodes (not in conversion to the metal).

The upper end is the highest state known from reversible (de)insertion in a solid, not the one that every host bears:
Fe4+ is met in layered oxides but hardly in phosphates, Cr stops at 4+ because Cr6+ leaves its site, V reaches 5+. So a
capacity drawn from it is an upper bound, and LiFePO4 or Na3V2(PO4)3 are limited by what the host can spare.
"""

REDOX_ACTIVE: frozenset[str] = frozenset({*REDOX_WINDOW, "C"})
"""Elements that can balance the working ion; carbon only as graphite (see `oxidation_states`)."""

NONMETALS: frozenset[str] = frozenset(
    ["H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Ge", "As", "Se", "Br", "Te", "I", "Sb"]
)
"""Elements that may be anions; antimony and germanium only in pnictides and germanides."""

_LIGHT_ANIONS = frozenset(["H", "B", "C", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"])
"""One of these makes a compound of metals more than an alloy."""

# Pauling electronegativities (CRC Handbook, 97th ed.) of the elements that may be anions.
_ELECTRONEGATIVITY: Mapping[str, float] = {
    "H": 2.20, "B": 2.04, "C": 2.55, "N": 3.04, "O": 3.44, "F": 3.98, "Si": 1.90, "P": 2.19, "S": 2.58, "Cl": 3.16,
    "Ge": 2.01, "As": 2.18, "Se": 2.55, "Sb": 2.05, "Te": 2.10, "Br": 2.96, "I": 2.66,
}  # fmt: skip
_S_BLOCK = frozenset(["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba"])
_OXOANION_PENALTY = 3.0
_MIXING_PENALTY = 0.5
"""In ranks: a single integer state is preferred to a mixture of two of equal rank."""

Mode = Literal["oxidation", "reduction"]
Option = tuple[int, float]
"""Total charge of all atoms of one element, and how unusual that is (0 = the most common state)."""


def is_charge_balanced(composition: Mapping[str, int], alloys: bool = False) -> bool:
    """Whether common oxidation states can make the cell neutral.

    Each element has one state; a redox-active one may mix two adjacent states (LiMn2O4, Fe3O4). Exact integer search.
    Peroxides and superoxides of the s-block metals, persulfides and graphite compounds (KC8) count as balanced.

    Args:
        composition: atoms by element symbol; any multiple of the formula unit.
        alloys: what to say of a cell without any anion (metals, single elements).
    """
    key = _reduced(composition)
    if not _has_anion(key):
        return alloys
    if _is_peroxide(key) is not None:
        return True
    # Bit i of `reachable` says that the total charge i - offset can be made: a sum of sets is an OR of shifts.
    options = [_options(element, count, key) for element, count in key]
    reachable, offset = 1, 0
    for choices in options:
        if not choices:
            return False
        lowest = min(total for total, _ in choices)
        shifted = 0
        for total, _ in choices:
            shifted |= reachable << (total - lowest)
        reachable, offset = shifted, offset - lowest
    return offset >= 0 and bool(reachable >> offset & 1)


def is_alloy(composition: Mapping[str, int]) -> bool:
    """Whether there are metals, silicon, germanium and antimony only: Si, Li15Si4, NaSn, Mg3Sb2."""
    return not composition.keys() & _LIGHT_ANIONS


def oxidation_states(composition: Mapping[str, int]) -> dict[str, float] | None:
    """Most plausible oxidation state of each element, averaged over its atoms; None when nothing balances.

    Among the neutral assignments the one of the most common states is taken (Ni2+ with Mn4+ rather than Ni3+ with
    Mn3.67+ in LiNi0.5Mn1.5O4). Single elements and alloys have state 0. In compounds of metals and carbon with at least
    four C per metal atom the carbon is graphite and takes the charge (C -1/6 in LiC6).

    Args:
        composition: atoms by element symbol; any multiple of the formula unit.
    """
    found = _assign(_reduced(composition))
    return None if found is None else dict(found)


def redox_electrons(composition: Mapping[str, int], ion: str, mode: Mode = "oxidation") -> dict[str, float] | None:
    """Electrons that each redox element of the cell can give (oxidation) or take (reduction) within `REDOX_WINDOW`.

    Redox of the anions (O, S) is not counted. An element that already lies outside its window gives nothing.

    Args:
        composition: atoms by element symbol.
        ion: the working ion, which is itself never counted.
        mode: "oxidation" for the removal of ions, "reduction" for their insertion.

    Returns:
        Electrons per given composition by element; None when it cannot be balanced.
    """
    states = oxidation_states(composition)
    if states is None:
        return None
    electrons: dict[str, float] = {}
    for element, state in states.items():
        if element == ion:
            continue
        count = composition[element]
        if element == "C" and _is_graphite(_reduced(composition)):
            room = -state * count if mode == "oxidation" else max(0.0, count * (1 / 6 + state))
            electrons[element] = round(room, 9)
        elif element in REDOX_WINDOW:
            low, high = REDOX_WINDOW[element]
            electrons[element] = round(count * max(0.0, high - state if mode == "oxidation" else state - low), 9)
    return electrons


def redox_capacity_electrons(composition: Mapping[str, int], ion: str, mode: Mode = "oxidation") -> float | None:
    """Electrons of all redox elements together (`redox_electrons`); None when the composition cannot be balanced."""
    electrons = redox_electrons(composition, ion, mode)
    return None if electrons is None else round(sum(electrons.values()), 9)


def removable_ions(composition: Mapping[str, int], ion: str) -> float:
    """Working ions per cell that can leave while its redox elements pay for them: min(ions, electrons / z).

    Raises:
        KeyError: `ion` is not a working ion of `data.units.ION_VALENCE`.
    """
    electrons = redox_capacity_electrons(composition, ion, "oxidation")
    return min(float(composition.get(ion, 0)), (electrons or 0.0) / ION_VALENCE[ion])


def insertable_ions(composition: Mapping[str, int], ion: str) -> float:
    """Working ions per cell that a host can take up at one electron by redox atom, within the window of each element.

    More electrons by atom are met where a host converts to metal, hardly where it stays; graphite takes one by six C.

    Raises:
        KeyError: `ion` is not a working ion of `data.units.ION_VALENCE`.
    """
    electrons = redox_electrons(composition, ion, "reduction") or {}
    return sum(min(taken, float(composition[element])) for element, taken in electrons.items()) / ION_VALENCE[ion]


def theoretical_capacity_mAh_g(composition: Mapping[str, int], ion: str) -> float:
    """Charge of the ions that can leave over the mass of the whole (discharged) cell.

    Raises:
        KeyError: `ion` is not a working ion of `data.units.ION_VALENCE`.
    """
    from ase.data import atomic_masses, atomic_numbers

    mass_g_mol = sum(float(atomic_masses[atomic_numbers[symbol]]) * n for symbol, n in composition.items())
    return removable_ions(composition, ion) * ION_VALENCE[ion] * FARADAY_MAH_PER_MOL / mass_g_mol


@cache
def ionic_radius_A(element: str, state: int, coordination: int = 6) -> float:
    """Shannon ionic radius in Angstrom (high spin where there is a choice).

    Where the table has no entry for the coordination number or the state, the nearest tabulated one is taken; elements
    without any (noble gases) fall back on their covalent radius.
    """
    from ase.data import atomic_numbers, covalent_radii
    from pymatgen.core import Element

    table: dict[str, dict[str, dict[str, dict[str, float]]]] = Element(element).data.get("Shannon radii") or {}
    tabulated = [q for q in table if q]
    same_sign = [q for q in tabulated if int(q) * state > 0] or tabulated
    if not same_sign:
        return float(covalent_radii[atomic_numbers[element]])
    by_coordination = table[min(same_sign, key=lambda q: (abs(int(q) - state), int(q)))]
    nearest = min(by_coordination, key=lambda c: (abs(_arabic(c) - coordination), _arabic(c)))
    spins = by_coordination[nearest]
    entry = spins.get("High Spin") or spins.get("") or next(iter(spins.values()))
    return float(entry["ionic_radius"])


def radius_scale(old: Mapping[str, int], new: Mapping[str, int]) -> float:
    """Factor by which the lattice lengths of `old` are to be scaled when `new` takes over its structure.

    The ratio of the mean cation-anion distance, the sum of the ionic radii, each cation counting once per atom. Alloys,
    and what cannot be balanced, go by covalent radii averaged over all atoms.

    Args:
        old: atoms by element symbol of the known compound.
        new: the same for the compound that is put in its place.
    """
    lengths = [_mean_bond_A(c) for c in (old, new)]
    if None in lengths:
        lengths = [_mean_covalent_radius_A(c) for c in (old, new)]
    before, after = (float(x or 1.0) for x in lengths)
    return after / before


_TETRAHEDRAL = frozenset(["B", "C", "N", "Si", "P", "S", "Be", "Cl", "As", "Ge"])


def _mean_bond_A(composition: Mapping[str, int]) -> float | None:
    """Mean over the cations of their radius plus the mean anion radius; None for alloys."""
    states = oxidation_states(composition)
    if states is None or not any(states.values()):
        return None
    sums = {True: [0.0, 0], False: [0.0, 0]}
    for element, state in states.items():
        coordination = 4 if state > 0 and element in _TETRAHEDRAL else 6
        radius = ionic_radius_A(element, round(state) or (1 if state > 0 else -1), coordination)
        sums[state > 0][0] += composition[element] * radius
        sums[state > 0][1] += composition[element]
    return sum(total / count for total, count in sums.values() if count)


def _mean_covalent_radius_A(composition: Mapping[str, int]) -> float:
    from ase.data import atomic_numbers, covalent_radii

    total = sum(n * float(covalent_radii[atomic_numbers[e]]) for e, n in composition.items())
    return total / sum(composition.values())


def _arabic(roman: str) -> int:
    """Value of the Roman coordination number of Shannon's table (``IVSQ`` and the like lose their suffix)."""
    values = {"I": 1, "V": 5, "X": 10}
    digits = [values[c] for c in roman if c in values]
    return sum(-d if d < after else d for d, after in zip(digits, [*digits[1:], 0], strict=True))


def _reduced(composition: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Sorted formula unit without absent elements."""
    counts = sorted((element, int(n)) for element, n in composition.items() if n)
    divisor = gcd(*(n for _, n in counts)) if counts else 1
    return tuple((element, n // divisor) for element, n in counts)


def _has_anion(key: tuple[tuple[str, int], ...]) -> bool:
    return len(key) > 1 and any(element in NONMETALS for element, _ in key)


def _is_graphite(key: tuple[tuple[str, int], ...]) -> bool:
    """Whether carbon is the only nonmetal and there are at least four C per metal atom (or nothing but C)."""
    counts = dict(key)
    carbon = counts.pop("C", 0)
    return carbon > 0 and not NONMETALS & counts.keys() and carbon >= 4 * sum(counts.values())


def _is_peroxide(key: tuple[tuple[str, int], ...]) -> float | None:
    """State of oxygen in a binary peroxide or superoxide of an s-block metal, else None."""
    counts = dict(key)
    oxygen = counts.pop("O", 0)
    if not oxygen or len(counts) != 1 or not counts.keys() <= _S_BLOCK:
        return None
    ((metal, n),) = counts.items()
    state = -OXIDATION_STATES[metal][0] * n / oxygen
    return state if state in (-1.0, -0.5) else None


@lru_cache(maxsize=65536)
def _options(element: str, count: int, key: tuple[tuple[str, int], ...]) -> tuple[Option, ...]:
    """Total charges that `count` atoms of `element` may carry in the compound `key`, the usual ones first."""
    if _is_graphite(key) and element == "C":
        return tuple((-q, 0.0) for q in range(count // 3 + 1))
    states = _states(element, dict(key))
    # An oxoanion keeps its state while a metal has a choice: V3+ P5+ in LiVPO4F, never V5+ P3+.
    best: dict[int, float] = {}
    for rank, state in enumerate(states):
        weight = _OXOANION_PENALTY if element in NONMETALS and state > 0 else 1.0
        best[state * count] = weight * rank
    if element in REDOX_WINDOW:
        rank_of = {state: rank for rank, state in enumerate(states)}
        ladder = sorted(states)
        for low, high in pairwise(ladder):
            for k in range(1, count):
                share = k / count
                penalty = _MIXING_PENALTY + share * rank_of[high] + (1 - share) * rank_of[low]
                total = low * (count - k) + high * k
                best[total] = min(penalty, best.get(total, penalty))
    return tuple(sorted(best.items(), key=lambda item: item[1]))


def _states(element: str, counts: Mapping[str, int]) -> tuple[int, ...]:
    """States of `element` that make sense beside its neighbours.

    The most electronegative element is the anion; a nonmetal is positive only beside a more electronegative one; the
    pairs of persulfides (pyrite) are met only where nothing oxidises sulfur.
    """
    states = OXIDATION_STATES.get(element, ())
    own = _ELECTRONEGATIVITY.get(element)
    if own is None:
        return states
    stronger = any(_ELECTRONEGATIVITY.get(other, 0.0) > own for other in counts)
    if not stronger:
        return tuple(s for s in states if s < 0)
    if element in ("P", "Si", "B", "C", "Ge", "As", "Sb"):
        return tuple(s for s in states if s > 0)
    if element in ("S", "Se", "Te"):
        return tuple(s for s in states if s != -1)
    if element == "H":
        return (1,)
    return states


@lru_cache(maxsize=16384)
def _assign(key: tuple[tuple[str, int], ...]) -> tuple[tuple[str, float], ...] | None:
    if not _has_anion(key):
        return tuple((element, 0.0) for element, _ in key)
    peroxide = _is_peroxide(key)
    if peroxide is not None:
        return tuple((e, peroxide if e == "O" else float(OXIDATION_STATES[e][0])) for e, _ in key)
    # Cheapest way to each total charge, element by element (dynamic programming).
    cheapest: dict[int, tuple[float, tuple[tuple[str, float], ...]]] = {0: (0.0, ())}
    for element, count in key:
        following: dict[int, tuple[float, tuple[tuple[str, float], ...]]] = {}
        for charge, (spent, chosen) in cheapest.items():
            for total, penalty in _options(element, count, key):
                sum_, cost = charge + total, spent + penalty
                if sum_ not in following or cost < following[sum_][0] - 1e-12:
                    following[sum_] = (cost, (*chosen, (element, total / count)))
        cheapest = following
    return cheapest[0][1] if 0 in cheapest else None
