"""`flow`: joint flow matching of atom types, fractional coordinates and lattice, on elements or exact contents."""

from __future__ import annotations

from typing import ClassVar

from redoxa.generators.noise.from_noise import FromNoise, NoiseSettings, Process
from redoxa.generators.noise.sampling.likelihood import flow_velocity
from redoxa.generators.noise.sampling.samplers import FLOW_SAMPLERS


class FlowGenerator(FromNoise):
    """Crystals on straight paths from noise."""

    name: ClassVar[str] = "flow"
    summary: ClassVar[str] = "joint flow matching of types, coordinates and lattice on the periodic graph"
    models: ClassVar[tuple[str, ...]] = ("flow matching",)
    aims: ClassVar[frozenset[str]] = frozenset()
    process = Process(FLOW_SAMPLERS, flow_velocity)
    defaults = NoiseSettings()
