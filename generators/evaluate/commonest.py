"""The commonest space group, and how common it is: many alike are no discovery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from redoxa.generators.evaluate.values import Value, share


def commonest_group(groups: Sequence[int]) -> dict[str, Value]:
    """Its number and its share, by name; the smaller number where two are equally common, empty without crystals."""
    if not groups:
        return {}
    times = Counter(groups)
    group = min(times, key=lambda g: (-times[g], g))
    return {
        "commonest_group": Value(float(group), len(groups)),
        "commonest_group_share": share(g == group for g in groups),
    }
