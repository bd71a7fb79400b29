"""The gate of the anomaly score: off unless asked for, and what it says of a candidate that lies outside."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from redoxa.data.records import Verdict
from redoxa.pipeline.campaign.anomaly_scorer import LatentAnomalyScorer
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.screening.base import Findings, Subject
from redoxa.screening.contract import check_gate
from redoxa.screening.gates.likeness import LatentAnomaly
from redoxa.screening.ports import AnomalyScorer
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import METALS, around_of, from_library


def found(scorer: AnomalyScorer | None, **settings: object) -> Findings:
    around = around_of(METALS, ScreenSettings.model_validate(settings))
    return check_gate(LatentAnomaly(), Subject(from_library("O3 LiCoO2")), replace(around, anomaly=scorer))


def test_it_is_off_and_then_nobody_is_asked() -> None:
    def asked(_: object) -> float:
        pytest.fail("asked for a score that nobody wants")

    assert found(asked) == Findings()


@pytest.mark.parametrize(("score", "words"), [(4.04, "4.0"), (math.inf, "beyond any number")])
def test_beyond_the_limit_it_says_the_score_the_limit_and_that_it_is_not_wrong(score: float, words: str) -> None:
    rejected = found(lambda _: score, max_latent_anomaly=3.0)
    (reason,) = rejected.reasons
    assert (reason.code, reason.verdict) == ("unlike_training_data", Verdict.FAIL)
    assert f"anomaly score {words}, the limit is 3:" in reason.text
    assert "does not make it wrong" in reason.text
    flagged = found(lambda _: score, max_latent_anomaly=3.0, latent_anomaly="warn")
    assert flagged.verdict is Verdict.PASS
    assert flagged.reasons[0].text == reason.text


def test_within_the_limit_the_score_is_noted() -> None:
    within = found(lambda _: 2.96, max_latent_anomaly=3.0)
    assert (within.reasons, within.notes) == ([], {"latent_anomaly": "3.0"})


def test_without_a_scorer_a_limit_cannot_be_judged() -> None:
    assert found(None, max_latent_anomaly=3.0).verdict is Verdict.UNDETERMINED


def test_the_shipped_score_of_a_known_cathode_and_of_an_unknown_element() -> None:
    score = LatentAnomalyScorer()
    layered = from_library("O3 LiCoO2").crystal
    assert score(layered) < 1.0
    polonium = layered.model_copy(update={"numbers": tuple(84 if z == 27 else z for z in layered.numbers)})
    assert math.isinf(score(polonium))


def test_while_it_is_off_results_and_campaigns_keep_their_hashes() -> None:
    assert ScreenSettings().unused == {"latent_anomaly", "max_latent_anomaly", "ordered_child"}
    on = {"max_latent_anomaly": 3.0}
    assert ScreenSettings.model_validate(on).settings_hash != ScreenSettings().settings_hash
    assert CampaignSpec.model_validate({"name": "same", "screen": on}).id != CampaignSpec(name="same").id
    off = {"latent_anomaly": "warn"}
    assert ScreenSettings.model_validate(off).settings_hash == ScreenSettings().settings_hash
    assert CampaignSpec.model_validate({"name": "same", "screen": off}).id == CampaignSpec(name="same").id
