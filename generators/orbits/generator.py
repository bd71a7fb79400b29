"""`orbits`: crystals in the symmetric subspace, by discrete diffusion of elements over the orbits of known skeletons.

Exact contents are answered by structure prediction (`generators.orbits.prediction`), all else by drawing new crystals
(`generators.orbits.de_novo`): from nothing, from a skeleton, from a host, from part of a crystal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError, StructureError
from redoxa.data.progress import OnStep
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import HEAVIEST
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.generators.base import (
    TARGETS,
    CellContent,
    Condition,
    Likelihood,
    Predicted,
    Prediction,
    Relaxer,
    ShortfallError,
)
from redoxa.generators.choice import Choice
from redoxa.generators.geometry.flow import GeometryFlow, load_geometry
from redoxa.generators.orbits.de_novo import DeNovo, Found
from redoxa.generators.orbits.decoration.decorator import log_likelihood
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.foresight.surrogate import load_surrogate
from redoxa.generators.orbits.formulas import predict_formula
from redoxa.generators.orbits.prediction import predictor_of, shipped_predictor
from redoxa.generators.orbits.preference import load_preference
from redoxa.generators.parallel import side_by_side

UNITS = {"V": "_V", "mAh/g": "_mAh_g", "eV/atom": "_eV_per_atom", "1": ""}
"""Ends of the names of columns, by unit."""


class OrbitsGenerator:
    """Elements on the orbits of known skeletons.

    Args:
        checkpoint: weights of the two networks; by default those that ship.
        templates: table of templates; by default the one that ships.
        geometry: weights of the flow of the free numbers; by default those that ship.

    Attributes:
        relaxer: what relaxes predicted structures within the symmetry; without one the judgement stands alone.
        choice: of several new crystals that are drawn for each sample the best is made. What it gives by processor
            second: docs/measurements/generators.md.
    """

    name: ClassVar[str] = "orbits"
    summary: ClassVar[str] = "symmetry-true diffusion: elements on the orbits of known skeletons; structure prediction"
    models: ClassVar[tuple[str, ...]] = (
        "masked diffusion",
        "flow matching",
        "energy-based model",
        "reinforcement learning",
    )
    aims: ClassVar[frozenset[str]] = frozenset(
        {"average_voltage", "capacity_grav", "max_delta_volume", "stability_discharge"}
    )
    cannot: ClassVar[Mapping[str, str]] = {}
    likelihood: ClassVar[Likelihood] = "log_elements"

    def __init__(
        self, checkpoint: Path | None = None, templates: Path | None = None, geometry: Path | None = None
    ) -> None:
        path = checkpoint or shipped("orbits.safetensors")
        self.relaxer: Relaxer | None = None
        own = checkpoint is not None or templates is not None
        self.predictor = predictor_of(path, templates) if own else shipped_predictor()
        self.proposer, decorator = self.predictor.proposer, self.predictor.decorator
        self.flow = GeometryFlow(load_geometry(geometry or shipped("geometry.safetensors")))
        surrogate = cache(partial(load_surrogate, path, decorator.config.hidden))
        self.choice: Choice | None = None
        self.de_novo = DeNovo(self.proposer, decorator, surrogate, self.flow.refine, preference=load_preference(path))
        self.checkpoint_sha256: str | None = sha256_of(path)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels; see `generators.base.Generator`.

        Raises:
            GenerationError: the condition cannot be met, or not so often.
        """
        answers = self.foreseen(n, condition, rng, on_step)
        return CrystalBatch.from_crystals([one.crystal for one in answers]), [one.label for one in answers]

    def foreseen(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> list[Predicted]:
        """The samples, with what is foreseen of them; see `generators.base.Foresees`."""
        if condition.contents:
            if len(condition.contents) != n:
                raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
            return [Predicted(*answer) for answer in self.predictor.answers(condition, rng, self.relaxer, on_step)]
        (answers,) = side_by_side([partial(self._drawn, n, condition, rng, on_step)])
        if len(answers) < n:
            raise ShortfallError(
                f"orbits found only {len(answers)} of {n} different crystals; allow more elements or atoms", answers
            )
        return answers

    def predict(
        self,
        n: int,
        formula: CellContent,
        condition: Condition,
        rng: np.random.Generator,
        budget_s: float,
        on_step: OnStep | None = None,
    ) -> Prediction:
        """At most n answers to a formula, across cell sizes; see `generators.base.PredictsFormula`.

        Raises:
            GenerationError: nothing suits the formula, or not with these space groups.
        """
        return predict_formula(
            self.predictor, n, formula, condition, rng, relaxer=self.relaxer, budget_s=budget_s, on_step=on_step
        )

    def log_likelihood(self, crystals: Sequence[Crystal], rng: np.random.Generator) -> NDArray[np.float64]:
        """See `generators.base.HasLikelihood` and `decorator.log_likelihood`."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        found = np.full(len(crystals), np.nan)
        for i, crystal in enumerate(crystals):
            if max(crystal.numbers) > HEAVIEST or not (self.proposer.volumes_A3[list(crystal.numbers)] > 0).all():
                continue
            try:
                form = symmetric(crystal)
                graph = OrbitGraph.of(form)
            except StructureError:
                continue
            types = torch.tensor([[orbit.number for orbit in form.orbits]])
            with torch.inference_mode():
                found[i] = float(log_likelihood(self.predictor.decorator, types, GraphBatch.of([graph]), generator))
        return found

    def _drawn(self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None) -> list[Predicted]:
        """New crystals, n at most, in the order in which they were drawn."""
        answers: list[Predicted] = []
        for found in self.de_novo.draw(condition, n, rng, self.choice):
            values = {f"foreseen_{name}{UNITS[TARGETS[name]]}": value for name, value in found.foreseen.items()}
            answers.append(Predicted(found.crystal, _label(found), values))
            if on_step is not None:
                on_step(len(answers), n)
        return answers


def _label(found: Found) -> str:
    if found.new:
        return f"new skeleton, space group {found.template.form.group}"
    elements = dict.fromkeys(zip((o.number for o in found.template.form.orbits), found.numbers, strict=True))
    changes = ", ".join(f"{chemical_symbols[a]}->{chemical_symbols[b]}" for a, b in elements if a != b)
    return f"space group {found.template.form.group}: {changes or 'as it is'}"
