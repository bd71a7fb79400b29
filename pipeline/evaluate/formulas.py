"""`redoxa formulas`: models of formulas beside one another, beside the data, and beside the floor to beat."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from redoxa.data.errors import InputError, RedoxaError, suggest
from redoxa.data.progress import Watcher
from redoxa.data.provenance import read_provenance, sha256_of
from redoxa.data.tables.formulas import prepare_formulas
from redoxa.generators.composition.autoregressive import MarkovFamily
from redoxa.generators.composition.baselines import ExchangeFamily, IndependentFamily, MixtureFamily
from redoxa.generators.composition.boltzmann.softmax import SoftmaxFamily
from redoxa.generators.composition.families import FAMILIES, open_family, shipped_weights
from redoxa.generators.composition.family import Family
from redoxa.generators.composition.grammar import Formula, Grammar
from redoxa.generators.composition.scores import FormulaScore, Judge
from redoxa.generators.composition.training import read_formulas

Role = Literal["data", "floor", "model"]

FLOOR: Final = "exchange"
"""What is worth its training finds more than it: a learned formula with one element exchanged."""

FITTED_HERE: Final[dict[str, Callable[[Grammar], Family]]] = {
    "exchange": ExchangeFamily,
    "hmm": MarkovFamily,
    "independent": IndependentFamily,
    "mixture": MixtureFamily,
    "softmax": SoftmaxFamily,
}
"""Models that learn in seconds: by name, they are those that have learned the formulas they are judged by."""


@dataclass(frozen=True)
class FormulaOptions:
    """What `redoxa formulas` was asked for.

    Attributes:
        models: names of models and files of trained ones.
        tables: formulas, of which some are held out.
        n: samples of each model.
        seed: of learning, sampling and draws.
        command: as it was typed, for the record.
    """

    models: tuple[str, ...]
    tables: tuple[Path, ...]
    n: int
    seed: int
    command: str = ""


@dataclass(frozen=True)
class FormulaRow:
    """One row: its name, what it is, its score or why there is none, and why its score may flatter it."""

    name: str
    role: Role
    text: str
    score: FormulaScore | None
    failed: str = ""
    doubt: str = ""

    def to_json(self) -> dict[str, object]:
        """Stable names; what is only drawn is left out."""
        told: dict[str, object] = {"name": self.name, "role": self.role, "text": self.text}
        if self.score is not None:
            told |= {key: value for key, value in asdict(self.score).items() if key != "portrait"}
        return told | {"failed": self.failed or None, "doubt": self.doubt or None}


@dataclass(frozen=True)
class FormulaCard:
    """All rows, and what they were judged by.

    Attributes:
        rows: learned and held-out formulas, the floor, then the models as named.
        judge: the formulas.
        options: what was asked.
        notes: what was left out of the tables, in sentences.
        created: when it was made.
        cpu_s: processor time of all of it.
        machine: processor and Python.
    """

    rows: tuple[FormulaRow, ...]
    judge: Judge
    options: FormulaOptions
    notes: tuple[str, ...]
    created: datetime
    cpu_s: float
    machine: str

    @property
    def failed(self) -> tuple[FormulaRow, ...]:
        """Rows without a score."""
        return tuple(row for row in self.rows if row.failed)


def score_formulas(task: FormulaOptions, watcher: Watcher) -> FormulaCard:
    """Judge every model by the same held-out formulas; one that fails is a row that says why.

    Raises:
        InputError: a name or table cannot be used, or the tables hold too few formulas.
    """
    start = time.process_time()
    models = tuple(dict.fromkeys(task.models))
    for model in models:
        _check(model)
    notes: list[str] = []
    grammar, learned, held_out = _read(task.tables, notes)
    judge = Judge(learned, held_out, task.seed)
    rows = [
        FormulaRow("learned formulas", "data", "what models learn", judge.score(learned)),
        FormulaRow("held-out formulas", "data", "what none may have seen", judge.score(held_out)),
    ]
    asked = (FLOOR, *(model for model in models if model != FLOOR))
    for i, model in enumerate(asked):
        watcher.on_progress("judge", i, len(asked))
        rows.append(_row(model, grammar, judge, task))
    watcher.on_progress("judge", len(asked), len(asked))
    return FormulaCard(
        tuple(rows),
        judge,
        task,
        tuple(notes),
        datetime.now(UTC),
        time.process_time() - start,
        f"{processor()}, Python {platform.python_version()}",
    )


def processor() -> str:
    """What computes, as the machine calls it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _check(model: str) -> None:
    if model not in FAMILIES and not Path(model).is_file():
        raise InputError(f"'{model}' is neither a model of formulas nor a file here. {suggest(model, FAMILIES)}")


def _read(tables: Sequence[Path], notes: list[str]) -> tuple[Grammar, list[Formula], list[Formula]]:
    """The grammar, the formulas to learn, and those held out, as `redoxa train` divides the same tables."""
    if len(tables) == 1 and tables[0].suffix == ".safetensors":
        return read_formulas(tables[0])
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "formulas.safetensors"
        prepare_formulas(tables, prepared, on_note=notes.append)
        return read_formulas(prepared)


def _doubt(weights: Path, tables: Sequence[Path]) -> str:
    """Why a model may have learned formulas that are held out here; nothing where it has not."""
    try:
        learned = {source.sha256: source.name for source in read_provenance(weights).sources}
    except InputError:
        return "what it has learned is not recorded: it may know the held-out formulas"
    if set(learned) == set(map(sha256_of, tables)):
        return ""
    return f"has learned from other tables ({', '.join(learned.values())}): it may know the held-out formulas"


def _row(model: str, grammar: Grammar, judge: Judge, task: FormulaOptions) -> FormulaRow:
    role: Role = "floor" if model == FLOOR else "model"
    text, doubt = "weights that ship" if model in FAMILIES else "trained weights", ""
    try:
        if model in FITTED_HERE:
            text = "fitted here"
            family = FITTED_HERE[model](grammar)
            family.fit(judge.learned, task.seed)
        else:
            path = shipped_weights(model) if model in FAMILIES else Path(model)
            family = open_family(path)
            text = text if model in FAMILIES else f"{family.name}, {text}"
            doubt = _doubt(path, task.tables)
        return FormulaRow(model, role, text, judge.judge(family, task.n), doubt=doubt)
    except RedoxaError as error:
        return FormulaRow(model, role, text, None, str(error))
