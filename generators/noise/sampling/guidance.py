"""Aiming at properties: from a condition's ranges to labels for the network, and classifier-free guidance by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from ase.data import chemical_symbols

from redoxa.data.errors import GenerationError
from redoxa.data.tables.datasets import LABELS
from redoxa.generators.backbone import Backbone, Prediction
from redoxa.generators.base import Condition, Target
from redoxa.generators.labels import LabelEmbedding

VOLTAGE_LABELS = {3: "voltage_Li_V", 11: "voltage_Na_V"}
HULL_LABEL = "hull_distance_eV_per_atom"

LABELS_BELOW_CHGNET_V = 0.5
"""The voltages of the labels lie so far below those of CHGNet, with which targets are screened, on the same hosts."""


class Network(Protocol):
    """What samplers ask of a network; see `backbone.Backbone`."""

    lattice_std: torch.Tensor

    def reference(self, types: torch.Tensor) -> torch.Tensor:
        """Mean log lattice for types [B,N], as [B,6]."""
        ...

    def __call__(
        self,
        types: torch.Tensor,
        frac_coords: torch.Tensor,
        log_lattice: torch.Tensor,
        time: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> Prediction:
        """Predict from a state on the path."""
        ...


class Guided:
    """A network that exaggerates what labels change: (1 + weight) given them - weight without (arXiv:2207.12598).

    Twice the work of the network itself; as the network where no label is given.
    """

    def __init__(self, network: Backbone, weight: float) -> None:
        self.network, self.weight, self.lattice_std = network, weight, network.lattice_std
        self.reference = network.reference

    def __call__(
        self,
        types: torch.Tensor,
        frac_coords: torch.Tensor,
        log_lattice: torch.Tensor,
        time: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> Prediction:
        """See `Network`."""
        state = types, frac_coords, log_lattice, time
        if labels is None or self.weight == 0 or bool(labels.isnan().all()):
            plain: Prediction = self.network(*state, labels)
            return plain
        labels = torch.cat([labels, torch.full_like(labels, torch.nan)])
        both = self.network(*(torch.cat([part, part]) for part in state), labels)
        pairs = (tensor.chunk(2) for tensor in vars(both).values())
        return Prediction(*(torch.lerp(without, given, 1 + self.weight) for given, without in pairs))


@dataclass(frozen=True)
class Aim:
    """Ranges of labels, NaN for those that nothing is asked of: low [K], high [K]."""

    low: torch.Tensor
    high: torch.Tensor

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Labels [n,K], uniform in their ranges."""
        if bool(self.low.isnan().all()):  # no randomness is used up where nothing is asked
            return self.low.expand(n, -1)
        return torch.lerp(self.low, self.high, torch.rand(n, len(self.low), generator=generator))


def aim_for(name: str, condition: Condition, labels: LabelEmbedding | None) -> Aim:
    """What a condition's targets mean for a network.

    An open end is two standard deviations of the training data from their mean, and 0 for a hull distance.

    Args:
        name: of the generator.
        condition: what is asked for.
        labels: of the network; None where it has none.

    Raises:
        GenerationError: a property that the network does not know, or a voltage without one working ion.
    """
    low = torch.full((len(LABELS) if labels is not None else 0,), torch.nan)
    high = low.clone()
    for target in condition.targets:
        if labels is None:
            raise GenerationError(f"{name} cannot choose targets: use `orbits` or `diffusion`")
        label = label_of(name, target, condition.required)
        shift = LABELS_BELOW_CHGNET_V if label in VOLTAGE_LABELS.values() else 0.0
        given_low, given_high = (None if end is None else end - shift for end in (target.low, target.high))
        column = list(LABELS).index(label)
        mean, reach = float(labels.mean[column]), 2 * float(labels.std[column])
        floor, ceiling = 0.0 if label == HULL_LABEL else mean - reach, mean + reach
        ends = (floor if given_low is None else given_low, ceiling if given_high is None else given_high)
        # An end that was given may lie beyond the one that was not.
        low[column] = min(ends) if given_low is None else given_low
        high[column] = max(ends) if given_high is None else given_high
    return Aim(low, high)


def label_of(name: str, target: Target, required: frozenset[int]) -> str:
    """The label that stands for a property; a voltage is of the one working ion that is required.

    Raises:
        GenerationError: there is no such label.
    """
    if target.property == "stability_discharge":
        return HULL_LABEL
    if target.property == "average_voltage":
        ions = required & VOLTAGE_LABELS.keys()
        if len(ions) != 1:
            known = " or ".join(chemical_symbols[z] for z in VOLTAGE_LABELS)
            raise GenerationError(f"{name} can aim at a voltage of {known} only: require one of them")
        return VOLTAGE_LABELS[next(iter(ions))]
    raise GenerationError(
        f"{name} cannot aim at {target.property}: it follows from the composition, so choose elements or contents"
    )
