"""The floors of formulas as `redoxa train` makes them: fitted at once, without steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from redoxa.generators.composition.autoregressive import MarkovFamily
from redoxa.generators.composition.baselines import ExchangeFamily, IndependentFamily, MixtureFamily
from redoxa.generators.composition.family import StoredFamily
from redoxa.generators.composition.grammar import Grammar
from redoxa.generators.composition.training import NEXT, read_formulas
from redoxa.generators.training.kinds import Training


def fit_floor(make: Callable[[Grammar], StoredFamily], data: Path, seed: int, weights: Path) -> dict[str, float]:
    """Fit a model to a prepared file of formulas and write it.

    Returns:
        Share of the held-out formulas that it can write, and the mean of -ln p over these, in nats; nothing where none
        are held out.

    Raises:
        data.errors.InputError: the data cannot be read.
    """
    grammar, learned, held_out = read_formulas(data)
    family = make(grammar)
    family.fit(learned, seed)
    family.save(weights)
    if not held_out:
        return {}
    nats = -family.log_probability(held_out).nats
    reached = np.isfinite(nats)
    told = {"held_out_reached": round(float(reached.mean()), 4)}
    return told | ({"held_out_nats_of_reached": round(float(nats[reached].mean()), 4)} if reached.any() else {})


def floor(name: str, make: Callable[[Grammar], StoredFamily]) -> Training:
    """How a model of this name in `families.FAMILIES` is fitted by the command."""
    return Training(f"composition-{name}", 0, frozenset(), "formulas", fit=partial(fit_floor, make), next=NEXT)


EXCHANGE: Final = floor("exchange", ExchangeFamily)
HMM: Final = floor("hmm", MarkovFamily)
INDEPENDENT: Final = floor("independent", IndependentFamily)
MIXTURE: Final = floor("mixture", MixtureFamily)
"""Models of formulas that are fitted at once."""
