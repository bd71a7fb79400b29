"""The sentences at the top of the report and in place of what is not there yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from redoxa.data.lab.measurement import Outcome
from redoxa.data.lab.request import RequestState
from redoxa.data.records import Verdict
from redoxa.pipeline.pages.kit.model import ReportData
from redoxa.pipeline.pages.kit.text import count, duration, number


@dataclass(frozen=True)
class Fact:
    """A figure at the top of the report."""

    label: str
    value: str
    hint: str


def headline(data: ReportData) -> str:
    """What came out, in one or two sentences."""
    if not data.results:
        return "Nothing has been screened yet."
    passed, chosen, measured = _passed(data), _chosen(data), len(data.measurements)
    screened = count(len(data.results), "candidate")
    if not passed:
        return f"None of {screened} passed every gate."
    simulated = all(m.simulated for m in data.measurements)
    sentence = f"{number(passed, 0)} of {screened} passed every gate"
    if data.objectives:
        met = _met(data)
        sentence += f", {number(met, 0)} {'meets' if met == 1 else 'meet'} your objectives"
    if not chosen:
        return f"{sentence}; none was chosen for the laboratory."
    sentence += f", {number(chosen, 0)} {'was' if chosen == 1 else 'were'} chosen for the laboratory"
    if not measured:
        return f"{sentence}; no measurement has come back yet."
    worked = sum(m.outcome is Outcome.SUCCESS for m in data.measurements)
    experiments = count(measured, "simulated experiment" if simulated else "experiment")
    some = "" if simulated or not any(m.simulated for m in data.measurements) else " (some simulated)"
    return f"{sentence}, and {number(worked, 0)} of {experiments}{some} gave a working cell."


def facts(data: ReportData) -> list[Fact]:
    """Figures beside the headline."""
    passed, seconds = _passed(data), data.spend.seconds
    states = Counter(r.state for r in data.requests)
    queued = ", ".join(f"{n} {state.value}" for state, n in states.items()) or "nothing was queued"
    each = f"{duration(seconds / passed)} for each that passed" if passed else "no candidate has passed yet"
    dearest = max(data.spend.seconds_by_stage.items(), key=lambda item: item[1], default=("", 0.0))
    share = f"; {round(100 * dearest[1] / seconds)} % in {dearest[0].replace('_', ' ')}" if seconds > 0 else ""
    on = f"; {data.spend.cpu}" if data.spend.cpu else ""
    left = data.rounds_planned - data.rounds_done
    measured = _measured_hint(data)
    return [
        Fact("Screened", number(len(data.results), 0), f"{passed} passed, {_ended(data)}"),
        Fact("Processor time", duration(seconds), f"{each}{share}{on}"),
        Fact("Requests", number(len(data.requests), 0), queued),
        Fact("Measured", number(len(data.measurements), 0), measured),
        Fact("Rounds", f"{data.rounds_done} of {data.rounds_planned}", f"{left} to go" if left > 0 else "all complete"),
    ]


def _measured_hint(data: ReportData) -> str:
    if not data.measurements:
        return "no results yet"
    simulated = sum(m.simulated for m in data.measurements)
    if simulated == len(data.measurements):
        return "all by the simulated laboratory"
    return f"{simulated} of them simulated" if simulated else "all in a real laboratory"


def _ended(data: ReportData) -> str:
    verdicts = Counter(r.result.verdict for r in data.results)
    words = [
        f"{verdicts[Verdict.FAIL]} rejected",
        f"{verdicts[Verdict.UNDETERMINED]} undetermined" if verdicts[Verdict.UNDETERMINED] else "",
        f"{verdicts[Verdict.ERROR]} in error" if verdicts[Verdict.ERROR] else "",
    ]
    return ", ".join(w for w in words if w)


def _passed(data: ReportData) -> int:
    return sum(r.result.verdict is Verdict.PASS for r in data.results)


def _met(data: ReportData) -> int:
    """Candidates that passed and whose predicted values lie in every range of the objectives."""
    return sum(
        r.result.verdict is Verdict.PASS
        and all(
            (e := r.result.estimates.get(o.name)) is not None
            and (o.min is None or e.value >= o.min)
            and (o.max is None or e.value <= o.max)
            for o in data.objectives
        )
        for r in data.results
    )


def _chosen(data: ReportData) -> int:
    return sum(r.rank is not None for r in data.results)


def why_no_cards(data: ReportData) -> str:
    """Why there is no candidate to show."""
    if not data.results:
        said = f" The run says: {data.stop_reason}" if data.stop_reason else ""
        return f"Nothing has been screened yet, so there is nothing to show.{said}"
    worst = max(data.funnel, key=lambda s: s.entered - s.passed, default=None)
    if worst is None or worst.entered == worst.passed:
        return f"None of {count(len(data.results), 'candidate')} passed every gate."
    top = worst.reasons[:1]
    reason = f" The commonest reason there: {top[0].text} ({top[0].count})." if top else ""
    return (
        f"None of {count(len(data.results), 'candidate')} passed every gate. Most ended at "
        f"“{worst.name.replace('_', ' ')}”: {worst.entered - worst.passed} of {worst.entered}.{reason} "
        "Wider limits under `screen`, other elements, or more samples may help."
    )


def why_no_measurements(data: ReportData) -> str:
    """Why nothing was measured."""
    waiting = sum(r.state is RequestState.PROPOSED for r in data.requests)
    if waiting:
        return (
            f"No measurements yet: {count(waiting, 'request')} {'waits' if waiting == 1 else 'wait'} for a person's "
            "approval. See `redoxa queue list`, then `redoxa queue approve ID`."
        )
    if data.measurements and not data.calibration:
        return "Experiments came back, but none gave a value of a property that was predicted."
    if data.requests:
        return f"No measurements yet: {count(len(data.requests), 'request')} in the queue, none with a result."
    return "No measurements: nothing was sent to the laboratory."


def why_no_plot(data: ReportData) -> str:
    """Why the objectives cannot be plotted."""
    if not data.results:
        return "Nothing has been screened yet."
    return "No candidate came far enough for two objectives to be computed; the funnel shows where they ended."


def why_no_requests(data: ReportData) -> str:
    """Why the queue is empty."""
    if not _passed(data):
        return "The queue is empty: no candidate passed."
    refused = [r for r in data.results if r.no_request]
    if refused:
        return f"The queue is empty: {refused[0].result.formula}: {refused[0].no_request}"
    return "The queue is empty: nothing has been chosen yet."
