"""Asking a generator for exact contents when it may not know them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from redoxa.data.errors import GenerationError
from redoxa.data.records import Crystal
from redoxa.generators.base import CellContent, Condition, Generator

Answer = tuple[Crystal, str]
"""A crystal and its label."""


def ask(
    generator: Generator,
    requests: Sequence[tuple[CellContent, int]],
    seed: int,
    on_step: Callable[[int, int], None] | None = None,
) -> list[list[Answer]]:
    """Ask for each content as often as given; a content that cannot be answered so often gets what there is.

    A generator refuses a whole call for one content that it cannot meet. So the call is halved until only that content
    is left, which is then asked for less often. A generator that answers in order fails early, so that the halving
    costs two to three times the plain call, and nothing where all can be answered.

    Args:
        generator: any.
        requests: content and count; no content twice.
        seed: of the answers; a call is seeded by it and its place.
        on_step: called with (done, total) in answers.
    """
    found: list[list[Answer]] = [[] for _ in requests]
    total, done = sum(count for _, count in requests), 0
    calls = [(0, len(requests))] if requests else []
    while calls:
        start, end = calls.pop()
        part = requests[start:end]
        try:
            answers = _call(generator, part, [seed, start])
        except GenerationError:
            if end - start > 1:
                middle = (start + end) // 2
                calls += [(middle, end), (start, middle)]
                continue
            answers = _fewer(generator, part[0], [seed, start])
        for i, (_, count) in enumerate(part):
            found[start + i], answers = answers[:count], answers[count:]
            done += count
        if on_step is not None:
            on_step(done, total)
    return found


def _fewer(generator: Generator, request: tuple[CellContent, int], seed: list[int]) -> list[Answer]:
    """As many answers to one content as there are, at most one fewer than asked for."""
    content, count = request
    for n in range(count - 1, 0, -1):
        try:
            return _call(generator, [(content, n)], seed)
        except GenerationError:
            continue
    return []


def _call(generator: Generator, requests: Sequence[tuple[CellContent, int]], seed: list[int]) -> list[Answer]:
    contents = tuple(content for content, count in requests for _ in range(count))
    batch, labels = generator.sample(len(contents), Condition(contents=contents), np.random.default_rng(seed))
    return list(zip(batch.to_crystals(), labels, strict=True))
