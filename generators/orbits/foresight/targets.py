"""Ranges of electrode properties that a sample is to lie in: foreseen, before anything is relaxed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols

from redoxa.data.chemistry import theoretical_capacity_mAh_g
from redoxa.data.errors import GenerationError
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.generators.base import Condition
from redoxa.generators.electrode import working_ion
from redoxa.generators.graph import N_TYPES
from redoxa.generators.orbits.decoration.decorator import Decorator
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch
from redoxa.generators.orbits.foresight.surrogate import PROPERTIES, Surrogate, see

MARGIN_eV_PER_ATOM = 0.02
"""How far inside a range a distance from the hull is to be foreseen: half the mean error. What is foreseen varies less
than what comes, so that without a margin most of what is drawn would seem to fit."""


class Sieve:
    """The targets of a condition.

    Args:
        condition: what is asked for.
        decorator: through which the surrogate sees crystals.
        surrogate: foresees voltage, volume change and hull distance.

    Raises:
        GenerationError: a property that cannot be foreseen, or no working ion for one of an electrode.
    """

    def __init__(self, condition: Condition, decorator: Decorator, surrogate: Surrogate) -> None:
        self.targets = condition.targets
        self.decorator, self.surrogate = decorator, surrogate
        self._known: dict[str, Callable[[torch.Tensor, GraphBatch], Floats]] = {
            "capacity_grav": self._capacities,
            "average_voltage": lambda types, graphs: self._foreseen(types, graphs)[:, PROPERTIES.index("voltage_V")],
            "max_delta_volume": lambda types, graphs: np.abs(
                self._foreseen(types, graphs)[:, PROPERTIES.index("volume_change")]
            ),
            "stability_discharge": self._distances,
        }
        if unknown := [target.property for target in self.targets if target.property not in self._known]:
            raise GenerationError(f"orbits cannot aim at {unknown[0]}; it can at {', '.join(self._known)}")
        self.ion = working_ion(condition) if condition.of_electrode else ""
        if any(target.property == "stability_discharge" for target in self.targets) and surrogate.stability is None:
            raise GenerationError(
                "these weights cannot aim at stability_discharge; train them again, or use the shipped"
            )

    def met(self, types: torch.Tensor, graphs: GraphBatch) -> list[bool]:
        """Whether decorated crystals [b] are foreseen to lie in all ranges."""
        return [self.within(values) for values in self.foreseen(types, graphs)]

    def foreseen(self, types: torch.Tensor, graphs: GraphBatch) -> list[dict[str, float]]:
        """What is foreseen of decorated crystals [b], by property, in the units of `generators.base.TARGETS`."""
        names = [target.property for target in self.targets]
        columns = [self._known[name](types, graphs) for name in names]
        return [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)]

    def within(self, values: Mapping[str, float]) -> bool:
        """Whether what is foreseen of a crystal lies in all ranges."""
        for target in self.targets:
            low = -math.inf if target.low is None else target.low
            high = math.inf if target.high is None else target.high
            margin = min(MARGIN_eV_PER_ATOM, (high - low) / 4) if target.property == "stability_discharge" else 0.0
            if not low + margin <= values[target.property] <= high - margin:
                return False
        return True

    def _foreseen(self, types: torch.Tensor, graphs: GraphBatch) -> Floats:
        ions = torch.full((len(types),), atomic_numbers[self.ion])
        with torch.inference_mode():
            return np.asarray(self.surrogate.electrode(see(self.decorator, types, graphs, ions)).mean(0), dtype=float)

    def _distances(self, types: torch.Tensor, graphs: GraphBatch) -> Floats:
        if self.surrogate.stability is None:
            return np.full(len(types), math.nan)
        with torch.inference_mode():
            return np.asarray(self.surrogate.stability(types, graphs).distance_eV_per_atom, dtype=float)

    def _capacities(self, types: torch.Tensor, graphs: GraphBatch) -> Floats:
        found = []
        for numbers, atoms in zip(types.numpy(), graphs.atoms.numpy(), strict=True):
            counts = np.bincount(numbers, atoms, N_TYPES)
            content = {chemical_symbols[z]: int(counts[z]) for z in np.flatnonzero(counts).tolist()}
            found.append(theoretical_capacity_mAh_g(content, self.ion))
        return np.array(found)
