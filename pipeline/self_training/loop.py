"""`redoxa self-train`: draw, screen, keep what is new and near the hull, learn from it, and draw again.

Everything is kept in files of the folder, so that a killed run goes on: what was drawn in each round, every relaxation
by its content hash, the state of each training, and what each step cost. A round is judged from these anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from redoxa.data.errors import GenerationError, InputError, StructureError
from redoxa.data.fingerprint import SAME_UNRELAXED, Fingerprint, distance, fingerprint
from redoxa.data.processor_time import processor_s
from redoxa.data.progress import OnProgress
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal, content_hash
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.reference import load_reference
from redoxa.generators.base import Condition
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.orbits.self_training import FineTuning, fine_tune, prepare_found
from redoxa.generators.orbits.training import remember, with_decorator
from redoxa.pipeline.evaluate.relaxation import relax_all
from redoxa.pipeline.self_training.rows import Found, Judge
from redoxa.screening.physics.hulls import Hulls

RELAXED_SYMPREC_A = 0.02
"""Relaxation within the symmetry keeps it up to rounding."""


@dataclass(frozen=True)
class Plan:
    """What `redoxa self-train` was asked for.

    Attributes:
        rounds: of drawing, screening and learning.
        n: crystals of a round.
        final: crystals that are drawn and screened with the last weights, and not learned from.
        condition: of all crystals.
        limit_eV_per_atom: farthest from the hull that is learned from.
        tuning: how the network is fine-tuned; None for the same rounds without it, to compare with.
        confirm: whether crystals that would be kept are relaxed with all atoms free as well.
        start: weights to begin with; by default those that ship.
        out: folder for everything.
        seed: of drawing and learning.
        workers: processes that relax; 0 for one a core.
    """

    rounds: int
    n: int
    final: int
    condition: Condition
    limit_eV_per_atom: float
    tuning: FineTuning | None
    confirm: bool
    start: Path | None
    out: Path
    seed: int = 0
    workers: int = 0

    def digest(self) -> str:
        """Hash of all that decides what comes out."""
        asked = repr((self.n, self.condition, self.limit_eV_per_atom, self.tuning, self.confirm, self.seed))
        return content_hash([asked, sha256_of(self.start or shipped("orbits.safetensors"))])


@dataclass
class Meter:
    """CPU seconds of this process and of the workers that ended, by round and step; added up in a file."""

    file: Path
    _last: float = field(default_factory=processor_s)

    def tick(self, number: int, step: str) -> None:
        """Book what was used since the last tick."""
        now = processor_s()
        if now - self._last > 0.005:
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"round": number, "step": step, "cpu_s": round(now - self._last, 3)}) + "\n")
            self._last = now

    def total(self, number: int) -> dict[str, float]:
        """CPU seconds of a round by step."""
        found: dict[str, float] = {}
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else ():
            if line.endswith("}") and (row := json.loads(line))["round"] == number:
                found[row["step"]] = round(found.get(row["step"], 0.0) + row["cpu_s"], 3)
        return found


@dataclass(frozen=True)
class Outcome:
    """What self-training gives.

    Attributes:
        found: all crystals of all rounds, the final one last.
        cpu_s: by round, then by step (draw, relax, judge, learn).
        weights: the last ones; None without fine-tuning.
        real_shares: of the crystals in each fine-tuning.
    """

    found: list[list[Found]]
    cpu_s: list[dict[str, float]]
    weights: Path | None
    real_shares: list[float]


def self_train(plan: Plan, on_progress: OnProgress) -> Outcome:
    """Do all rounds; killed and run again, it goes on.

    Raises:
        InputError: the folder belongs to something else.
        GenerationError: the condition leaves too little to draw.
    """
    claim_folder(plan.out, "self-training", plan.digest())
    meter = Meter(plan.out / "cost.jsonl")
    judge = Judge(Hulls(load_reference()), load_known_materials(), plan.limit_eV_per_atom)
    weights = plan.start or shipped("orbits.safetensors")
    rounds: list[list[Found]] = []
    shares: list[float] = []
    for number in range(1, plan.rounds + 1 + bool(plan.final)):
        last = number > plan.rounds
        n = plan.final if last else plan.n
        step = partial(on_progress, "final sample" if last else f"round {number}")
        drawn = _drawn(plan, number, n, weights, [f.drawn for r in rounds for f in r], meter, step)
        rounds.append(_screened(plan, number, drawn, judge, meter, step))
        if plan.tuning is not None and not last:
            weights, share = _learned(plan, plan.tuning, number, rounds, meter, on_progress)
            shares.append(share)
    cpu_s = [meter.total(number) for number in range(1, len(rounds) + 1)]
    return Outcome(rounds, cpu_s, weights if plan.tuning else None, shares)


def claim_folder(out: Path, what: str, digest: str, key: str = "digest") -> None:
    """Make a folder that belongs to one plan; more rounds of the same may be asked for later.

    Args:
        out: the folder.
        what: a run of this kind, in words.
        digest: of all that decides what comes out.
        key: under which the digest is kept: the kind of run.

    Raises:
        InputError: it holds something else.
    """
    file = out / "plan.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; give a folder")
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")).get(key) != digest:
            raise InputError(f"--out {out}: holds a run with other options, or of another kind; give another folder")
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"--out {out}: is not empty and holds no {what}; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    _write(file, json.dumps({key: digest}))


def _drawn(
    plan: Plan, number: int, n: int, weights: Path, before: Sequence[Crystal], meter: Meter,
    on_step: Callable[[int, int], None],
) -> list[Crystal]:  # fmt: skip
    """The crystals of a round: none that an earlier round drew; kept in a file."""
    file = plan.out / f"round_{number}" / "drawn.jsonl"
    if file.exists():
        return [Crystal.model_validate_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    marks: dict[str, list[Fingerprint]] = {}
    for old in before:
        marks.setdefault(old.formula, []).append(fingerprint(old))
    rng = np.random.default_rng([plan.seed, number])
    drawn: list[Crystal] = []
    for found in OrbitsGenerator(weights).de_novo.draw(plan.condition, n + len(before), rng):
        same = marks.get(found.crystal.formula, [])
        if same and any(distance(fingerprint(found.crystal), mark) <= SAME_UNRELAXED for mark in same):
            continue
        drawn.append(found.crystal)
        on_step(0, n)
        if len(drawn) == n:
            break
    if len(drawn) < n:
        raise GenerationError(
            f"round {number}: only {len(drawn)} of {n} new crystals found; allow more elements or atoms"
        )
    file.parent.mkdir(exist_ok=True)
    _write(file, "".join(crystal.model_dump_json() + "\n" for crystal in drawn))
    meter.tick(number, "draw")
    return drawn


def _screened(
    plan: Plan, number: int, drawn: Sequence[Crystal], judge: Judge, meter: Meter, on_step: Callable[[int, int], None]
) -> list[Found]:
    """Relax and judge the crystals of a round."""

    def step(done: int, total: int) -> None:
        meter.tick(number, "relax")
        on_step(done, total)

    forms = [_form(one) for one in drawn]
    usable = [form for form in forms if form is not None]
    ended = iter(relax_all(usable, plan.out / "work", plan.workers, step))
    meter.tick(number, "relax")
    found = judge.judge(number, drawn, [None if form is None else next(ended) for form in forms])
    if plan.confirm:
        kept = [one for one in found if one.kept and one.relaxed is not None]
        full = relax_all(
            [one.relaxed for one in kept if one.relaxed is not None], plan.out / "work", plan.workers, step
        )
        meter.tick(number, "relax")
        for one, outcome in zip(kept, full, strict=True):
            judge.confirm(one, outcome)
    meter.tick(number, "judge")
    return found


def _learned(
    plan: Plan,
    tuning: FineTuning,
    number: int,
    rounds: Sequence[Sequence[Found]],
    meter: Meter,
    on_progress: OnProgress,
) -> tuple[Path, float]:
    """Weights fine-tuned on what all rounds so far kept, from the first weights; and the share of real crystals."""
    start, folder = plan.start or shipped("orbits.safetensors"), plan.out / f"round_{number}"
    out = folder / "orbits.safetensors"
    note = folder / "learned.json"
    if out.exists() and note.exists():
        return out, float(json.loads(note.read_text(encoding="utf-8"))["real_share"])
    crystals = [one.relaxed for found in rounds for one in found if one.kept and one.relaxed is not None]
    forms = [form for form in map(_canonical, crystals) if form is not None]
    if not forms:
        raise GenerationError(f"round {number}: nothing new and near the hull was found to learn from")
    table, memory, graphs = load_templates(), plan.out / "memory.safetensors", folder / "graphs.safetensors"
    remember(table, memory)
    prepare_found(memory, forms, table, graphs)
    meter.tick(number, "learn")

    def on_log(line: dict[str, float]) -> None:
        meter.tick(number, "learn")
        on_progress(f"learn {number}", int(line["step"]), tuning.steps)

    decorator, share = fine_tune(start, graphs, tuning, folder / "train", plan.seed, on_log)
    foresees = bool(plan.condition.targets) or number == plan.rounds
    with_decorator(start, decorator, foresees, out)
    _write(note, json.dumps({"crystals": len(forms), "real_share": share}))
    graphs.unlink(missing_ok=True)
    meter.tick(number, "learn")
    return out, share


def _form(crystal: Crystal) -> SymmetricCrystal | None:
    try:
        return symmetric(crystal)
    except StructureError:
        return None


def _canonical(crystal: Crystal) -> SymmetricCrystal | None:
    try:
        return canonical(symmetric(crystal, RELAXED_SYMPREC_A))
    except StructureError:
        return None


def _write(file: Path, text: str) -> None:
    partial_file = file.with_name(file.name + ".partial")
    partial_file.write_text(text, encoding="utf-8")
    partial_file.replace(file)
