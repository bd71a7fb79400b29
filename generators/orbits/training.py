"""Training of `orbits`: its networks, one after the other, into one checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from safetensors import safe_open

from data.electrode_labels import read_labels, shipped_labels
from data.skeletons import load_templates
from generators.checkpoint import read_tensors, write_tensors
from generators.orbits.decorator import load_decorator
from generators.orbits.decorator_training import DecoratorTask, prepare_graphs
from generators.orbits.geometry_training import GeometryTask, prepare_pairs
from generators.orbits.judge_training import JudgeConfig, OnStep, train_judge
from generators.orbits.surrogate_training import train_surrogate
from generators.training.log import OnLog
from generators.training.loop import TrainConfig, train


def decorator_config(out: Path, steps: int, seed: int) -> TrainConfig:
    """How the network that puts elements on orbits is trained; 6,000 steps are enough for the table that ships."""
    return TrainConfig(
        out, steps=steps, decay_steps=7 * steps // 10, warmup_steps=steps // 10, rate=2e-3, weight_decay=0.05,
        ema=0.998, seed=seed,
    )  # fmt: skip


def geometry_config(out: Path, steps: int, seed: int) -> TrainConfig:
    """How the flow of the free numbers is trained; 9,000 steps are seven epochs of the table that ships."""
    return TrainConfig(
        out, steps=steps, decay_steps=7 * steps // 10, warmup_steps=min(300, steps // 10), rate=1.5e-3,
        weight_decay=0.02, clip=3.0, ema=0.998, save_every=1000, log_every=100, seed=seed,
    )  # fmt: skip


def train_geometry(config: TrainConfig, table: Path | None, on_log: OnLog) -> Path:
    """Train the flow of the free numbers, ``geometry.safetensors``; killed and run again, it goes on where it was.

    Args:
        config: with the folder for everything.
        table: templates; by default those that ship.
        on_log: called with each log line.
    """
    templates, data = load_templates(table), config.out / "pairs.safetensors"
    if not _made_from(data, templates.sha256):
        prepare_pairs(templates, data)
    return train(partial(GeometryTask, data), config, on_log, resume=True)


def train_orbits(
    config: TrainConfig, judge: JudgeConfig, table: Path | None, workers: int, on_log: OnLog, on_step: OnStep
) -> tuple[Path, dict[str, float]]:
    """Train all networks and write ``orbits.safetensors``; killed and run again, it goes on where it was.

    The surrogate is trained where the templates are those that ship: the labels are theirs.

    Args:
        config: of the network that puts elements on orbits, with the folder for everything.
        judge: of the network that compares proposals.
        table: templates; by default those that ship.
        workers: processes that label proposals for the judge.
        on_log: called with each log line of the first training.
        on_step: called with what else is done, how much of it, and of how much.

    Returns:
        The checkpoint, and the held-out mean absolute errors of the surrogate.
    """
    templates, data = load_templates(table), config.out / "graphs.safetensors"
    if not _made_from(data, templates.sha256):
        prepare_graphs(templates, data)
    decorator = train(partial(DecoratorTask, data), config, on_log, resume=True)
    tensors, header = read_tensors(decorator)
    errors: dict[str, float] = {}
    if table is None:
        labels = read_labels(shipped_labels(), templates.sha256)
        surrogate, errors = train_surrogate(templates, labels, load_decorator(decorator))
        tensors |= {f"surrogate.{name}": tensor for name, tensor in surrogate.state_dict().items()}
    judged, facts = read_tensors(train_judge(config.out, judge, table, workers, on_step))
    path = config.out / "orbits.safetensors"
    write_tensors(path, tensors | judged, header | facts)
    return path, errors


def _made_from(data: Path, table_sha256: str) -> bool:
    """Whether a file has been prepared from a table."""
    if not data.exists():
        return False
    with safe_open(data, framework="pt") as file:
        return bool((file.metadata() or {}).get("table_sha256") == table_sha256)
