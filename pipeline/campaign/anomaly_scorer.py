"""Lends the anomaly score of the latent space of `vae` to the screening, which knows no generator."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.structures import primitive

if TYPE_CHECKING:
    from redoxa.generators.vae.latent import LatentSpace


class LatentAnomalyScorer:
    """A `screening.ports.AnomalyScorer`; the network is loaded when it is first asked, for most campaigns never."""

    def __call__(self, crystal: Crystal) -> float:
        """In standard deviations of the training data; infinite for what the network cannot write at all."""
        if set(crystal.numbers) - self._known:
            return math.inf
        return self._space.anomalies([primitive(crystal)])[0].score

    @cached_property
    def _space(self) -> LatentSpace:
        from redoxa.generators.vae.checkpoint import load_vae
        from redoxa.generators.vae.latent import LatentSpace

        return LatentSpace(load_vae(shipped("vae.safetensors")))

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(np.flatnonzero(self._space.network.decoder.known.numpy()).tolist())
