"""`wyckoff`: crystals as the sequence model writes them, whose skeletons no template needs to have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnStep
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.generators.base import Condition, Likelihood, Predicted, ShortfallError, refuse
from redoxa.generators.exchange.proposals import unlike_first
from redoxa.generators.exchange.recipes import repeated
from redoxa.generators.geometry.flow import refine_written
from redoxa.generators.parallel import Progress, shares, side_by_side
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.likelihood import of_each, skeleton_nats
from redoxa.generators.wyckoff.sequence import Drawn, DrawSettings, WyckoffModel
from redoxa.generators.wyckoff.wishes import accept_for, wishes_of

DRAWS = 40
"""Skeletons that are written for a content at least, and `BY_ANSWER` for each answer wanted; the likeliest are kept."""

BY_ANSWER = 4


class WyckoffGenerator:
    """Crystals from the sequence network, with the geometry that suits their elements.

    Args:
        checkpoint: weights; by default those that ship.
        settings: how crystals are drawn.
    """

    name: ClassVar[str] = "wyckoff"
    summary: ClassVar[str] = (
        "sequence model that writes crystals orbit by orbit, also in skeletons that no template has"
    )
    models: ClassVar[tuple[str, ...]] = ("autoregressive transformer",)
    aims: ClassVar[frozenset[str]] = frozenset()
    cannot: ClassVar[Mapping[str, str]] = {"like": "use `orbits`", "targets": "use `orbits` or `vae`"}
    likelihood: ClassVar[Likelihood] = "log_skeleton"

    def __init__(self, checkpoint: Path | None = None, settings: DrawSettings | None = None) -> None:
        path = checkpoint or shipped("wyckoff.safetensors")
        self.checkpoint_sha256: str | None = sha256_of(path)
        self.model = WyckoffModel.load(path, settings, refine_written)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels, e.g. ``space group 166``; see `generators.base.Generator`.

        The crystals of one content are the likeliest of those that were written, unlike ones first.

        Raises:
            ShortfallError: only some crystals were found.
            GenerationError: the condition cannot be met.
        """
        if condition.contents and len(condition.contents) != n:
            raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
        refuse(self.name, condition, **self.cannot)
        progress = Progress(n, on_step)
        wishes, cells = wishes_of(condition, n, self.model.sampler.known)
        if condition.contents:
            drawn = self._answers(wishes, condition, rng, progress)
        else:
            drawn = self._drawn(wishes, condition, rng, progress)
        made = [
            (repeated(one.crystal, count), f"space group {one.form.group}")
            for one, count in zip(drawn, cells, strict=True)
            if one is not None
        ]
        if len(made) < n:
            raise ShortfallError(self.model.shortage(n - len(made), n), list(starmap(Predicted, made)))
        return CrystalBatch.from_crystals([crystal for crystal, _ in made]), [label for _, label in made]

    def _drawn(
        self, wishes: Sequence[Wish], condition: Condition, rng: np.random.Generator, progress: Progress
    ) -> list[Drawn | None]:
        """A crystal for each wish, in pieces side by side."""
        pieces: list[Callable[[], list[Drawn | None]]] = []
        first = 0
        for size in shares(len(wishes)):
            pieces.append(
                partial(
                    self.model.attempts,
                    wishes[first : first + size],
                    np.random.default_rng(int(rng.integers(2**62))),
                    accept=accept_for(condition),
                    on_done=progress.piece(),
                )
            )
            first += size
        return [one for piece in side_by_side(pieces) for one in piece]

    def _answers(
        self, wishes: Sequence[Wish], condition: Condition, rng: np.random.Generator, progress: Progress
    ) -> list[Drawn | None]:
        """A crystal for each wish, those of one content by their rank."""
        places: dict[int, list[int]] = defaultdict(list)
        for i, wish in enumerate(wishes):
            places[id(wish)].append(i)
        pieces = [
            partial(
                self._ranked, wishes[rows[0]], len(rows), condition,
                np.random.default_rng(int(rng.integers(2**62))), progress,
            )
            for rows in places.values()
        ]  # fmt: skip
        found: list[Drawn | None] = [None] * len(wishes)
        for rows, answers in zip(places.values(), side_by_side(pieces), strict=True):
            for i, one in zip(rows, answers, strict=True):
                found[i] = one
        return found

    def _ranked(
        self, wish: Wish, count: int, condition: Condition, rng: np.random.Generator, progress: Progress
    ) -> list[Drawn | None]:
        """So many crystals of one content: the likeliest of many, and where these are too few, single draws."""
        accept = accept_for(condition)
        draws = max(DRAWS, BY_ANSWER * count)
        written = self.model.propose(wish.content or {}, draws, rng, condition.groups)
        by_crystal: list[tuple[Crystal, Drawn]] = [
            (one.crystal, one) for one in written if accept is None or accept(one.crystal)
        ]
        ranked = [one for _, one in unlike_first(by_crystal)][:count]
        missing = count - len(ranked)
        more = self.model.attempts([wish] * missing, rng, accept=accept) if missing else []
        progress.add(count)
        return [*ranked, *more]

    def log_likelihood(self, crystals: Sequence[Crystal], rng: np.random.Generator) -> NDArray[np.float64]:
        """See `generators.base.HasLikelihood` and `likelihood.skeleton_nats`."""
        del rng
        network = self.model.sampler.network
        return of_each(crystals, network.known, lambda _, form: float(skeleton_nats(network, form)))
