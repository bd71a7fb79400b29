"""`vae`: crystals written from latent vectors of a graph VAE; targets by search in the latent space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import starmap
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from redoxa.data.chemistry import theoretical_capacity_mAh_g
from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnStep
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.sequences import capacity_of
from redoxa.generators.base import Condition, Likelihood, Predicted, ShortfallError, refuse
from redoxa.generators.exchange.recipes import repeated
from redoxa.generators.geometry.flow import refine_written
from redoxa.generators.parallel import Progress, shares, side_by_side
from redoxa.generators.vae.checkpoint import load_vae
from redoxa.generators.vae.latent import CAPACITY, MARGIN, Goal, LatentSpace, goals_for
from redoxa.generators.vae.network import PROPERTIES
from redoxa.generators.vae.second_reading import SecondReader
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.likelihood import of_each
from redoxa.generators.wyckoff.sequence import Drawn, DrawSettings, WyckoffModel
from redoxa.generators.wyckoff.wishes import accept_for, wishes_of

CANDIDATES = 10
"""Crystals that are written for each one wanted where there are targets; those that are read best are kept."""

MISSED = 1e3
"""Penalty of a capacity beyond its window: more than the heads ever give."""

SPARE = 32
"""Vectors of the prior from which one is chosen."""

TURNS = 4
"""Vectors that a crystal may be written from, one after the other, where it is refused."""

FRESH_STARTS = 3
"""Times that what none of its vectors gave is begun with others."""


class VaeGenerator:
    """Crystals from latent vectors.

    Args:
        checkpoint: weights; by default those that ship.
        settings: how crystals are drawn.
    """

    name: ClassVar[str] = "vae"
    summary: ClassVar[str] = "graph VAE that writes crystals in their space group, with search in the latent space"
    models: ClassVar[tuple[str, ...]] = ("variational autoencoder", "normalizing flow")
    aims: ClassVar[frozenset[str]] = frozenset({"stability_discharge"})
    cannot: ClassVar[Mapping[str, str]] = {"like": "use `orbits`"}
    likelihood: ClassVar[Likelihood] = "log_skeleton"

    def __init__(self, checkpoint: Path | None = None, settings: DrawSettings | None = None) -> None:
        path = checkpoint or shipped("vae.safetensors")
        network = load_vae(path)
        self.checkpoint_sha256: str | None = sha256_of(path)
        self.space = LatentSpace(network)
        self.model = WyckoffModel(network.decoder, settings, refine_written)
        self._second = cache(SecondReader)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels, e.g. ``space group 166``; see `generators.base.Generator`.

        Raises:
            ShortfallError: only some crystals were found.
            GenerationError: the condition cannot be met, or there is no property head for a target.
        """
        if condition.contents and len(condition.contents) != n:
            raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
        refuse(self.name, condition, **self.cannot)
        goals = goals_for(condition.targets, condition.required)
        progress, pieces, first = Progress(n, on_step), [], 0
        for size in shares(n):
            part = replace(condition, contents=condition.contents[first : first + size])
            seeded = np.random.default_rng(int(rng.integers(2**62)))
            pieces.append(partial(self._piece, size, part, goals, seeded, progress.piece()))
            first += size
        made = [one for piece in side_by_side(pieces) for one in piece]
        if len(made) < n:
            raise ShortfallError(self.model.shortage(n - len(made), n), list(starmap(Predicted, made)))
        return CrystalBatch.from_crystals([crystal for crystal, _ in made]), [label for _, label in made]

    def log_likelihood(self, crystals: Sequence[Crystal], rng: np.random.Generator) -> NDArray[np.float64]:
        """See `generators.base.HasLikelihood` and `LatentSpace.skeleton_bound`."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        known = self.model.sampler.network.known
        return of_each(crystals, known, lambda crystal, form: self.space.skeleton_bound(crystal, form, generator))

    def _piece(
        self,
        n: int,
        condition: Condition,
        goals: Sequence[Goal],
        rng: np.random.Generator,
        on_done: Callable[[int], None],
    ) -> list[tuple[Crystal, str]]:
        """Some of the samples with their labels, made in one thread; fewer where tries run out."""
        many = CANDIDATES if goals else 1
        wishes, cells = wishes_of(condition, n, self.model.sampler.known)
        repeats = [wish for wish in wishes for _ in range(many)]
        drawn = self._drawn(repeats, condition, goals, rng, lambda done: on_done(done // many))
        chosen = self._best(drawn, many, goals, condition)
        return [
            (repeated(one.crystal, count), f"space group {one.form.group}")
            for one, count in zip(chosen, cells, strict=True)
            if one is not None
        ]

    def _drawn(
        self,
        wishes: list[Wish],
        condition: Condition,
        goals: Sequence[Goal],
        rng: np.random.Generator,
        on_done: Callable[[int], None],
    ) -> list[Drawn | None]:
        """A crystal for each wish; what fails begins again with other vectors, as long as that helps."""
        found: list[Drawn | None] = [None] * len(wishes)
        missing = list(range(len(wishes)))

        def after(before: int, done: int) -> None:
            on_done(before + done)

        for _ in range(FRESH_STARTS):
            more = self.model.attempts(
                [wishes[i] for i in missing],
                rng,
                latent=self._latent(len(missing) * TURNS, wishes[missing[0]], goals, rng),
                accept=accept_for(condition),
                on_done=partial(after, len(wishes) - len(missing)),
            )
            for i, one in zip(missing, more, strict=True):
                found[i] = one
            left = [i for i in missing if found[i] is None]
            if not left or len(left) == len(missing):
                break
            missing = left
        return found

    def _latent(self, count: int, wish: Wish, goals: Sequence[Goal], rng: np.random.Generator) -> torch.Tensor | None:
        """Vectors to write from; none where a composition alone is asked for, which says more than a random vector.

        Of many vectors of the prior, those whose crystals are likely to meet the wish by themselves.
        """
        if wish.content is not None and not goals:
            return None
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        starts = self.space.network.from_prior(SPARE * count, generator)
        chances = self.space.chances(starts, wish)
        lots = torch.rand(chances.shape, generator=generator).log().neg().log().neg()  # Gumbel: drawn by their chances
        starts = starts[(chances + lots).topk(count).indices]
        return self.space.search(starts, goals) if goals else starts

    def _best(
        self, drawn: list[Drawn | None], many: int, goals: Sequence[Goal], condition: Condition
    ) -> list[Drawn | None]:
        """One of `many` crystals drawn: those that, read again, come nearest to the goals; of each content, its own.

        The capacity is exact, so those that have it come first. Readings err by more than most windows are wide, so
        those well inside a window come before those just inside, and the worse of two readings counts. None where no
        candidate is left.
        """
        if not goals:
            return drawn
        wanted = len(drawn) // many
        made = [i for i, one in enumerate(drawn) if one is not None]
        penalty = self._penalty([one for one in drawn if one is not None], goals, condition)
        order = [made[i] for i in np.argsort(penalty, kind="stable")]
        if condition.contents:
            best = {i // many: i for i in reversed(order)}
            return [drawn[best[k]] if k in best else None for k in range(wanted)]
        kept = [drawn[i] for i in sorted(order[:wanted])]
        return kept + [None] * (wanted - len(kept))

    def _penalty(self, drawn: list[Drawn], goals: Sequence[Goal], condition: Condition) -> NDArray[np.float64]:
        """How far crystals are from the goals, by what is read of them [n]."""
        if not drawn:
            return np.zeros(0)
        crystals = [one.crystal for one in drawn]
        read = [goal for goal in goals if PROPERTIES[goal.head] != CAPACITY]
        penalty = np.zeros(len(drawn))
        if read:
            own = self.space.properties(self.space.encode(crystals))
            other = self._second().properties([one.form for one in drawn])
            readings = own, other.where(other.isfinite(), own)
            penalty = np.maximum(*(self.space.missed(reading, read, MARGIN).numpy() for reading in readings))
        for goal in (goal for goal in goals if goal not in read):
            capacity = np.array([_capacity(crystal, condition.required) for crystal in crystals])
            missed = np.nan_to_num(np.maximum(goal.low - capacity, capacity - goal.high).clip(0.0), nan=np.inf)
            penalty = penalty + np.where(missed > 0, MISSED + missed, 0.0)
        return penalty


def _capacity(crystal: Crystal, required: frozenset[int]) -> float:
    """By the required one of lithium and sodium, else by what is there, mAh/g; NaN where there is neither."""
    ions = required & {3, 11}
    if len(ions) != 1:
        return capacity_of(crystal.numbers)
    return theoretical_capacity_mAh_g(crystal.composition, chemical_symbols[next(iter(ions))])
