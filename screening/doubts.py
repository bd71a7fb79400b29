"""Reasons that decide no verdict and still speak against a candidate's numbers: ranking and pages tell them first."""

from __future__ import annotations

from typing import Final

from redoxa.data.records import Reason, ScreeningResult, Verdict

DOUBTS: Final = (
    "anion_redox", "moments_disagree", "converts_first", "not_topotactic", "cation_moved", "ion_moved",
    "no_insertion",
)  # fmt: skip
"""Codes of such reasons: the charge, the host or the reaction may be others than the numbers assume."""


def doubts(result: ScreeningResult) -> tuple[Reason, ...]:
    """The doubts of a result, each text once."""
    found = {r.text: r for r in result.reasons if r.verdict is Verdict.PASS and r.code in DOUBTS}
    return tuple(found.values())
