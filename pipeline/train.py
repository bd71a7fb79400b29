"""`redoxa train`: what is needed beforehand, then the training with a progress bar and a record of it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

from data.datasets import prepare
from data.errors import InputError
from data.provenance import MATERIALS_PROJECT, Source, write_provenance
from data.skeletons import load_templates
from generators.judge_training import JudgeConfig, train_judge
from generators.noise_training import NoiseTask
from generators.training import TrainConfig, train
from pipeline.console import note, progress_bars
from pipeline.training_plot import write_training_plot
from screening.pool import available_cores


def train_to_folder(
    generator: Literal["flow", "diffusion"],
    data: Path,
    config: TrainConfig,
    *,
    hosts: Path | None,
    start: Path | None,
    resume: bool,
) -> Path:
    """Train a generator from noise; returns the weights. Killed and run again, it goes on exactly where it was.

    Args:
        generator: which.
        data: structures as .parquet, or a tensor file prepared from them.
        config: how; its folder gets the prepared data, the checkpoint, the log, a page of the losses and the weights.
        hosts: more structures, of insertion hosts with voltages; None for none, or where `data` is prepared already.
        start: weights to begin with, of either generator; None for random ones.
        resume: go on from the folder's checkpoint.
    """
    for path in filter(None, (data, hosts, start)):
        if not path.exists():
            raise InputError(f"{path}: no such file")
    prepared = data
    if data.suffix == ".parquet":
        prepared = config.out / "data.safetensors"
        if not prepared.exists():
            note(f"preparing {prepared} from {data}")
            prepare(data, prepared, hosts=hosts)
    plot = config.out / "losses.html"

    with progress_bars() as on_progress:

        def on_log(line: dict[str, float]) -> None:
            on_progress("train", int(line["step"]), config.steps)
            if line["step"] % config.save_every == 0 or line["step"] == config.steps:
                write_training_plot(config.log, plot)

        weights = train(partial(NoiseTask, generator, prepared, start=start), config, on_log, resume)
    note(f"weights in {weights}, log in {config.log}, losses in {plot}")
    return weights


def train_judge_to_folder(table: Path | None, out: Path, *, seed: int) -> Path:
    """Train the judge of `orbits`; returns the weights. What was labelled before is not labelled again."""
    config, templates = JudgeConfig(seed=seed), load_templates(table)
    with progress_bars() as on_progress:
        weights = train_judge(out, config, table, available_cores(), on_progress)
    source = Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates))
    packages = ("redoxa", "torch", "pymatgen", "numpy")
    write_provenance(weights, "redoxa train --generator orbits", (source,), packages, asdict(config))
    note(f"weights in {weights}, labels in {out / 'labels.jsonl'}")
    return weights
