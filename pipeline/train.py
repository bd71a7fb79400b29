"""`redoxa train`: prepare the tensor file where needed, then the training loop with a progress bar."""

from __future__ import annotations

from pathlib import Path

from data.datasets import prepare
from data.errors import InputError
from generators.train import TrainConfig, train
from pipeline.console import note, progress_bars


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
    config = TrainConfig(data=prepared, out=out, steps=steps, decay_steps=max(1, 3 * steps // 5), seed=seed)
    going_on = resume and (out / "train.safetensors").exists()
    with progress_bars() as on_progress:
        weights = train(config, lambda line: on_progress("train", int(line["step"]), steps), resume=going_on)
    note(f"weights in {weights}, log in {out / 'log.jsonl'}")
    return weights
