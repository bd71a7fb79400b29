"""What an electrode's voltage and volume change would be: small networks on what the decorator sees of a crystal.

They have learned from templates whose ions our own potential took out (`data/assets/electrode_labels.parquet`), and
stand in for it where thousands of crystals are drawn and few fit. An ensemble: its mean is the prediction.
"""

from __future__ import annotations

from pathlib import Path

import torch
from ase.data import atomic_numbers
from torch import nn

from data.errors import InputError
from data.units import ION_VALENCE
from generators.checkpoint import read_tensors
from generators.orbits.decorator import Decorator
from generators.orbits.orbit_graph import GraphBatch

PROPERTIES = ("voltage_V", "volume_change")
"""What is predicted: average voltage against the metal of the ion, and relative change of volume on full removal."""

MEMBERS, WIDTHS, DROPOUT = 4, (64, 32), 0.3

IONS = tuple(atomic_numbers[symbol] for symbol in ION_VALENCE)


class Surrogate(nn.Module):
    """An ensemble over a decorator's picture of a crystal.

    Args:
        hidden: width of the decorator.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    scale: torch.Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        seen = 3 * hidden + 1 + len(IONS)
        self.register_buffer("mean", torch.zeros(seen))
        self.register_buffer("spread", torch.ones(seen))
        self.register_buffer("scale", torch.ones(len(PROPERTIES)))
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(seen, WIDTHS[0]), nn.SiLU(), nn.Dropout(DROPOUT),
                nn.Linear(WIDTHS[0], WIDTHS[1]), nn.SiLU(), nn.Linear(WIDTHS[1], len(PROPERTIES)),
            )
            for _ in range(MEMBERS)
        )  # fmt: skip

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Predictions of each member [members, b, properties] from what `see` gives [b,f]."""
        x = (seen - self.mean) / self.spread
        return torch.stack([member(x) for member in self.members]) * self.scale


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
    """Read the surrogate from a checkpoint of `orbits`.

    Raises:
        InputError: the file holds none that fits.
    """
    tensors, _ = read_tensors(path)
    surrogate = Surrogate(hidden)
    try:
        weights = {name.partition(".")[2]: t.float() for name, t in tensors.items() if name.startswith("surrogate.")}
        surrogate.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the surrogate: {error}") from error
    return surrogate.eval()
