"""Training of `orbits`: its networks, one after the other, into one checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import torch

from redoxa.data.progress import OnProgress
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates
from redoxa.data.tables.template_labels import read_electrode_labels
from redoxa.generators.checkpoint import made_from, read_tensors, write_tensors
from redoxa.generators.orbits.decoration.decorator import Decorator, load_decorator
from redoxa.generators.orbits.decoration.decorator_training import DecoratorTask, prepare_graphs
from redoxa.generators.orbits.foresight.energy_model import PREFIX
from redoxa.generators.orbits.foresight.energy_training import energy_config, train_energy
from redoxa.generators.orbits.foresight.surrogate_training import train_surrogate
from redoxa.generators.orbits.judge_training import JudgeConfig, train_judge
from redoxa.generators.training.kinds import Training
from redoxa.generators.training.log import OnLog
from redoxa.generators.training.loop import TrainConfig, train

GRAPHS = "graphs.safetensors"

Facts = dict[str, float]
Tensors = dict[str, torch.Tensor]


def decorator_config(out: Path, steps: int, seed: int) -> TrainConfig:
    """How the network that puts elements on orbits is trained; 6,000 steps are enough for the table that ships."""
    return TrainConfig(
        out, steps=steps, decay_steps=7 * steps // 10, warmup_steps=steps // 10, rate=2e-3, weight_decay=0.05,
        ema=0.998, seed=seed,
    )  # fmt: skip


def train_orbits(
    config: TrainConfig, judge: JudgeConfig, table: Path | None, workers: int, on_log: OnLog, on_step: OnProgress
) -> tuple[Path, Facts]:
    """Train all networks and write ``orbits.safetensors``; killed and run again, it goes on where it was.

    What foresees properties is trained where the templates are those that ship: the labels are theirs.

    Args:
        config: of the network that puts elements on orbits, with the folder for everything.
        judge: of the network that compares proposals.
        table: templates; by default those that ship.
        workers: processes that label proposals for the judge.
        on_log: called with each log line of the first training.
        on_step: called with what else is done, how much of it, and of how much.

    Returns:
        The checkpoint, and how good what foresees properties is on held-out formulas.
    """
    templates, data = load_templates(table), config.out / GRAPHS
    judged, judge_facts = read_tensors(train_judge(config.out, judge, table, workers, on_step))  # may refuse the table
    remember(templates, data)
    decorator = train(partial(DecoratorTask, data), config, on_log, resume=True)
    tensors, header = read_tensors(decorator)
    facts: Facts = {}
    if table is None:
        electrode, facts = train_electrode(templates, load_decorator(decorator))
        energy, energy_header, quality = _train_energy(config.out, decorator, on_step)
        tensors, header, facts = tensors | electrode | energy, header | energy_header, facts | quality
    path = config.out / "orbits.safetensors"
    write_tensors(path, tensors | judged, header | judge_facts)
    return path, facts


def train_electrode(templates: TemplateTable, decorator: Decorator) -> tuple[Tensors, Facts]:
    """Train what foresees voltages through a decorator; under a minute.

    Args:
        templates: those that ship.
        decorator: trained.

    Returns:
        Tensors for a checkpoint, and the errors on held-out formulas.
    """
    labels = read_electrode_labels(shipped("electrode_labels.parquet"), templates.sha256)
    electrode, errors = train_surrogate(templates, labels, decorator)
    tensors = {f"surrogate.{name}": tensor for name, tensor in electrode.state_dict().items()}
    return tensors, {f"held_out_mae_{name}": round(error, 4) for name, error in errors.items()}


def _train_energy(out: Path, decorator: Path, on_step: OnProgress) -> tuple[Tensors, dict[str, str], Facts]:
    """Train the energy model, begun with a decorator, in a folder that holds the graphs of the shipped templates."""
    config = energy_config(out / "energy")

    def on_log(line: dict[str, float]) -> None:
        on_step("energy model", int(line["step"]), config.steps)

    labels = shipped("stability_labels.parquet")
    tensors, header, quality = train_energy(None, out / GRAPHS, labels, decorator, config, on_log)
    facts = {
        f"held_out_stability_{part}_{name}": round(value, 4)
        for part, found in quality.items()
        for name, value in asdict(found).items()
    }
    return tensors, header, facts


DECORATORS_OWN = ("surrogate", "decorator", "preference")
"""Beginnings of the names of tensors that mean something to one decorator only."""


def with_decorator(start: Path, decorator: Path, foresees: bool, out: Path) -> None:
    """Write a checkpoint with another decorator; the judge and the energy model stay, bit for bit.

    A preference of skeletons is left out: it was learned through the eyes of the decorator before.

    Args:
        start: checkpoint of `orbits`.
        decorator: file of the other decorator.
        foresees: whether what foresees voltages through the decorator is trained anew; else it is left out.
        out: file to write.
    """
    tensors, header = read_tensors(start)
    tensors = {name: t for name, t in tensors.items() if name.partition(".")[0] not in DECORATORS_OWN}
    tensors |= read_tensors(decorator)[0]
    if foresees:
        tensors |= train_electrode(load_templates(), load_decorator(decorator))[0]
    write_tensors(out, tensors, header)


def with_energy(start: Path, out: Path, on_step: OnProgress) -> Facts:
    """Write a checkpoint with the energy model trained anew; all else stays, bit for bit.

    Args:
        start: checkpoint of `orbits`.
        out: file to write; the graphs of the templates lie in its folder.
        on_step: called with (what, done, total).

    Returns:
        How good it is on held-out formulas.
    """
    remember(load_templates(), out.parent / GRAPHS)
    tensors, header = read_tensors(start)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith((PREFIX, "stability."))}
    energy, energy_header, facts = _train_energy(out.parent, start, on_step)
    write_tensors(out, kept | energy, header | energy_header)
    return facts


def remember(templates: TemplateTable, graphs: Path) -> None:
    """Write templates as graphs (some 100 s of one core), where the file does not hold them yet."""
    if not made_from(graphs, templates.sha256):
        prepare_graphs(templates, graphs)


ORBITS: Final = Training("orbits", 6_000, frozenset({"start"}), "templates")
