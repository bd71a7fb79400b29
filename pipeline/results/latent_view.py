"""Candidates of a campaign on the map of the latent space of `vae`, for the report.

torch is loaded here alone, and only when there is something to place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from redoxa.data.errors import RedoxaError
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal, Verdict
from redoxa.data.shipped import shipped
from redoxa.data.structures import primitive
from redoxa.pipeline.pages.kit.model import LatentPoint, LatentView, ResultRow

MOST_PLACED = 300
"""Candidates that are placed; each takes some 60 ms, mostly for its symmetry."""

BATCH = 32


def latent_view(rows: Sequence[ResultRow]) -> LatentView:
    """Place the candidates that came farthest; those that passed first."""
    if not rows:
        return LatentView(why_not="There is no candidate yet that could be placed on the map.")
    chosen = sorted(rows, key=_far)[:MOST_PLACED]
    try:
        found = _view([(row.candidate.id, _crystal(row)) for row in chosen])
    except (ImportError, RedoxaError) as error:
        return LatentView(why_not=f"The map could not be made: {error}.")
    return found.model_copy(update={"left_out": len(rows) - len(found.points)})


def _far(row: ResultRow) -> tuple[bool, bool, int]:
    return row.rank is None, row.result.verdict is not Verdict.PASS, -len(row.result.stages)


def _crystal(row: ResultRow) -> Crystal:
    """The relaxed discharged crystal, else the one that was proposed."""
    return primitive(row.result.crystals.get("discharged", row.candidate.crystal))


def _view(candidates: Sequence[tuple[str, Crystal]]) -> LatentView:
    from redoxa.generators.vae.checkpoint import load_vae
    from redoxa.generators.vae.latent import OUTSIDE, LatentSpace
    from redoxa.generators.vae.latent_map import load_map

    checkpoint, shown = shipped("vae.safetensors"), load_map(shipped("latent_map.safetensors"))
    if sha256_of(checkpoint) != shown.checkpoint_sha256:
        return LatentView(
            why_not="The background of the map is of other weights of vae; make it with `redoxa reference latent-map`."
        )
    space, points = LatentSpace(load_vae(checkpoint)), []
    for first in range(0, len(candidates), BATCH):
        part = candidates[first : first + BATCH]
        crystals = [crystal for _, crystal in part]
        places = shown.plane(space.encode(crystals)).tolist()
        for (name, _), (x, y), anomaly in zip(part, places, space.anomalies(crystals), strict=True):
            score = anomaly.score if math.isfinite(anomaly.score) else None
            points.append(LatentPoint(candidate_id=name, x=x, y=y, anomaly=score))
    known = tuple((x, y) for x, y in shown.known.tolist())
    return LatentView(points=tuple(points), known=known, share=shown.share, outside=OUTSIDE)
