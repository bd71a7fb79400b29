"""A condition as wishes of the grammar, one for each primitive cell, and what a finished crystal must hold besides."""

from __future__ import annotations

import math
from functools import partial

from ase.data import chemical_symbols

from redoxa.data.errors import GenerationError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.records import Crystal
from redoxa.generators.base import CellContent, Condition
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.sequence import Accept

MOST_SITES = 20
"""Largest primitive cell that the networks have learned."""


def wishes_of(condition: Condition, n: int, known: frozenset[int]) -> tuple[list[Wish], list[int]]:
    """What each of n primitive cells must satisfy, and how many of them make up the cell asked for; equal ones shared.

    Args:
        condition: with n contents, or none.
        n: samples.
        known: atomic numbers that the network has learned.

    Raises:
        GenerationError: elements that are unknown, or required and not allowed.
    """
    if condition.contents:
        made: dict[tuple[tuple[int, int], ...], tuple[Wish, int]] = {}
        pairs = []
        for content in condition.contents:
            _refuse_unknown(set(content), known, "it was not in the training data")
            key = tuple(sorted(content.items()))
            if key not in made:
                count = _cells(content)
                part = {z: atoms // count for z, atoms in content.items()}
                made[key] = Wish(known, content=part, groups=condition.groups), count
            pairs.append(made[key])
        return [wish for wish, _ in pairs], [count for _, count in pairs]
    allowed = (condition.allowed & known) if condition.allowed else known
    _refuse_unknown(condition.required, allowed, "required, but not allowed or not known")
    if not allowed:
        raise GenerationError("none of the allowed elements was in the training data")
    low, high = condition.n_atoms
    wish = Wish(
        allowed,
        condition.required,
        atoms=(low, max(low, min(high, MOST_SITES))),
        groups=condition.groups,
        neutral=condition.charge_neutral,
    )
    return [wish] * n, [1] * n


def accept_for(condition: Condition) -> Accept | None:
    """Says no to crystals of other groups; None where any group will do."""
    return partial(_of_groups, condition.groups) if condition.groups else None


def _of_groups(groups: frozenset[int], crystal: Crystal) -> bool:
    """Whether a crystal has one of these groups; a form may be nearer to a higher symmetry than was meant."""
    return spacegroup(crystal, 0.01) in groups


def _cells(content: CellContent) -> int:
    """How many primitive cells of a size that the network knows make up a content, as few as can be."""
    whole, atoms = math.gcd(*content.values()), sum(content.values())
    fits = [d for d in range(1, whole + 1) if whole % d == 0 and atoms // d <= MOST_SITES]
    return fits[0] if fits else whole


def _refuse_unknown(asked: set[int] | frozenset[int], known: frozenset[int], why: str) -> None:
    if missing := sorted(asked - known):
        raise GenerationError(f"{', '.join(chemical_symbols[z] for z in missing)}: {why}")
