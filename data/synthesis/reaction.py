"""Balanced reactions from precursors to a target, in exact rational arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from redoxa.data.errors import RecipeError
from redoxa.data.synthesis.catalogue import CataloguePrecursor
from redoxa.data.synthesis.formula import Amounts, add_scaled, number_text, parse_formula


@dataclass(frozen=True)
class Reaction:
    """A balanced reaction that makes one formula unit of a target.

    Attributes:
        target: formula of the target.
        product: its atoms.
        terms: each precursor and how many formula units of it are consumed.
        gases: moles of each gas set free per mole of target; negative: taken up.
    """

    target: str
    product: Amounts
    terms: tuple[tuple[CataloguePrecursor, Fraction], ...]
    gases: Mapping[str, Fraction] = field(default_factory=dict)

    @property
    def oxygen_uptake(self) -> Fraction:
        """Moles of O2 taken up per mole of target; negative where O2 has to leave, that is, to be reduced away."""
        return -self.gases.get("O2", Fraction(0))

    @property
    def air_uptake(self) -> Fraction:
        """Moles of O2 that the precursors alone would take up (negative: give off) when fired in air."""
        return sum((n * precursor.air_O2 for precursor, n in self.terms), Fraction(0))

    @property
    def text(self) -> str:
        """The reaction for people, per formula unit of the target, gases by name."""
        left = [f"{number_text(n)}{precursor.formula}" for precursor, n in self.terms]
        left += [f"{number_text(-n)}{gas}" for gas, n in sorted(self.gases.items()) if n < 0]
        right = [self.target] + [f"{number_text(n)}{gas}" for gas, n in sorted(self.gases.items()) if n > 0]
        return f"{' + '.join(left)} -> {' + '.join(right)}"

    def imbalance(self) -> Amounts:
        """Atoms on the left less atoms on the right; empty for a balanced reaction."""
        total: Amounts = {}
        for precursor, n in self.terms:
            add_scaled(total, precursor.amounts, n)
        add_scaled(total, self.product, Fraction(-1))
        for gas, n in self.gases.items():
            add_scaled(total, parse_formula(gas), -n)
        return total

    def reduced_by_hydrogen(self) -> Reaction:
        """The same with the O2 that has to leave taken away by hydrogen: O2 + 2 H2 -> 2 H2O."""
        released = self.gases.get("O2", Fraction(0))
        if released <= 0:
            raise RecipeError(f"{self.text}: sets no O2 free, so there is nothing to reduce")
        gases = {gas: n for gas, n in self.gases.items() if gas != "O2"}
        gases["H2"] = -2 * released
        gases["H2O"] = gases.get("H2O", Fraction(0)) + 2 * released
        return Reaction(self.target, self.product, self.terms, gases)


def balance(target: str, precursors: Sequence[CataloguePrecursor], free_gas: str | None) -> Reaction | None:
    """Balance residues (and one gas that may come or go) against the target.

    Args:
        target: formula of the target.
        precursors: one of each, distinct.
        free_gas: ``O2`` or ``N2`` where the furnace gas may take part, None where it must not.

    Returns:
        The reaction, or None unless exactly one solution consumes every precursor.
    """
    product = parse_formula(target)
    columns = [p.solid for p in precursors]
    if free_gas is not None:
        columns.append(parse_formula(free_gas))
    elements = sorted({e for column in columns for e in column} | product.keys())
    rows = [[column.get(e, Fraction(0)) for column in columns] + [product.get(e, Fraction(0))] for e in elements]
    if not _may_balance(rows, len(precursors)):
        return None
    solution = solve_exact(rows)
    if solution is None or any(n <= 0 for n in solution[: len(precursors)]):
        return None
    terms = tuple(zip(precursors, solution[: len(precursors)], strict=True))
    gases: Amounts = {}
    for precursor, n in terms:
        add_scaled(gases, precursor.gas, n)
    if free_gas is not None:
        add_scaled(gases, {free_gas: Fraction(1)}, -solution[-1])
    return Reaction(target, product, terms, gases)


def _may_balance(rows: list[list[Fraction]], n_precursors: int) -> bool:
    """Quick look in floating point: most sets fail, and exact elimination is a hundred times slower."""
    matrix = np.array(rows, dtype=float)
    solution, _, rank, _ = np.linalg.lstsq(matrix[:, :-1], matrix[:, -1], rcond=None)
    if rank < matrix.shape[1] - 1 or (solution[:n_precursors] < -1e-9).any():
        return False
    return bool(np.allclose(matrix[:, :-1] @ solution, matrix[:, -1], atol=1e-7))


def solve_exact(rows: list[list[Fraction]]) -> list[Fraction] | None:
    """Solve a linear system given as augmented rows [m, n+1]; None unless there is exactly one solution."""
    rows = [list(row) for row in rows]
    n = len(rows[0]) - 1
    for column in range(n):
        pivot = next((i for i in range(column, len(rows)) if rows[i][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column][column]
        rows[column] = [x / head for x in rows[column]]
        for i, row in enumerate(rows):
            if i != column and (factor := row[column]):
                rows[i] = [x - factor * y for x, y in zip(row, rows[column], strict=True)]
    if any(row[n] for row in rows[n:]):
        return None
    return [row[n] for row in rows[:n]]
