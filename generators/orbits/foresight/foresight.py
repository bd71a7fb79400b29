"""What the networks of `orbits` say of elements on a skeleton, with what they err by."""

from __future__ import annotations

import torch

from redoxa.generators.base import Condition
from redoxa.generators.orbits.decoration.decorator import Decorator
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch
from redoxa.generators.orbits.foresight.surrogate import IONS, PROPERTIES, Surrogate, see

SIGMAS = {"stability_discharge": 0.05, "average_voltage": 0.45, "max_delta_volume": 0.045}
"""In eV/atom, V and 1: about 1.25 times the mean errors on held-out crystals."""


class Foresight:
    """Foresees the properties of `SIGMAS`; those of an electrode where a working ion is required.

    Args:
        condition: of the crystals.
        decorator: through which the surrogate sees them.
        surrogate: the networks.
    """

    def __init__(self, condition: Condition, decorator: Decorator, surrogate: Surrogate) -> None:
        self.decorator, self.surrogate = decorator, surrogate
        self.ion = min(condition.required & set(IONS), default=None)

    def __call__(self, types: torch.Tensor, graphs: GraphBatch) -> list[dict[str, tuple[float, float]]]:
        """Values of decorated crystals [b] with sigma, in the units of `generators.base.TARGETS`."""
        columns: dict[str, torch.Tensor] = {}
        with torch.inference_mode():
            if self.surrogate.stability is not None:
                columns["stability_discharge"] = self.surrogate.stability(types, graphs).distance_eV_per_atom
            if self.ion is not None:
                ions = torch.full((len(types),), self.ion)
                electrode = self.surrogate.electrode(see(self.decorator, types, graphs, ions)).mean(0)
                columns["average_voltage"] = electrode[:, PROPERTIES.index("voltage_V")]
                columns["max_delta_volume"] = electrode[:, PROPERTIES.index("volume_change")].abs()
        rows = zip(*(column.tolist() for column in columns.values()), strict=True) if columns else [()] * len(types)
        return [{name: (x, SIGMAS[name]) for name, x in zip(columns, row, strict=True)} for row in rows]
