"""Structure files with mistakes made at random, the way hands, editors and programs make them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

from redoxa.data.errors import StructureError
from redoxa.data.io import read_each

WORDS = (
    "nan", "inf", "-inf", "1e999", "-1", "0", "99999999999", "?", ".", "", "Xx", "D", "Li+", "data_y", "loop_", "_atom_site_label",
    "'", '"', ";", "#", "x,y,z", "-x,-y", "1/0", "1/3", "0.333", "\x00", "\ufeff", "é", "[", "{", "}", "null", "true", "T", "F",
    "F m -3 m", "R -3 m", "P 1", "166", "999", "1(3)", "(3)", "1e-320", "--1", "+", "1e5", "2000000000",
)  # fmt: skip


def mutated(text: str, rng: random.Random) -> str:
    """The text with one to six mistakes."""
    for _ in range(rng.randint(1, 6)):
        text = rng.choice((_token, _line, _character, _cut, _splice))(text, rng)
    return text


def _token(text: str, rng: random.Random) -> str:
    tokens = text.split(" ")
    tokens[rng.randrange(len(tokens))] = rng.choice(WORDS)
    return " ".join(tokens)


def _line(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(i, lines[j])
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        lines[i] = rng.choice(WORDS)
    return "\n".join(lines)


def _character(text: str, rng: random.Random) -> str:
    i = rng.randrange(len(text) + 1)
    return text[:i] + rng.choice("0123456789.-+eE ,:;'\"()[]{}/\n\tXOLi\x00é") + text[i + rng.randrange(2) :]


def _cut(text: str, rng: random.Random) -> str:
    i, j = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    return text[:i] if rng.random() < 0.5 else text[:i] + text[min(j, i + 40) :]


def _splice(text: str, rng: random.Random) -> str:
    i, j = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    return text[:j] + text[i : min(j, i + 200)] + text[j:]


def inputs(seeds: dict[str, str], count: int, seed: int) -> Iterator[tuple[str, str]]:
    """So many mutated files: name and text."""
    rng = random.Random(seed)
    names = sorted(seeds)
    for _ in range(count):
        name = rng.choice(names)
        yield name, mutated(seeds[name], rng)


def read_all(seeds: dict[str, str], count: int, seed: int, folder: Path) -> tuple[int, int, float]:
    """Read mutated files; how many structures were read and refused, and the processor seconds of the slowest file.

    Anything but a crystal or a `StructureError` gets through to the caller.
    """
    read = refused = 0
    slowest_s = 0.0
    for name, text in inputs(seeds, count, seed):
        path = folder / name
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        started = time.process_time()
        try:
            for _, outcome in read_each(path):
                refused += isinstance(outcome, StructureError)
                read += not isinstance(outcome, StructureError)
        except Exception:
            (folder / f"failed_{name}").write_text(text, encoding="utf-8")
            raise
        slowest_s = max(slowest_s, time.process_time() - started)
    return read, refused, slowest_s
