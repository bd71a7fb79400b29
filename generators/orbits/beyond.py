"""Contents that no (further) skeleton of the memory can hold: the sequence model writes one, and `flow` comes last."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from ase.data import chemical_symbols

from redoxa.data.errors import GenerationError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.records import Crystal
from redoxa.generators.base import CellContent, Condition
from redoxa.generators.exchange.proposals import unlike_first
from redoxa.generators.geometry.flow import refine_written
from redoxa.generators.wyckoff.sequence import WyckoffModel

DRAWS = 40
"""Skeletons that are written for a content; equal ones count once, and those without a sane geometry not at all."""

MOST_ATOMS = 40
"""Contents beyond it go to `flow` at once: the sequence model has learned from cells of up to 20 atoms."""

Key = tuple[tuple[int, int], ...]
Answer = tuple[Crystal, str]


def beyond_skeletons(
    contents: Sequence[Key],
    groups: frozenset[int],
    rng: np.random.Generator,
    model: Callable[[], WyckoffModel] = lambda: WyckoffModel.load(refine=refine_written),
) -> dict[Key, list[Answer]]:
    """Crystals by content, the likeliest first; a content that occurs several times gets as many, unlike ones first.

    Args:
        contents: sorted (atomic number, count) pairs.
        groups: space groups that the crystals may have; empty for any.
        rng: the only source of randomness.
        model: the sequence model; called where there is anything to be done.

    Raises:
        GenerationError: no crystal of the groups asked for was found, or a content is too large for `flow`.
    """
    found: dict[Key, list[Answer]] = defaultdict(list)
    if not contents:
        return found
    writer = model()
    rest: list[Key] = []
    for key, count in Counter(contents).items():
        found[key] = _written(writer, dict(key), groups, rng)[:count]
        rest += [key] * (count - len(found[key]))
    if rest and groups:
        formula = "".join(f"{chemical_symbols[z]}{n}" for z, n in rest[0])
        raise GenerationError(f"{formula}: no (further) skeleton of space group {', '.join(map(str, sorted(groups)))}")
    for key, answer in zip(rest, _from_noise(rest, rng), strict=True):
        found[key].append(answer)
    return found


def _written(
    model: WyckoffModel, content: CellContent, groups: frozenset[int], rng: np.random.Generator
) -> list[Answer]:
    """What the sequence model writes for a content; none where it is too large or holds an element it does not know."""
    if sum(content.values()) > MOST_ATOMS or not set(content) <= model.sampler.known:
        return []
    answers = [
        (one.crystal, f"written by the sequence model, space group {one.form.group}")
        for one in model.propose(content, DRAWS, rng, groups)
        if not groups or spacegroup(one.crystal, 0.01) in groups
    ]
    return list(unlike_first(answers))


def _from_noise(contents: Sequence[Key], rng: np.random.Generator) -> list[Answer]:
    """Crystals by `flow`, one for each content."""
    if not contents:
        return []
    from redoxa.generators.noise.flow import FlowGenerator

    batch, _ = FlowGenerator().sample(len(contents), Condition(contents=tuple(map(dict, contents))), rng)
    return [(crystal, "no further skeleton is known: from noise by flow") for crystal in batch.to_crystals()]
