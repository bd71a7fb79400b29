"""pandas frames and small tables out of the store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from redoxa.data.records import Estimate, Reason, ScreeningResult, Verdict, plain_formula
from redoxa.pipeline.campaign.session import Session
from redoxa.pipeline.pages.kit.model import FunnelStage, ReasonCount

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


def funnel(session: Session) -> tuple[FunnelStage, ...]:
    """Each stage: how many entered and passed, what it took, and why candidates ended there, the commonest first.

    Numbers come from the results, so they add up whatever was interrupted; seconds of
    processor time are of all that was computed, but for the last ones of a process that was killed.
    """
    store, campaign_id = session.store, session.campaign_id
    results = store.results(campaign_id, session.spec.screening.settings_hash)
    entered = Counter(stage for result in results for stage in result.stages)
    ended = Counter(r.stages[-1] for r in results if r.verdict is not Verdict.PASS and r.stages)
    reasons, counts, seconds = ending_reasons(results), dict[str, tuple[int, int]](), defaultdict[str, float](float)
    for cost in store.costs(campaign_id):
        stage = cost.stage
        seconds[stage] += cost.seconds
        if stage.startswith("generate") or stage not in entered:  # of no result: profiles of the chosen
            before = counts.get(stage, (0, 0))
            counts[stage] = before[0] + cost.entered, before[1] + cost.passed
        else:
            counts[stage] = entered[stage], entered[stage] - ended[stage]
    return tuple(
        FunnelStage(
            name=stage,
            entered=came,
            passed=went,
            seconds=round(seconds[stage], 3),
            reasons=tuple(ReasonCount(text=words, count=n) for words, n in reasons.get(stage, Counter()).most_common()),
        )
        for stage, (came, went) in counts.items()
    )


def funnel_rows(stages: Sequence[FunnelStage]) -> list[dict[str, object]]:
    """The funnel as rows of a table, each with its three commonest reasons."""
    return [
        {
            "stage": stage.name,
            "entered": stage.entered,
            "passed": stage.passed,
            "seconds": stage.seconds,
            "reasons": ", ".join(f"{reason.text} ({reason.count})" for reason in stage.reasons[:3]),
        }
        for stage in stages
    ]


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


def top_rows(session: Session, limit: int) -> list[dict[str, object]]:
    """The chosen candidates with their main properties, best first."""
    store, campaign_id = session.store, session.campaign_id
    results = {r.candidate_id: r for r in store.results(campaign_id, session.spec.screening.settings_hash)}
    rows = []
    for selection in store.selections(campaign_id)[:limit]:
        result = results[selection.candidate_id]
        row: dict[str, object] = {"formula": plain_formula(result.formula)}
        row["request"] = selection.request_id or selection.note
        rows.append({**row, **short_columns(result.estimates), "candidate": result.candidate_id})
    return rows
