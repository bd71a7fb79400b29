"""Two campaigns side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.records import Candidate, Crystal, Estimate, Origin, Reason, ScreeningResult, Verdict
from redoxa.data.storage.rows import Chunk, Selection
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign.session import register
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.results.diff import Difference, differences, why


def candidate(side_A: float) -> Candidate:
    crystal = Crystal(
        numbers=[3, 8], frac_coords=[(0, 0, 0), (0.5, 0.5, 0.5)], lattice_A=((side_A, 0, 0), (0, 4, 0), (0, 0, 4))
    )
    return Candidate(crystal=crystal, working_ion="Li", origin=Origin(generator="flow", seed=0, campaign="x", round=0))  # fmt: skip


def result(of: Candidate, spec: CampaignSpec, voltage_V: float, verdict: Verdict = Verdict.PASS) -> ScreeningResult:
    estimate = Estimate(value=voltage_V, sigma=0.1, unit="V", method="m", model="m")
    reasons = () if verdict is Verdict.PASS else (Reason(stage="hull", code="x", text="too far", verdict=verdict),)
    return ScreeningResult(
        candidate_id=of.id, formula=of.formula, working_ion="Li", verdict=verdict, reasons=reasons,
        settings_hash=spec.screening.settings_hash, estimates={"average_voltage": estimate},
    )  # fmt: skip


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "redoxa.db")


def fill(where: str, spec: CampaignSpec, found: dict[float, tuple[float, Verdict]], chosen: float) -> str:
    campaign = register(where, spec)
    store = Store.open(where)
    candidates = {side: candidate(side) for side in found}
    store.add_chunk(Chunk(campaign, 0, "flow", 0, 0), list(candidates.values()), 1.0)
    for side, (voltage_V, verdict) in found.items():
        store.add_result(campaign, result(candidates[side], spec, voltage_V, verdict))
    store.add_selections(campaign, 0, [Selection(candidates[chosen].id, 1, "best")])
    store.close()
    return campaign


def test_what_differs_is_told_by_kind(where: str) -> None:
    ok, no = Verdict.PASS, Verdict.FAIL
    a = fill(where, CampaignSpec(name="a", seed=1), {3.0: (3.5, ok), 3.1: (3.0, ok), 3.2: (2.0, ok)}, 3.0)
    b = fill(where, CampaignSpec(name="b", seed=2), {3.0: (3.6, ok), 3.1: (3.0, no), 3.3: (2.0, ok)}, 3.1)
    found = differences(where, a, b)
    kinds = [d.kind for d in found]
    assert kinds == ["file", "candidate", "candidate", "result", "result", "choice", "choice"]
    assert found[0] == Difference("file", "seed", "1", "2")
    texts = {(d.a, d.b) for d in found if d.kind == "result"}
    assert texts == {("3.5", "3.6"), ("pass", "fail: too far")}
    assert {(d.a, d.b) for d in found if d.kind == "choice"} == {("place 1", ""), ("", "place 1")}
    assert why(found) == "their files differ in seed"


def test_the_same_is_said_to_be_the_same(where: str) -> None:
    found = {3.0: (3.5, Verdict.PASS)}
    a = fill(where, CampaignSpec(name="a"), found, 3.0)
    b = fill(where, CampaignSpec(name="b"), {3.0: (3.5 * (1 + 1e-9), Verdict.PASS)}, 3.0)
    assert differences(where, a, b) == []
    assert why([]) == "they found the same"


def test_the_same_file_with_other_results_points_elsewhere(where: str) -> None:
    a = fill(where, CampaignSpec(name="a"), {3.0: (3.5, Verdict.PASS)}, 3.0)
    b = fill(where, CampaignSpec(name="b"), {3.0: (3.6, Verdict.PASS)}, 3.0)
    assert "another version" in why(differences(where, a, b))
