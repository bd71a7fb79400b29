"""What is judged: generators (``flow``, ``flow@mine.safetensors``, ``composition:mixture``), or structures in files."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from redoxa.data.errors import GenerationError, InputError, StructureError, suggest
from redoxa.data.io import READABLE, may_hold_structures, read_each
from redoxa.data.processor_time import processor_s
from redoxa.data.progress import OnStep
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal, content_hash
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.generators import GENERATORS
from redoxa.generators.base import CellContent, Condition, Generator, as_many_as_found, generator_class, make_generator
from redoxa.generators.composition.families import check_family_of
from redoxa.generators.evaluate.answers import Answer, ask
from redoxa.generators.evaluate.refusal import draw_new
from redoxa.generators.evaluate.table import Sample
from redoxa.pipeline.tasks.relaxer import SymmetricRelaxer, lend


@dataclass(frozen=True)
class Source:
    """Something to judge.

    Attributes:
        name: as it was given, and the column of the scorecard.
        kind: name of a generator, or "" for files.
        path: checkpoint of the generator, or the files.
        family: of models, where the generator has several and one is named.
    """

    name: str
    kind: str
    path: Path | None
    family: str | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read an argument of the command.

        Raises:
            InputError: neither a generator nor a path.
        """
        name, at, checkpoint = text.partition("@")
        kind, colon, family = name.partition(":")
        if kind in GENERATORS:
            if colon:
                check_family_of(kind, family)
            if at and not Path(checkpoint).is_file():
                raise InputError(f"{text}: no such checkpoint: {checkpoint}")
            return cls(text, kind, Path(checkpoint) if at else None, family if colon else None)
        if Path(text).exists():
            return cls(text, "", Path(text))
        raise InputError(f"'{text}' is neither a generator nor a file or folder here. {suggest(text, GENERATORS)}")

    def generator(self) -> Generator:
        """The generator, where it is one.

        Raises:
            InputError: its weights cannot be used.
        """
        return make_generator(generator_class(self.kind), self.path, self.family)


@dataclass(frozen=True)
class Drawn:
    """Samples of one source, with what they cost where we drew them.

    Attributes:
        samples: in order.
        wall_s: time by the clock on the wall.
        cpu_s: processor time, of this process and of its workers.
        checkpoint_sha256: of the generator's weights.
        note: where they are fewer than were asked for, how many and why.
    """

    samples: tuple[Sample, ...]
    wall_s: float | None = None
    cpu_s: float | None = None
    checkpoint_sha256: str | None = None
    note: str = ""


class Drawer:
    """Samples generators, and keeps what was drawn in a folder, so that a killed evaluation goes on.

    Args:
        folder: for what was drawn.
        seed: of every draw.
        refused: what draws are refused for being near to; None where each generator refuses what it wants to.
    """

    def __init__(self, folder: Path, seed: int, refused: KnownMaterials | None = None) -> None:
        self._folder, self._seed, self._refused = folder, seed, refused

    def draw(self, source: Source, n: int, condition: Condition, on_step: OnStep) -> Drawn:
        """N samples under a condition; fewer, with a note, where it falls short. Refused ones cost time, too."""

        def make(generator: Generator) -> tuple[list[Sample], str]:
            rng = np.random.default_rng(self._seed)
            if self._refused is not None:
                found = draw_new(generator, n, condition, rng, self._refused, on_step)
                return [Sample(str(i), crystal, label) for i, (crystal, label) in enumerate(found)], ""
            drawn = as_many_as_found(generator, n, condition, rng, on_step)
            if n and not drawn.answers:
                raise GenerationError(drawn.notes[0])
            samples = [Sample(str(i), one.crystal, one.label) for i, one in enumerate(drawn.answers)]
            return samples, "; ".join(drawn.notes)

        rule = [] if self._refused is None else ["known ones refused"]
        return self._kept(source, [n, _as_json(condition), *rule], make)

    def answer(self, source: Source, requests: list[tuple[CellContent, int]], on_step: OnStep) -> Drawn:
        """Answers to contents, flat and in order; a missing one is a sample without a crystal."""

        def make(generator: Generator) -> tuple[list[Sample], str]:
            lend(generator, SymmetricRelaxer())
            flat: list[Answer | None] = []
            for (_, count), answers in zip(requests, ask(generator, requests, self._seed, on_step), strict=True):
                flat += [*answers, *[None] * (count - len(answers))]
            return [
                Sample(str(i), None, reason="no answer") if answer is None else Sample(str(i), *answer)
                for i, answer in enumerate(flat)
            ], ""

        return self._kept(source, [[sorted(c.items()), k] for c, k in requests], make)

    def _kept(
        self, source: Source, asked: list[object], make: Callable[[Generator], tuple[list[Sample], str]]
    ) -> Drawn:
        generator = source.generator()
        checkpoint = sha256_of(source.path) if source.path else generator.checkpoint_sha256
        key = content_hash([source.kind, checkpoint, self._seed, asked])
        file = self._folder / f"drawn-{source.kind}-{key}.json"
        if file.exists():
            return _read_drawn(file)
        generator.sample(2, Condition(), np.random.default_rng(0))  # pays for lazy imports
        wall, cpu = time.perf_counter(), processor_s()
        samples, note = make(generator)
        drawn = Drawn(tuple(samples), time.perf_counter() - wall, processor_s() - cpu, checkpoint, note)
        _write_drawn(file, drawn)
        return drawn


def _as_json(condition: Condition) -> list[object]:
    return [sorted(condition.allowed), sorted(condition.required), condition.n_atoms, condition.charge_neutral]


def _write_drawn(file: Path, drawn: Drawn) -> None:
    content = asdict(drawn)
    for row, sample in zip(content["samples"], drawn.samples, strict=True):
        row["crystal"] = None if sample.crystal is None else sample.crystal.model_dump(mode="json")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(file)


def _read_drawn(file: Path) -> Drawn:
    content = json.loads(file.read_text(encoding="utf-8"))
    samples = content.pop("samples")
    for sample in samples:
        sample["crystal"] = None if sample["crystal"] is None else Crystal.model_validate(sample["crystal"])
    return Drawn(tuple(Sample(**sample) for sample in samples), **content)


def read_files(path: Path) -> Drawn:
    """Every structure of a file or folder, in natural order of names; what cannot be read is kept with its reason.

    A folder that `redoxa generate` wrote is read from its samples.extxyz, which holds the CIF files' crystals.

    Raises:
        InputError: the folder holds no structure file.
    """
    labels: list[str] = []
    files = [path]
    if path.is_dir():
        ours = path / "samples.extxyz"
        if ours.exists() and (path / "samples.csv").exists():
            files = [ours]
            with (path / "samples.csv").open(encoding="utf-8", newline="") as table:
                labels = [row.get("label") or "" for row in csv.DictReader(table)]
        else:
            files = sorted((f for f in path.iterdir() if f.is_file() and may_hold_structures(f)), key=_natural)
    if not files:
        raise InputError(f"{path}: holds no structure files. Readable: {READABLE}")
    found = [pair for file in files for pair in read_each(file)]
    if len(labels) != len(found):
        labels = [""] * len(found)
    base = path if path.is_dir() else path.parent
    samples = []
    for (name, outcome), label in zip(found, labels, strict=True):
        short = Path(name).relative_to(base).as_posix()
        if isinstance(outcome, StructureError):
            samples.append(Sample(short, None, label, str(outcome)))
        else:
            samples.append(Sample(short, outcome.crystal, label or "; ".join(outcome.remarks)))
    return Drawn(tuple(samples))


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    """Sort key in which 10 comes after 9."""
    parts = re.split(r"(\d+)", file.name)
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
