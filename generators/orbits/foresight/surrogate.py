"""What voltage, volume change and hull distance would be: small networks on what the decorator sees of a crystal.

They have learned from templates whose ions our own potential took out (`data/assets/electrode_labels.parquet`) and
from hull distances of templates and of new crystals (`data/assets/stability_labels.parquet`), and stand in for the
potential where thousands of crystals are drawn and few fit. Ensembles: their mean is the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from ase.data import atomic_numbers
from torch import nn

from redoxa.data.errors import InputError
from redoxa.data.units import ION_VALENCE
from redoxa.generators.checkpoint import read_tensors
from redoxa.generators.orbits.decoration.decorator import Decorator
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch
from redoxa.generators.orbits.foresight.energy_model import EnergyModel, load_energy_model

PROPERTIES = ("voltage_V", "volume_change")
"""What is predicted: average voltage against the metal of the ion, and relative change of volume on full removal."""

MEMBERS, WIDTHS, DROPOUT = 4, (64, 32), 0.3

IONS = tuple(atomic_numbers[symbol] for symbol in ION_VALENCE)


class Ensemble(nn.Module):
    """Networks over a decorator's picture of a crystal.

    Args:
        seen: numbers of the picture.
        outputs: properties.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    scale: torch.Tensor

    def __init__(self, seen: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(seen))
        self.register_buffer("spread", torch.ones(seen))
        self.register_buffer("scale", torch.ones(outputs))
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(seen, WIDTHS[0]), nn.SiLU(), nn.Dropout(DROPOUT),
                nn.Linear(WIDTHS[0], WIDTHS[1]), nn.SiLU(), nn.Linear(WIDTHS[1], outputs),
            )
            for _ in range(MEMBERS)
        )  # fmt: skip

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Predictions of each member [members, b, outputs] from a picture [b,f]."""
        x = (seen - self.mean) / self.spread
        return torch.stack([member(x) for member in self.members]) * self.scale


@dataclass(frozen=True)
class Surrogate:
    """What foresees properties.

    Attributes:
        electrode: `PROPERTIES`, from what `see` gives.
        stability: the distance from the hull, and an energy to rank by; None where there is none.
    """

    electrode: Ensemble
    stability: EnergyModel | None = None


def electrode_ensemble(hidden: int) -> Ensemble:
    """A new ensemble for `PROPERTIES`, over a decorator of this width."""
    return Ensemble(3 * hidden + 1 + len(IONS), len(PROPERTIES))


def see(decorator: Decorator, types: torch.Tensor, graphs: GraphBatch, ion: torch.Tensor) -> torch.Tensor:
    """What the surrogate sees of crystals whose ions [b] (atomic numbers) are to leave [b,f]."""
    with torch.no_grad():
        h, state, share = decorator.embed(types, graphs)
    ions = (types == ion.unsqueeze(1)) * share
    taken = ions.sum(1, keepdim=True)
    own = (h * (ions / taken).unsqueeze(-1)).sum(1)
    kind = (ion.unsqueeze(1) == torch.tensor(IONS)).float()
    return torch.cat([(h * share.unsqueeze(-1)).sum(1), own, state, taken, kind], dim=1)


def load_surrogate(path: Path, hidden: int) -> Surrogate:
    """Read what foresees properties from a checkpoint of `orbits`.

    Raises:
        InputError: the file holds none that fit.
    """
    tensors, _ = read_tensors(path)
    electrode = _filled(electrode_ensemble(hidden), tensors, "surrogate", path)
    return Surrogate(electrode, load_energy_model(path))


def _filled(ensemble: Ensemble, tensors: dict[str, torch.Tensor], prefix: str, path: Path) -> Ensemble:
    weights = {name.partition(".")[2]: t.float() for name, t in tensors.items() if name.startswith(f"{prefix}.")}
    try:
        ensemble.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the {prefix} networks: {error}") from error
    return ensemble.eval()
