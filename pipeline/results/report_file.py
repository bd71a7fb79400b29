"""Filling the report from the store and writing it to the campaign's folder."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from redoxa.data.provenance import read_provenance
from redoxa.data.records import ScreeningResult, Verdict
from redoxa.data.shipped import ASSETS
from redoxa.data.storage.store import now
from redoxa.data.whole import whole
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.feedback import compare
from redoxa.pipeline.campaign.select import Scored, chemical_system, score, why_not
from redoxa.pipeline.campaign.session import Session, session_for
from redoxa.pipeline.pages.campaign.build import build_report
from redoxa.pipeline.pages.kit.model import (
    CalibrationRow,
    Correction,
    FunnelStage,
    HistoryEvent,
    Objective,
    Provenance,
    ReportData,
    RequestRow,
    ResultRow,
    Spend,
)
from redoxa.pipeline.results.latent_view import latent_view
from redoxa.pipeline.results.tables import funnel

MOST_REASONS = 5
"""Of a stage, that the funnel shows."""

VERSIONS = ("redoxa", "torch", "chgnet", "pymatgen", "ase", "prefect", "numpy")


def write_report(where: str, campaign_id: str, ended: str = "", out: Path | None = None) -> str:
    """Write the campaign's report, whole or not at all; returns its path.

    Args:
        ended: why the run came to its end; empty where the report is written without one.
    """
    session = session_for(where, campaign_id)
    path = out or session.own_folder() / "report.html"
    with whole(path) as draft:
        data = report_data(session, ended)
        shown = data.model_copy(update={"latent": latent_view(data.results)})
        draft.write_text(build_report(shown), encoding="utf-8")
    return str(path)


def report_data(session: Session, ended: str) -> ReportData:
    """Everything the report shows, from the store, but for the map: only the page has it, and it takes seconds."""
    spec, store = session.spec, session.store
    results = store.results(session.campaign_id, spec.screening.settings_hash)
    pairs = stages.measured(session)
    learned = stages.learned(session)
    scored = score(results, spec.goal.objectives, learned)
    rows = _result_rows(session, results, {s.result.candidate_id: s for s in scored})
    completed = {row.round for row in store.completed_stages(session.campaign_id)}
    return ReportData(
        name=spec.name,
        working_ion=spec.goal.working_ion,
        electrode=spec.goal.electrode,
        objectives=tuple(Objective(name=n, min=r.min, max=r.max) for n, r in spec.goal.objectives.items()),
        allowed_elements=spec.allowed_symbols,
        spec_yaml=yaml.safe_dump(spec.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True),
        rounds_done=len(completed),
        rounds_planned=spec.stop.rounds,
        stop_reason=ended,
        spend=_spend(session),
        funnel=_main_reasons(funnel(session)),
        results=rows,
        front_ids=tuple(s.result.candidate_id for s in scored if s.front == 1),
        requests=_requests(session),
        measurements=tuple(m for _, m in pairs),
        rejected_results=session.rejected_results(),
        calibration=tuple(
            CalibrationRow(
                candidate_id=c.candidate_id,
                formula=c.formula,
                name=c.name,
                predicted=c.predicted,
                measured=c.measured,
                simulated=c.simulated,
            )
            for c in compare(pairs)
        ),
        corrections=tuple(
            Correction(name=name, bias=c.bias, factor=c.factor, scale=c.scale, count=c.count)
            for name, c in learned.items()
        ),
        provenance=_provenance(session),
    )


def _main_reasons(stages: Sequence[FunnelStage]) -> tuple[FunnelStage, ...]:
    return tuple(stage.model_copy(update={"reasons": stage.reasons[:MOST_REASONS]}) for stage in stages)


def _spend(session: Session) -> Spend:
    seconds: dict[str, float] = defaultdict(float)
    for cost in session.store.costs(session.campaign_id):
        seconds[cost.stage] += cost.seconds
    return Spend(seconds_by_stage=dict(seconds), cpu=f"{os.cpu_count()} cores, {platform.machine()}")


def _result_rows(
    session: Session, results: list[ScreeningResult], scored: Mapping[str, Scored]
) -> tuple[ResultRow, ...]:
    candidates = {c.id: c for c in session.store.candidates(session.campaign_id)}
    others = session.store.also_in(session.campaign_id)
    chosen = {x.candidate_id: x for x in session.store.selections(session.campaign_id)}
    systems = Counter(chemical_system(r) for r in results if r.candidate_id in chosen)
    select, objectives = session.spec.select, session.spec.goal.objectives
    rows = []
    for result in results:
        selection = chosen.get(result.candidate_id)
        passed_over = selection is None and result.verdict is Verdict.PASS and bool(chosen)
        rows.append(
            ResultRow(
                candidate=candidates[result.candidate_id],
                result=result,
                rank=selection.rank if selection else None,
                why=selection.why if selection else "",
                why_not=why_not(result, scored.get(result.candidate_id), select, objectives, systems)
                if passed_over
                else "",
                no_request=selection.note if selection else "",
                novelty=result.notes.get("novelty", ""),
                also_in=others.get(result.candidate_id, ()),
            )
        )
    return tuple(rows)


def _requests(session: Session) -> tuple[RequestRow, ...]:
    return tuple(
        RequestRow(
            request_id=row.request_id,
            request=row.request,
            state=row.state,
            safety=row.safety,
            history=tuple(
                HistoryEvent(at=e.at, state=e.to_state, by=e.actor, text=e.why)
                for e in session.queue.events(row.request_id)
            ),
        )
        for row in session.queue.list(campaign=session.campaign_id)
    )


def _provenance(session: Session) -> Provenance:
    spec = session.spec
    checkpoints = {
        c.origin.generator: c.origin.checkpoint_sha256
        for c in session.store.candidates(session.campaign_id)
        if c.origin.checkpoint_sha256
    }
    return Provenance(
        created_at=now(),
        campaign_id=session.campaign_id,
        settings_hash=spec.screening.settings_hash,
        seed=spec.seed,
        versions={"python": platform.python_version(), **{n: importlib.metadata.version(n) for n in VERSIONS}},
        checkpoints={**checkpoints, "potential": spec.screen.potential},
        git_sha=_git_sha(),
        reference=_reference_facts(),
    )


def _git_sha() -> str | None:
    """Commit of the checkout that runs, where there is one."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _reference_facts() -> dict[str, str]:
    """What the hull and the novelty check know, and whose work that is, each citation once."""
    facts: dict[str, str] = {}
    cited: dict[tuple[str, ...] | str, str] = {}
    for title, file in (("hull", "reference_chgnet.parquet"), ("known materials", "known_materials.parquet")):
        record = read_provenance(ASSETS / file)
        facts[title] = f"{file}, sha256 {record.sha256[:12]}, made {record.created[:10]} by: {record.command}"
        for source in record.sources:
            works = tuple(sorted(set(re.findall(r"(?:doi|arXiv):[^\s,;)]+", source.attribution))))
            cited.setdefault(works or source.attribution, source.attribution)
    return facts | {"their sources": "; ".join(text for text in cited.values() if text)}
