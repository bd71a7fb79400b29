"""A small model of formulas, fitted to those of the templates that ship: for tests that need one and no training."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from redoxa.data.symmetry.skeletons import load_templates
from redoxa.generators.composition.baselines import ExchangeFamily, MixtureFamily
from redoxa.generators.composition.grammar import Formula, Grammar, formula_of


@cache
def shipped_formulas() -> tuple[Grammar, tuple[Formula, ...]]:
    """The formulas of the templates that ship, each once, and their grammar."""
    rows = load_templates().compositions
    formulas = {formula_of({int(z): int(row[z]) for z in np.flatnonzero(row)}) for row in rows}
    grammar = Grammar.of({z for formula in formulas for z, _ in formula})
    return grammar, tuple(sorted(filter(grammar.holds, formulas)))


def small_mixture(path: Path) -> Path:
    """The weights of a mixture of few components; a second of fitting."""
    grammar, formulas = shipped_formulas()
    family = MixtureFamily(grammar, 40)
    family.fit(formulas, seed=0)
    family.save(path)
    return path


def small_exchange(path: Path) -> Path:
    """The weights of the exchange of elements in every third formula."""
    grammar, formulas = shipped_formulas()
    family = ExchangeFamily(grammar)
    family.fit(formulas[::3], seed=0)
    family.save(path)
    return path
