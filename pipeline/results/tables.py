"""pandas frames and small tables out of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redoxa.data.records import Estimate, Reason, ScreeningResult, Verdict, plain_formula
from redoxa.pipeline.campaign.session import session_for

if TYPE_CHECKING:
    pass

FRONT_PROPERTIES = {
    "average_voltage": "voltage",
    "conversion_voltage": "conversion",
    "capacity_grav": "capacity",
    "usable_capacity": "usable capacity",
    "energy_grav": "energy",
    "stability_discharge": "above hull",
    "stability_charge": "charged, above hull",
    "max_delta_volume": "volume change",
}
"""Properties that short tables show, and the words they use."""


def short_columns(estimates: Mapping[str, Estimate]) -> dict[str, str]:
    """The front properties as ``{"voltage (V)": "3.43 ± 0.50"}``; conversion where no ions are inserted."""
    hidden = {"conversion_voltage"} & estimates.keys() if "average_voltage" in estimates else set()
    return {
        f"{words} ({e.unit})" if e.unit != "1" else words: e.text
        for name, words in FRONT_PROPERTIES.items()
        if name not in hidden and (e := estimates.get(name)) is not None
    }


def in_order(rows: Sequence[Mapping[str, object]], first: Sequence[str], last: Sequence[str] = ()) -> list[str]:
    """Columns of a table: these, then the front properties in their order, whichever row has them, then those."""
    there = {key for row in rows for key in row}
    middle = [key for words in FRONT_PROPERTIES.values() for key in there if key.split(" (")[0] == words]
    return [key for key in (*first, *middle, *last) if key in there]


def funnel_rows(where: str, campaign_id: str) -> list[dict[str, Any]]:
    """One row a stage: how many entered and passed, what it took, and the commonest reasons to end there.

    Numbers come from the results, so they add up whatever was interrupted; seconds are of
    all that was computed, but for the last ones of a process that was killed.
    """
    session = session_for(where, campaign_id)
    entered: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    results = session.store.results(campaign_id, session.spec.screening.settings_hash)
    reasons = ending_reasons(results)
    for result in results:
        entered.update(result.stages)
        if result.verdict is not Verdict.PASS and result.stages:
            ended[result.stages[-1]] += 1
    rows: dict[str, dict[str, Any]] = {}
    for cost in session.store.costs(campaign_id):
        row = rows.setdefault(cost.stage, {"stage": cost.stage, "entered": 0, "passed": 0, "seconds": 0.0})
        if cost.stage.startswith("generate") or cost.stage not in entered:  # of no result: profiles of the chosen
            row["entered"] += cost.entered
            row["passed"] += cost.passed
        else:
            row["entered"] = entered[cost.stage]
            row["passed"] = entered[cost.stage] - ended[cost.stage]
        row["seconds"] = round(row["seconds"] + cost.seconds, 3)
    for stage, row in rows.items():
        row["reasons"] = ", ".join(f"{words} ({n})" for words, n in reasons.get(stage, Counter()).most_common(3))
    return list(rows.values())


def ending_reasons(results: Sequence[ScreeningResult]) -> dict[str, Counter[str]]:
    """By stage, how many candidates ended there for each reason."""
    found: dict[str, Counter[str]] = {}
    for result in results:
        if result.verdict is not Verdict.PASS and result.stages:
            words = {reason_words(r) for r in result.reasons if r.verdict is not Verdict.PASS}
            found.setdefault(result.stages[-1], Counter()).update(words)
    return found


def reason_words(reason: Reason) -> str:
    """A reason without its numbers, so that equal ones can be counted: ``stability discharge beyond its limit``."""
    words = f"{reason.text.split()[0]} beyond its limit" if reason.code == "limit" else reason.code
    return words.replace("_", " ")


def top_rows(where: str, campaign_id: str, limit: int) -> list[dict[str, Any]]:
    """The chosen candidates with their main properties, best first."""
    session = session_for(where, campaign_id)
    results = {r.candidate_id: r for r in session.store.results(campaign_id, session.spec.screening.settings_hash)}
    rows = []
    for selection in session.store.selections(campaign_id)[:limit]:
        result = results[selection.candidate_id]
        row: dict[str, Any] = {"formula": plain_formula(result.formula)}
        row["request"] = selection.request_id or selection.note
        rows.append({**row, **short_columns(result.estimates), "candidate": result.candidate_id})
    return rows
