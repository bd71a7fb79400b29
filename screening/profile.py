"""The voltage profile of a candidate that was screened without states of partial charge."""

from __future__ import annotations

from redoxa.data.records import Candidate, ScreeningResult
from redoxa.screening.assess import PROFILE_ATOMS
from redoxa.screening.funnel import Context, FunnelStats, screen
from redoxa.screening.settings import ScreenSettings

STATES = 3
"""States of partial charge: plateaus are told apart to a quarter of the capacity."""


def with_profile(
    candidate: Candidate,
    result: ScreeningResult,
    settings: ScreenSettings,
    context: Context,
    stats: FunnelStats | None = None,
) -> ScreeningResult:
    """The result with a computed profile, where it has none and its cell is small enough to be cheap.

    The candidate walks through the same funnel once more, with partial states asked for: what was computed is in the
    cache, so that only these are new. Everything else of the result, its verdict too, stays as it was. Where a partial
    state does not converge, nothing is added.

    Args:
        candidate: that was screened.
        result: of it.
        settings: with which it was screened.
        context: tables, cache and workers of that screening.
        stats: filled with what it costs.

    Raises:
        PotentialError: the potential cannot be loaded, or is not on the reference's scale.
    """
    known = result.crystals.get("discharged")
    if settings.profile_states or len(result.profile) != 1 or known is None or known.n_atoms > PROFILE_ATOMS:
        return result
    asked = settings.model_copy(update={"profile_states": STATES, "barriers": 0})
    (again,) = screen([candidate], asked, context, stats)
    if "max_voltage_step" not in again.estimates:
        return result
    step = again.estimates["max_voltage_step"]
    return result.model_copy(
        update={"profile": again.profile, "estimates": {**result.estimates, "max_voltage_step": step}}
    )
