"""`diffusion`: score-based diffusion of coordinates and lattice from noise, on elements or exact contents."""

from __future__ import annotations

from typing import ClassVar

from generators.noise.diffusion_samplers import DIFFUSION_SAMPLERS
from generators.noise.from_noise import FromNoise, NoiseSettings, Process
from generators.noise.likelihood import diffusion_velocity
from generators.noise.samplers import SamplerSettings


class DiffusionGenerator(FromNoise):
    """Crystals by a diffusion run backwards; can be guided towards hull distances and voltages."""

    name: ClassVar[str] = "diffusion"
    summary: ClassVar[str] = "score-based diffusion of coordinates and lattice, with guidance by properties"
    aims: ClassVar[frozenset[str]] = frozenset({"stability_discharge"})
    process = Process(DIFFUSION_SAMPLERS, diffusion_velocity)
    defaults = NoiseSettings(method="ode", sampler=SamplerSettings(steps=40, repel_from=0.7))
