"""Chemical formulas in exact arithmetic, without pymatgen: the machine beside the robot is small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from redoxa.data.errors import InputError

Amounts = dict[str, Fraction]
"""Atoms by element symbol."""

_NUMBER = r"\d+(?:\.\d+)?"
_TOKEN = re.compile(rf"([A-Z][a-z]?)({_NUMBER})?|(\()|(\))({_NUMBER})?")
_HYDRATE = re.compile(rf"({_NUMBER})?(.+)")


def parse_formula(text: str) -> Amounts:
    """Atoms of ``LiFePO4``, ``Na3V2(PO4)3``, ``Li0.5CoO2`` or ``FeC2O4·2H2O`` (a dot separates the water of a hydrate).

    Raises:
        InputError: not a formula, or an element that does not exist.
    """
    total: Amounts = {}
    for part in text.strip().split("·"):
        match = _HYDRATE.fullmatch(part)
        if match is None:
            raise InputError(f"'{text}' is not a chemical formula")
        factor = Fraction(match[1] or 1)
        for element, amount in _parse_part(match[2], text).items():
            total[element] = total.get(element, Fraction(0)) + factor * amount
    return total


def _parse_part(part: str, whole: str) -> Amounts:
    from ase.data import atomic_numbers

    stack: list[Amounts] = [{}]
    position = 0
    while position < len(part):
        match = _TOKEN.match(part, position)
        if match is None:
            raise InputError(f"'{whole}' is not a chemical formula: cannot read '{part[position:]}'")
        element, count, opened, closed, times = match.groups()
        if element:
            if atomic_numbers.get(element, 0) < 1:
                raise InputError(f"'{whole}': '{element}' is not an element")
            stack[-1][element] = stack[-1].get(element, Fraction(0)) + Fraction(count or 1)
        elif opened:
            stack.append({})
        elif closed:
            if len(stack) == 1:
                raise InputError(f"'{whole}': a bracket is closed that was not opened")
            group = stack.pop()
            for inner, amount in group.items():
                stack[-1][inner] = stack[-1].get(inner, Fraction(0)) + amount * Fraction(times or 1)
        position = match.end()
    if len(stack) > 1:
        raise InputError(f"'{whole}': a bracket is not closed")
    return stack[0]


def molar_mass_g_mol(amounts: Mapping[str, Fraction | int | float]) -> float:
    """Molar mass in g/mol from the IUPAC standard atomic weights (as ASE tabulates them)."""
    from ase.data import atomic_masses, atomic_numbers

    return float(sum(float(n) * float(atomic_masses[atomic_numbers[element]]) for element, n in amounts.items()))


def same_compound(one: Mapping[str, Fraction], other: Mapping[str, Fraction]) -> bool:
    """Whether two formulas hold the same elements in the same proportions."""
    return shares(one) == shares(other)


def shares(amounts: Mapping[str, Fraction]) -> Amounts:
    """Atoms of each element by atoms in all."""
    total = sum(amounts.values())
    return {element: n / total for element, n in amounts.items()}


def add_scaled(total: Amounts, amounts: Mapping[str, Fraction], factor: Fraction) -> None:
    """Add ``factor`` times `amounts` to `total` in place, dropping what cancels."""
    for element, n in amounts.items():
        value = total.get(element, Fraction(0)) + factor * n
        if value:
            total[element] = value
        else:
            total.pop(element, None)


def number_text(value: Fraction | float) -> str:
    """A stoichiometric number for people: nothing for 1, else at most four digits after the point."""
    text = f"{float(value):.4f}".rstrip("0").rstrip(".")
    return "" if text == "1" else f"{text} "
