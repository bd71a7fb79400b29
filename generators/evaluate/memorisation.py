"""How near samples lie to what was published, beside real crystals that the table is made to forget one by one."""

from __future__ import annotations

from collections.abc import Sequence

from redoxa.data.fingerprint import SAME_UNRELAXED
from redoxa.generators.evaluate.families import Families, Gaps
from redoxa.generators.evaluate.reference_set import Portrait
from redoxa.generators.evaluate.values import Value, median, share


def memorisation_values(gaps: Sequence[Gaps]) -> dict[str, Value]:
    """Shares within the duplicate distance `SAME_UNRELAXED` of a known crystal, and the median distance to the nearest.

    Args:
        gaps: one a crystal that has a fingerprint.
    """
    return {
        "memorised": share(_within(gap.formula) for gap in gaps),
        "memorised_family": share(_within(gap.family) for gap in gaps),
        "nearest_known_median": median([gap.family for gap in gaps if gap.family is not None]),
    }


def held_out_values(portraits: Sequence[Portrait], families: Families) -> dict[str, Value]:
    """The same of real crystals, and how many are of a new family, each as if it were not in the table itself."""
    gaps = [families.gaps(p.mark, p.composition, held_out=True) for p in portraits]
    new = share(not families.knows(p.composition, but=p.mark.formula) for p in portraits)
    return {"novel_family": new, **memorisation_values(gaps)}


def _within(gap: float | None) -> bool:
    return gap is not None and gap <= SAME_UNRELAXED
