"""Training of `orbits`: its networks, one after the other, into one checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open

from data.electrode_labels import read_labels, shipped_labels
from data.skeletons import TemplateTable, load_templates
from data.stability_labels import read_stabilities, shipped_stabilities
from generators.checkpoint import read_tensors, write_tensors
from generators.orbits.decorator import Decorator, load_decorator
from generators.orbits.decorator_training import DecoratorTask, prepare_graphs
from generators.orbits.judge_training import JudgeConfig, OnStep, train_judge
from generators.orbits.stability_training import train_stability
from generators.orbits.surrogate_training import train_surrogate
from generators.training.log import OnLog
from generators.training.loop import TrainConfig, train

HEADS = ("surrogate", "stability")
"""Networks that look through the decorator."""

Facts = dict[str, float]


def decorator_config(out: Path, steps: int, seed: int) -> TrainConfig:
    """How the network that puts elements on orbits is trained; 6,000 steps are enough for the table that ships."""
    return TrainConfig(
        out, steps=steps, decay_steps=7 * steps // 10, warmup_steps=steps // 10, rate=2e-3, weight_decay=0.05,
        ema=0.998, seed=seed,
    )  # fmt: skip


def train_orbits(
    config: TrainConfig, judge: JudgeConfig, table: Path | None, workers: int, on_log: OnLog, on_step: OnStep
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
    remember(templates, data)
    decorator = train(partial(DecoratorTask, data), config, on_log, resume=True)
    tensors, header = read_tensors(decorator)
    heads, facts = train_heads(templates, data, load_decorator(decorator)) if table is None else ({}, {})
    judged, judge_facts = read_tensors(train_judge(config.out, judge, table, workers, on_step))
    path = config.out / "orbits.safetensors"
    write_tensors(path, tensors | heads | judged, header | judge_facts)
    return path, facts


def train_heads(templates: TemplateTable, graphs: Path, decorator: Decorator) -> tuple[dict[str, torch.Tensor], Facts]:
    """Train what foresees properties through a decorator; about a minute.

    Args:
        templates: those that ship.
        graphs: of them (`prepare_graphs`).
        decorator: trained.

    Returns:
        Tensors for a checkpoint, and how good they are on held-out formulas.
    """
    digest = templates.sha256
    electrode, errors = train_surrogate(templates, read_labels(shipped_labels(), digest), decorator)
    stability, quality = train_stability(templates, graphs, read_stabilities(shipped_stabilities(), digest), decorator)
    tensors = {f"surrogate.{name}": tensor for name, tensor in electrode.state_dict().items()}
    tensors |= {f"stability.{name}": tensor for name, tensor in stability.state_dict().items()}
    facts: Facts = {f"held_out_mae_{name}": round(error, 4) for name, error in errors.items()}
    for part, found in quality.items():
        facts |= {f"held_out_stability_{part}_{name}": round(value, 4) for name, value in asdict(found).items()}
    return tensors, facts


def with_heads(start: Path, decorator: Path | None, graphs: Path, out: Path) -> Facts:
    """Write a checkpoint with another decorator, or the same, and heads trained on it; the rest stays, bit for bit.

    Args:
        start: checkpoint of `orbits`.
        decorator: file of another decorator; None for that of the checkpoint.
        graphs: file of the templates that ship, as graphs; written where it is not there.
        out: file to write.

    Returns:
        How good the heads are on held-out formulas.
    """
    templates = load_templates()
    remember(templates, graphs)
    heads, facts = train_heads(templates, graphs, load_decorator(decorator or start))
    swap(start, decorator, heads, out)
    return facts


def remember(templates: TemplateTable, graphs: Path) -> None:
    """Write templates as graphs (some 100 s of one core), where the file does not hold them yet."""
    if not _made_from(graphs, templates.sha256):
        prepare_graphs(templates, graphs)


def swap(start: Path, decorator: Path | None, heads: dict[str, torch.Tensor], out: Path) -> None:
    """Write a checkpoint with another decorator, or the same, and other heads, or none; the rest stays."""
    tensors, header = read_tensors(start)
    old = HEADS if decorator is None else (*HEADS, "decorator")
    kept = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] not in old}
    if decorator is not None:
        kept |= read_tensors(decorator)[0]
    write_tensors(out, kept | heads, header)


def _made_from(data: Path, table_sha256: str) -> bool:
    """Whether graphs have been prepared from a table."""
    if not data.exists():
        return False
    with safe_open(data, framework="pt") as file:
        return bool((file.metadata() or {}).get("table_sha256") == table_sha256)
