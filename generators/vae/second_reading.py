"""A second reading of the crystals that a search wrote, by the surrogates of `orbits`.

The heads read a latent vector, which a search has moved to where they say what is wanted: their errors are chosen with
it. The surrogates look at the crystal itself, orbit by orbit, and learned from other labels besides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from redoxa.data.shipped import shipped
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.generators.noise.sampling.guidance import HULL_LABEL, VOLTAGE_LABELS
from redoxa.generators.orbits.decoration.decorator import load_decorator
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.foresight.surrogate import PROPERTIES as FORESEEN
from redoxa.generators.orbits.foresight.surrogate import load_surrogate, see
from redoxa.generators.vae.network import PROPERTIES


class SecondReader:
    """The surrogates of `orbits`, as they ship."""

    def __init__(self) -> None:
        path = shipped("orbits.safetensors")
        self._decorator = load_decorator(path)
        self._surrogate = load_surrogate(path, self._decorator.config.hidden)

    def properties(self, forms: Sequence[SymmetricCrystal]) -> torch.Tensor:
        """Voltages by the ions of `PROPERTIES` and the distance from the hull [n,P]; all else NaN."""
        found = torch.full((len(forms), len(PROPERTIES)), torch.nan)
        by_orbits: dict[int, list[int]] = defaultdict(list)
        for place, form in enumerate(forms):
            by_orbits[len(form.orbits)].append(place)
        for places in by_orbits.values():
            types = torch.tensor([[orbit.number for orbit in forms[i].orbits] for i in places])
            found[places] = self._read(types, GraphBatch.of([OrbitGraph.of(forms[i]) for i in places]))
        return found

    @torch.inference_mode()
    def _read(self, types: torch.Tensor, graphs: GraphBatch) -> torch.Tensor:
        """The same for crystals of equally many orbits; a voltage is NaN where the ion is not there."""
        found = torch.full((len(types), len(PROPERTIES)), torch.nan)
        for ion, label in VOLTAGE_LABELS.items():
            holds = (types == ion).any(1)
            if holds.any():
                ions = torch.full((int(holds.sum()),), ion)
                seen = see(self._decorator, types[holds], graphs[holds], ions)
                voltage = self._surrogate.electrode(seen).mean(0)[:, FORESEEN.index("voltage_V")]
                found[holds, PROPERTIES.index(label)] = voltage
        if self._surrogate.stability is not None:
            found[:, PROPERTIES.index(HULL_LABEL)] = self._surrogate.stability(types, graphs).distance_eV_per_atom
        return found
