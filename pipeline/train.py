"""`redoxa train`: what is needed beforehand, then the training with a progress bar and a record of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import JsonValue

from data.datasets import load, prepare
from data.errors import InputError
from data.provenance import MATERIALS_PROJECT, Source, provenance_path, read_provenance, sha256_of, write_provenance
from data.sequences import prepare_sequences
from data.shipped import shipped
from data.skeletons import load_templates
from generators.geometry.training import geometry_config, train_geometry
from generators.noise.training import NoiseTask
from generators.orbits.judge_training import JudgeConfig
from generators.orbits.training import decorator_config, train_orbits, with_stability
from generators.training.batches import EDGES_PER_BATCH
from generators.training.loop import Task, TrainConfig, train
from generators.vae.training import VaeTask
from generators.wyckoff.training import WyckoffTask
from pipeline.console import note, progress_bars
from pipeline.session import OnProgress
from pipeline.training_plot import write_training_plot
from screening.pool import available_cores

PACKAGES = ("redoxa", "torch", "pymatgen", "numpy")
"""Whose versions a record names."""

Trained = Literal["flow", "diffusion", "vae", "wyckoff"]
"""Networks that learn crystals by the common loop."""


def train_to_folder(
    generator: Trained,
    data: Path,
    config: TrainConfig,
    *,
    hosts: Path | None,
    start: Path | None,
    rate: float | None,
    edges: int | None,
    resume: bool,
) -> Path:
    """Train a network on crystals; returns the weights. Killed and run again, it goes on exactly where it was.

    Args:
        generator: which.
        data: structures as .parquet, or a tensor file prepared from them.
        config: how; its folder gets the prepared data, the checkpoint, the log, a page of the losses and the weights.
        hosts: more structures, of insertion hosts with voltages; None for none, or where `data` is prepared already.
        start: weights to begin with (`redoxa train --help`), or None.
        rate: highest learning rate; None for the generator's own.
        edges: pairs of atoms in a batch, of flow and diffusion; None for the default.
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
    if generator in ("vae", "wyckoff"):
        config = replace(config, rate=1.5e-3, clip=10.0 if generator == "vae" else config.clip)
    if rate is not None:
        config = replace(config, rate=rate)
    plot = config.out / "losses.html"

    with progress_bars() as on_progress:

        def on_log(line: dict[str, float]) -> None:
            on_progress("train", int(line["step"]), config.steps)
            if line["step"] % config.save_every == 0 or line["step"] == config.steps:
                write_training_plot(config.log, plot)

        task = _task(generator, prepared, start, edges, config.out, on_progress)
        weights = train(task, config, on_log, resume)
    options: dict[str, str | int | float | None] = {
        name: path.name if path else None for name, path in (("data", data), ("hosts", hosts), ("start", start))
    }
    options |= {"steps": config.steps, "rate": rate, "edges": edges, "seed": config.seed, "workers": config.workers}
    command = " ".join(f"--{name} {value}" for name, value in options.items() if value is not None)
    facts: dict[str, JsonValue] = json.loads(config.log.read_text(encoding="utf-8").splitlines()[-1])
    facts["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    sources = tuple(Source(name=p.name, attribution="", sha256=sha256_of(p)) for p in (data, hosts, start) if p)
    write_provenance(weights, f"redoxa train --generator {generator} {command}", sources, PACKAGES, facts)
    note(f"weights in {weights}, log in {config.log}, losses in {plot}")
    return weights


def _task(
    generator: Trained, prepared: Path, start: Path | None, edges: int | None, out: Path, on_progress: OnProgress
) -> Callable[[], Task[Any]]:
    """What is learned; sequences are prepared in the folder where they are not there yet (50 ms a crystal)."""
    if generator in ("flow", "diffusion"):
        return partial(NoiseTask, generator, prepared, start=start, edges_per_batch=edges or EDGES_PER_BATCH)
    sequences = out / "sequences.safetensors"
    if not sequences.exists():
        note(f"finding the symmetric forms of the crystals in {prepared}")
        prepare_sequences(load(prepared), sequences, on_step=lambda done, total: on_progress("symmetry", done, total))
    if generator == "wyckoff":
        return partial(WyckoffTask, sequences, start=start)
    return partial(VaeTask, sequences, start=start or shipped("wyckoff.safetensors"))


def train_orbits_to_folder(table: Path | None, out: Path, *, steps: int, seed: int) -> Path:
    """Train the networks of `orbits`; returns the weights. Killed and run again, it goes on where it was."""
    config, judge, templates = decorator_config(out, steps, seed), JudgeConfig(seed=seed), load_templates(table)
    plot = config.out / "losses.html"
    with progress_bars() as on_progress:

        def on_log(line: dict[str, float]) -> None:
            on_progress("elements on orbits", int(line["step"]), steps)
            if line["step"] % config.save_every == 0 or line["step"] == steps:
                write_training_plot(config.log, plot)

        weights, quality = train_orbits(config, judge, table, available_cores(), on_log, on_progress)
    source = Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates))
    sources = (source,) if table is not None else (source, _source_of(shipped("stability_labels.parquet")))
    facts: dict[str, JsonValue] = {"steps": steps, "judge": asdict(judge)}
    facts |= quality
    write_provenance(weights, "redoxa train --generator orbits", sources, PACKAGES, facts)
    note(f"weights in {weights}, log in {config.log}, losses in {plot}")
    return weights


def train_geometry_to_folder(table: Path | None, out: Path, *, steps: int, seed: int) -> Path:
    """Train the flow of `orbits`; returns the weights. Killed and run again, it goes on where it was."""
    config, templates = geometry_config(out, steps, seed), load_templates(table)
    plot = config.out / "losses.html"
    facts: dict[str, JsonValue] = {"steps": steps, "seed": seed}
    with progress_bars() as on_progress:

        def on_log(line: dict[str, float]) -> None:
            on_progress("free coordinates and cells", int(line["step"]), steps)
            facts.update({name: round(x, 4) for name, x in line.items() if name.startswith("held_out")})
            if line["step"] % config.save_every == 0 or line["step"] == steps:
                write_training_plot(config.log, plot)

        weights = train_geometry(config, table, on_log)
    source = Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates))
    packages = ("redoxa", "torch", "numpy", "scipy")
    write_provenance(weights, "redoxa train --generator geometry", (source,), packages, facts)
    note(f"weights in {weights}, log in {config.log}, losses in {plot}")
    return weights


def train_stability_to_folder(start: Path, out: Path) -> Path:
    """Train what foresees distances from the hull for a checkpoint of `orbits`; returns the new checkpoint.

    The record keeps what that of the checkpoint says, where it has one.
    """
    if not start.exists():
        raise InputError(f"{start}: no such file")
    weights = out / "orbits.safetensors"
    old = read_provenance(start) if provenance_path(start).exists() else None
    facts: dict[str, JsonValue] = {**(old.facts if old else {}), **with_stability(start, weights)}
    sources = old.sources if old else (Source(name=start.name, attribution="", sha256=sha256_of(start)),)
    labels = shipped("stability_labels.parquet")
    sources = (*(s for s in sources if s.name != labels.name), _source_of(labels))
    command = old.command if old else f"redoxa train --generator orbits --start {start.name}"
    write_provenance(weights, command, sources, PACKAGES, facts)
    note(f"weights in {weights}")
    return weights


def _source_of(labels: Path) -> Source:
    return Source(name=labels.name, attribution=read_provenance(labels).command, sha256=sha256_of(labels))
