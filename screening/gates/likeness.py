"""How unlike the crystals that a network has learned from a candidate is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from redoxa.data.records import Reason, Verdict
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Note


class LatentAnomaly:
    """Unlike what the graph VAE has seen; off unless `max_latent_anomaly` is given.

    The score comes from whoever lends one (`ports.AnomalyScorer`): the screening knows no generator.
    """

    name: ClassVar[str] = "latent_anomaly"
    summary: ClassVar[str] = "not too unlike the crystals that vae has learned from, where a limit is given"
    stage: ClassVar[str] = "novelty"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.06
    notes: ClassVar[Mapping[str, Note]] = {
        "latent_anomaly": Note("Unlike the training data of vae, in standard deviations of theirs: {}.", "Host"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Hold the score of the candidate, as proposed, against the limit."""
        limit = around.settings.max_latent_anomaly
        if limit is None:
            return Findings()
        if around.anomaly is None:
            text = "max_latent_anomaly is given, but nothing was lent that could tell the anomaly score"
            return Findings(reasons=[self._reason("no_anomaly_score", text, Verdict.UNDETERMINED)])
        score = around.anomaly(subject.candidate.crystal)
        words = f"{score:.1f}" if math.isfinite(score) else "beyond any number"
        found = Findings(notes={"latent_anomaly": words})
        if score > limit:
            text = (
                f"anomaly score {words}, the limit is {limit:g}: {subject.candidate.formula} is unlike what vae has "
                "learned from, which does not make it wrong"
            )
            rejects = around.settings.latent_anomaly == "reject"
            verdict = Verdict.FAIL if rejects else Verdict.PASS
            found.reasons.append(self._reason("unlike_training_data", text, verdict))
        return found

    def _reason(self, code: str, text: str, verdict: Verdict) -> Reason:
        return Reason(stage=self.stage, code=code, text=text, verdict=verdict)
