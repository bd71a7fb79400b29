"""`diffusion`: score-based diffusion of coordinates and lattice from noise, on elements or exact contents."""

from __future__ import annotations

from typing import ClassVar

from redoxa.generators.noise.from_noise import FromNoise, NoiseSettings, Process
from redoxa.generators.noise.sampling.diffusion_samplers import DIFFUSION_SAMPLERS
from redoxa.generators.noise.sampling.likelihood import diffusion_velocity
from redoxa.generators.noise.sampling.samplers import SamplerSettings


class DiffusionGenerator(FromNoise):
    """Crystals by a diffusion run backwards; can be guided towards hull distances and voltages."""

    name: ClassVar[str] = "diffusion"
    summary: ClassVar[str] = "score-based diffusion of coordinates and lattice, with guidance by properties"
    models: ClassVar[tuple[str, ...]] = ("score-based diffusion",)
    aims: ClassVar[frozenset[str]] = frozenset({"stability_discharge"})
    process = Process(DIFFUSION_SAMPLERS, diffusion_velocity)
    defaults = NoiseSettings(method="ode", sampler=SamplerSettings(steps=40, repel_from=0.7))
