"""The hops of an ion in a crystal, and the barriers that were found of them."""

from __future__ import annotations

from dataclasses import dataclass

from redoxa.screening.mobility.barrier import Barrier
from redoxa.screening.mobility.hops import HopKind, Level, percolation_levels


@dataclass(frozen=True)
class Migration:
    """Hops of the ion in the discharged crystal and what was found of each, both in the same order.

    Attributes:
        kinds: symmetry-distinct hops whose barrier was looked for.
        barriers: outcome of each search.
    """

    kinds: tuple[HopKind, ...]
    barriers: tuple[Barrier, ...]

    @property
    def levels(self) -> dict[int, Level]:
        """Lowest barrier of motion by dimension, over the hops that have one."""
        known = {i: _both_ways(b) for i, b in enumerate(self.barriers) if b.barrier_eV is not None}
        return percolation_levels(self.kinds, {i: pair for i, pair in known.items() if pair is not None})

    @property
    def unknown(self) -> int:
        """Hops without a barrier that might be low: the search failed, not the hop."""
        return sum(b.barrier_eV is None and not b.blocked for b in self.barriers)


def _both_ways(barrier: Barrier) -> tuple[float, float] | None:
    if barrier.barrier_eV is None or barrier.reverse_eV is None:
        return None
    return barrier.barrier_eV, barrier.reverse_eV
