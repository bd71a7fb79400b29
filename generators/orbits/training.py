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
from redoxa.data.tables.template_labels import read_electrode_labels, read_stability_labels
from redoxa.generators.checkpoint import made_from, read_tensors, write_tensors
from redoxa.generators.orbits.decorator import Decorator, load_decorator
from redoxa.generators.orbits.decorator_training import DecoratorTask, prepare_graphs
from redoxa.generators.orbits.judge_training import JudgeConfig, train_judge
from redoxa.generators.orbits.stability_training import train_stability
from redoxa.generators.orbits.surrogate_training import train_surrogate
from redoxa.generators.training.kinds import Training
from redoxa.generators.training.log import OnLog
from redoxa.generators.training.loop import TrainConfig, train

HEADS = ("surrogate", "stability")
"""Networks that look through the decorator."""

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
    templates, data = load_templates(table), config.out / "graphs.safetensors"
    judged, judge_facts = read_tensors(train_judge(config.out, judge, table, workers, on_step))  # may refuse the table
    remember(templates, data)
    decorator = train(partial(DecoratorTask, data), config, on_log, resume=True)
    tensors, header = read_tensors(decorator)
    heads, facts = train_heads(templates, data, load_decorator(decorator)) if table is None else ({}, {})
    path = config.out / "orbits.safetensors"
    write_tensors(path, tensors | heads | judged, header | judge_facts)
    return path, facts


def train_heads(templates: TemplateTable, graphs: Path, decorator: Decorator) -> tuple[Tensors, Facts]:
    """Train what foresees properties through a decorator; under a minute.

    Args:
        templates: those that ship.
        graphs: of them (`prepare_graphs`).
        decorator: trained.

    Returns:
        Tensors for a checkpoint, and how good they are on held-out formulas.
    """
    electrode, errors = train_surrogate(
        templates, read_electrode_labels(shipped("electrode_labels.parquet"), templates.sha256), decorator
    )
    tensors, facts = _train_stability(templates, graphs, decorator)
    tensors |= {f"surrogate.{name}": tensor for name, tensor in electrode.state_dict().items()}
    return tensors, {f"held_out_mae_{name}": round(error, 4) for name, error in errors.items()} | facts


def _train_stability(templates: TemplateTable, graphs: Path, decorator: Decorator) -> tuple[Tensors, Facts]:
    labels = read_stability_labels(shipped("stability_labels.parquet"), templates.sha256)
    network, quality = train_stability(templates, graphs, labels, decorator)
    facts = {
        f"held_out_stability_{part}_{name}": round(value, 4)
        for part, found in quality.items()
        for name, value in asdict(found).items()
    }
    return {f"stability.{name}": tensor for name, tensor in network.state_dict().items()}, facts


def with_decorator(start: Path, decorator: Path, graphs: Path | None, out: Path) -> None:
    """Write a checkpoint with another decorator; the judge stays, bit for bit.

    Args:
        start: checkpoint of `orbits`.
        decorator: file of the other decorator.
        graphs: file of the templates that ship, as graphs (`remember`), for what foresees properties to be trained
            anew; None to leave that out.
        out: file to write.
    """
    tensors, header = read_tensors(start)
    tensors = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] not in (*HEADS, "decorator")}
    tensors |= read_tensors(decorator)[0]
    if graphs is not None:
        tensors |= train_heads(load_templates(), graphs, load_decorator(decorator))[0]
    write_tensors(out, tensors, header)


def with_stability(start: Path, out: Path) -> Facts:
    """Write a checkpoint with what foresees distances from the hull trained anew; all else stays, bit for bit.

    Args:
        start: checkpoint of `orbits`.
        out: file to write; the graphs of the templates lie in its folder.

    Returns:
        How good it is on held-out formulas.
    """
    templates, graphs = load_templates(), out.parent / "graphs.safetensors"
    remember(templates, graphs)
    tensors, header = read_tensors(start)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("stability.")}
    new, facts = _train_stability(templates, graphs, load_decorator(start))
    write_tensors(out, kept | new, header)
    return facts


def remember(templates: TemplateTable, graphs: Path) -> None:
    """Write templates as graphs (some 100 s of one core), where the file does not hold them yet."""
    if not made_from(graphs, templates.sha256):
        prepare_graphs(templates, graphs)


ORBITS: Final = Training("orbits", 6_000, frozenset({"start"}), "templates")
