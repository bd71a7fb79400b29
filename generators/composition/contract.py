"""The executable contract of a model of formulas."""

from __future__ import annotations

import math

import numpy as np

from redoxa.data.errors import ContractError, GenerationError
from redoxa.generators.base import Condition
from redoxa.generators.composition.family import Family
from redoxa.generators.composition.grammar import Formula, Given, demand

SIGMAS = 5.0
"""Standard errors by which samples may differ from the probabilities that are told."""


def check_family(family: Family, condition: Condition, given: Given, n: int = 400, seed: int = 0) -> None:
    """Hold a model that has learned over a tiny grammar (three elements, six atoms, say) against the contract.

    Args:
        family: the model.
        condition: what it is asked to sample under; it must be possible.
        given: what it is asked to complete.
        n: samples of each kind.
        seed: of the samples.

    Raises:
        ContractError: which clause was broken, and by which formula.
    """
    _check_probabilities(family, n, seed)
    found = family.sample(n, condition, np.random.default_rng(seed))
    if found != family.sample(n, condition, np.random.default_rng(seed)):
        raise ContractError("the same seed gave other samples")
    _check_each("sample", found, n, family, condition, {})
    whole = family.complete(given, n, np.random.default_rng(seed))
    if whole != family.complete(given, n, np.random.default_rng(seed)):
        raise ContractError("the same seed gave other completions")
    _check_each("completion", whole, n, family, None, given)
    absent = next(z for z in range(1, 100) if z not in family.grammar.codes)
    try:
        family.sample(1, Condition(required=frozenset({absent})), np.random.default_rng(seed))
    except GenerationError:
        return
    raise ContractError(f"sampled under a condition that cannot be met: element {absent} is required")


def _check_each(
    what: str, found: list[Formula], n: int, family: Family, condition: Condition | None, given: Given
) -> None:
    """So many, and each as it was asked for."""
    if len(found) != n:
        raise ContractError(f"asked for {n}, got {len(found)} as {what}")
    wish = demand(family.grammar, condition, given)
    for formula in found:
        if not wish.accepts(formula):
            raise ContractError(f"{what} {formula} is not what was asked for")


def _check_probabilities(family: Family, n: int, seed: int) -> None:
    """They add up to 1 and are those of the samples, where they are exact; a bound adds up to 1 at most."""
    everything = family.grammar.everything()
    told = family.log_probability(everything)
    nats = told.nats
    if nats.shape != (len(everything),) or np.isnan(nats).any():
        raise ContractError("a log probability is missing or not a number")
    total = float(np.exp(nats).sum())
    if told.kind == "bound" and total > 1 + 1e-6:
        raise ContractError(f"a lower bound of probabilities adds up to {total:.4f}")
    if told.kind != "exact":
        return
    if abs(total - 1) > 1e-4:
        raise ContractError(f"exact probabilities add up to {total:.6f}")
    likely = np.isfinite(nats)
    chances, values = np.exp(nats[likely]), nats[likely]
    mean = float(chances @ values)
    error = math.sqrt(max(float(chances @ (values - mean) ** 2), 0.0) / n)
    free = Condition(n_atoms=(1, family.grammar.max_atoms))
    drawn = float(family.log_probability(family.sample(n, free, np.random.default_rng(seed))).nats.mean())
    if not abs(drawn - mean) <= SIGMAS * error + 1e-6:
        raise ContractError(f"samples have a log probability of {drawn:.3f} in the mean, it should be {mean:.3f}")
