"""`redoxa train`: what is needed beforehand, then the training with a progress bar and a record of it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from data.datasets import prepare
from data.errors import InputError
from data.provenance import MATERIALS_PROJECT, Source, write_provenance
from data.skeletons import load_templates
from generators.flow_training import FlowTask
from generators.judge_training import JudgeConfig
from generators.orbits_training import decorator_config, train_orbits
from generators.training import TrainConfig, train
from pipeline.console import note, progress_bars
from screening.pool import available_cores


def train_to_folder(data: Path, out: Path, *, steps: int, seed: int, resume: bool) -> Path:
    """Train the flow; returns the weights. Killed and run again, it goes on exactly where it was.

    Args:
        data: structures as .parquet, or a tensor file prepared from them.
        out: folder for the prepared data, the checkpoint, the log and the weights.
        steps: optimiser steps in all.
        seed: of weights, data order and noise.
        resume: go on from the folder's checkpoint.
    """
    if not data.exists():
        raise InputError(f"{data}: no such file; give structures (.parquet) or a prepared tensor file (.safetensors)")
    out.mkdir(parents=True, exist_ok=True)
    prepared = data
    if data.suffix == ".parquet":
        prepared = out / "data.safetensors"
        if not prepared.exists():
            note(f"preparing {prepared} from {data}")
            prepare(data, prepared)
    config = TrainConfig(out, steps=steps, decay_steps=max(1, 3 * steps // 5), seed=seed)
    with progress_bars() as on_progress:
        weights = train(
            partial(FlowTask, prepared), config, lambda line: on_progress("train", int(line["step"]), steps), resume
        )
    note(f"weights in {weights}, log in {config.log}")
    return weights


def train_orbits_to_folder(table: Path | None, out: Path, *, steps: int, seed: int) -> Path:
    """Train the networks of `orbits`; returns the weights. Killed and run again, it goes on where it was."""
    config, judge, templates = decorator_config(out, steps, seed), JudgeConfig(seed=seed), load_templates(table)
    with progress_bars() as on_progress:

        def on_log(line: dict[str, float]) -> None:
            on_progress("elements on orbits", int(line["step"]), steps)

        weights, errors = train_orbits(config, judge, table, available_cores(), on_log, on_progress)
    source = Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates))
    packages = ("redoxa", "torch", "pymatgen", "numpy")
    facts: dict[str, JsonValue] = {"steps": steps, "judge": asdict(judge)}
    facts |= {f"held_out_mae_{name}": round(error, 4) for name, error in errors.items()}
    write_provenance(weights, "redoxa train --generator orbits", (source,), packages, facts)
    note(f"weights in {weights}, log in {config.log}")
    return weights
