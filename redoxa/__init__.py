"""Redoxa: discovery campaigns for battery electrode materials.

    import redoxa

    results = redoxa.screen("LiFePO4.cif", ion="Li")                      # voltage, capacity, hull, volume change
    crystals = redoxa.generate(20, elements="Li,Fe,P,O", require="Li")    # new crystals
    campaign = redoxa.open("my.yaml")                                     # campaign.run(), campaign.frame()

Results give pandas frames, pymatgen structures, ASE atoms and JSON, and show themselves in a notebook. The folders of
the repository are the rooms below: `redoxa.data`, `.generators`, `.screening`, `.robotics` and `.pipeline`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redoxa.face import generate, open, screen

if TYPE_CHECKING:
    from redoxa.data.errors import GenerationError, InputError, RedoxaError
    from redoxa.data.records import Candidate, Crystal, Estimate, ScreeningResult, Verdict
    from redoxa.pipeline.results.samples import Sample, Samples
    from redoxa.pipeline.results.screening import Screened, Screening
    from redoxa.pipeline.tasks.campaign import Campaign, Run

_LATER = {
    "redoxa.data.errors": ("GenerationError", "InputError", "RedoxaError"),
    "redoxa.data.records": ("Candidate", "Crystal", "Estimate", "ScreeningResult", "Verdict"),
    "redoxa.pipeline.results.samples": ("Sample", "Samples"),
    "redoxa.pipeline.results.screening": ("Screened", "Screening"),
    "redoxa.pipeline.tasks.campaign": ("Campaign", "Run"),
}
"""What is imported when somebody asks for it, by module: the command that a robot's machine runs stays light."""

__all__ = [
    "Campaign", "Candidate", "Crystal", "Estimate", "GenerationError", "InputError", "RedoxaError", "Run", "Sample",
    "Samples", "Screened", "Screening", "ScreeningResult", "Verdict", "__version__", "generate", "open", "screen",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("redoxa")
    for module, names in _LATER.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(module), name)
    raise AttributeError(f"module 'redoxa' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
