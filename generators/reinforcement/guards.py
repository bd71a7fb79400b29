"""When learning stops: what is drawn gets narrow, or leaves the prior too far behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redoxa.data.synthesis.formula import parse_formula
from redoxa.generators.evaluate.families import family


@dataclass(frozen=True)
class Watched:
    """What is watched of a round of draws.

    Attributes:
        distinct_formulas: share of different reduced formulas among the draws, refused ones too.
        distinct_families: the same of families, transition metals all alike.
        entropy_nats: mean entropy of a choice.
        kl_nats: divergence from the prior, of a crystal.
    """

    distinct_formulas: float
    distinct_families: float
    entropy_nats: float
    kl_nats: float


@dataclass(frozen=True)
class Limits:
    """Where learning stops.

    Attributes:
        narrow: share of the prior's distinct formulas, and of its distinct families, below which draws are narrow.
        kl_nats: largest divergence from the prior, of a crystal.
    """

    narrow: float = 0.5
    kl_nats: float = 16.0


def distinct(formulas: Sequence[str]) -> tuple[float, float]:
    """Shares of different formulas and of different families among formulas; 0 and 0 of none."""
    if not formulas:
        return 0.0, 0.0
    families = {family({x: int(n) for x, n in parse_formula(formula).items()}) for formula in set(formulas)}
    return len(set(formulas)) / len(formulas), len(families) / len(formulas)


def collapse(prior: Watched, now: Watched, limits: Limits) -> str | None:
    """Why learning stops, as a sentence; None where all is well.

    Args:
        prior: of draws of the prior, as many.
        now: of draws of what has learned.
        limits: where learning stops.
    """
    pairs = (
        ("formulas", prior.distinct_formulas, now.distinct_formulas),
        ("families", prior.distinct_families, now.distinct_families),
    )
    for what, before, after in pairs:
        if after < limits.narrow * before:
            return (
                f"draws have become narrow: {after:.0%} different {what}, {before:.0%} before learning; "
                "fewer steps, a smaller rate or a larger KL weight keep them wide"
            )
    if now.kl_nats > limits.kl_nats:
        return (
            f"draws have left the prior: {now.kl_nats:.1f} nats a crystal, {limits.kl_nats:g} at most; "
            "fewer steps, a smaller rate or a larger KL weight keep them near"
        )
    return None
