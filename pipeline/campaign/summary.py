"""What a campaign has come to: counts, requests, seconds."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace

from redoxa.data.lab.request import RequestState
from redoxa.data.records import Verdict
from redoxa.data.storage.database import store_name
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.session import Session


@dataclass(frozen=True)
class CampaignSummary:
    """A campaign as it stands, for machines and for the last lines of a run.

    Attributes:
        campaign: its name.
        campaign_id: its id.
        store: where it is, without user and password.
        rounds: that have a stage complete.
        counts: generated, candidates, screened, relaxed_discharged, relaxed_both_states, verdict_..., selected.
        queued: chosen candidates with a request.
        waiting_for_approval: requests that wait for a person.
        measured: requests that came back.
        simulated: how many of them a simulator answered.
        report: file of the report, whether it is there or not.
        seconds_by_stage: processor time, of this process and of the workers; no waiting.
        ended: why a run came to its end; empty where none was asked for.
        did_something: whether that run found anything to do.
    """

    campaign: str
    campaign_id: str
    store: str
    rounds: int
    counts: dict[str, int]
    queued: int
    waiting_for_approval: int
    measured: int
    simulated: int
    report: str
    seconds_by_stage: dict[str, float]
    ended: str = ""
    did_something: bool = False

    def after_run(self, ended: str, report: str | None = None, *, did_something: bool) -> CampaignSummary:
        """The same after a run that ended for this reason."""
        return replace(self, ended=ended, report=report or self.report, did_something=did_something)

    def to_json(self) -> dict[str, object]:
        """As in docs/reference/results.md, ``redoxa.campaign/1``; ``ended`` where there was a run."""
        left_out = {"did_something"} if self.ended else {"did_something", "ended"}
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def __repr__(self) -> str:
        counts, why = self.counts, f"{self.ended}; " if self.ended else ""
        found = f"{counts['candidates']} candidates, {counts['verdict_pass']} passed, {self.measured} measured"
        return f"<{self.campaign}: {why}{found}>"


def summary(session: Session) -> CampaignSummary:
    """Counts by stage, verdicts, requests and seconds of a campaign."""
    store, spec, campaign_id = session.store, session.spec, session.campaign_id
    results = store.results(campaign_id, spec.screening.settings_hash)
    rows, costs = session.queue.list(campaign=campaign_id), store.costs(campaign_id)
    selections, measured = store.selections(campaign_id), stages.measured(session)
    seconds: dict[str, float] = defaultdict(float)
    for cost in costs:
        seconds[cost.stage] += cost.seconds
    verdicts = Counter(r.verdict.value for r in results)
    return CampaignSummary(
        campaign=spec.name,
        campaign_id=campaign_id,
        store=store_name(session.where),
        rounds=len({row.round for row in store.completed_stages(campaign_id)}),
        counts={
            "generated": sum(c.passed for c in costs if c.stage.startswith("generate")),
            "candidates": len(store.candidates(campaign_id)),
            "screened": len(results),
            "relaxed_discharged": sum("discharged" in r.crystals for r in results),
            "relaxed_both_states": sum({"discharged", "charged"} <= set(r.crystals) for r in results),
            **{f"verdict_{v.value}": verdicts.get(v.value, 0) for v in Verdict},
            "selected": len(selections),
        },
        queued=sum(x.request_id is not None for x in selections),
        waiting_for_approval=sum(row.state is RequestState.PROPOSED for row in rows),
        measured=len(measured),
        simulated=sum(m.simulated for _, m in measured),
        report=str(session.folder / "report.html"),
        seconds_by_stage={k: round(v, 3) for k, v in seconds.items()},
    )
