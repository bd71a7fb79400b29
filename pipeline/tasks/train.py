"""`redoxa train`: what is needed beforehand, then the training with a progress bar and a record of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from redoxa.data.errors import InputError
from redoxa.data.progress import SILENT, Watcher
from redoxa.data.provenance import (
    MATERIALS_PROJECT,
    Source,
    provenance_path,
    read_provenance,
    sha256_of,
    write_provenance,
)
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.cells import load_cells, prepare_cells
from redoxa.data.symmetry.sequences import prepare_sequences
from redoxa.data.symmetry.skeletons import SHIPPED, TemplateTable, load_templates
from redoxa.data.tables.datasets import load, prepare, split_text
from redoxa.data.tables.formulas import FormulaData, load_formulas, prepare_formulas
from redoxa.data.tables.materials import MaterialData, load_materials, prepare_materials
from redoxa.generators.geometry.training import geometry_config, train_geometry
from redoxa.generators.orbits.judge_training import JudgeConfig
from redoxa.generators.orbits.training import decorator_config, train_orbits, with_energy
from redoxa.generators.training.kinds import RANDOM, Training, training_of
from redoxa.generators.training.log import OnLog
from redoxa.generators.training.loop import Task, TrainConfig, train
from redoxa.pipeline.tasks.training_data import (
    CELLS,
    CRYSTALS,
    FORMULAS,
    LEAST_FORMULAS,
    MATERIALS,
    SEQUENCES,
    enough,
    template_table,
)
from redoxa.pipeline.tasks.training_plot import write_training_plot
from redoxa.screening.workers.pool import available_cores

PACKAGES = ("redoxa", "torch", "pymatgen", "numpy")
"""Whose versions a record names."""

PAGE, PAGE_EVERY_s = "losses.html", 10.0

FEW_CRYSTALS = 1000
"""Of fewer, a network that begins with random weights learns little."""


def train_to_folder(
    generator: str,
    data: Sequence[Path],
    config: TrainConfig,
    *,
    hosts: Path | None,
    start: Path | None,
    rate: float | None,
    edges: int | None,
    resume: bool,
    watcher: Watcher = SILENT,
) -> Path:
    """Train a network on crystals; returns the weights. Killed and run again, it goes on exactly where it was.

    Args:
        generator: which.
        data: table of crystals, or a tensor file prepared from one; of formulas, there may be several tables.
        config: how; its folder gets the prepared data, the checkpoint, the log, a page of the losses and the weights.
        hosts: more structures, of insertion hosts with voltages; None for none, or where `data` is prepared already.
        start: weights to begin with (`redoxa train --help`), or None.
        rate: highest learning rate; None for the generator's own.
        edges: pairs of atoms in a batch, of flow and diffusion; None for the default.
        resume: go on from the folder's checkpoint.
        watcher: is told how it goes, and in the end where everything is and what next.
    """
    files = [*data, *(path for path in (hosts, start) if path is not None)]
    for path in files:
        if not path.exists():
            raise InputError(f"{path}: no such file")
    kind = training_of(generator)
    prepared, count, split = _prepared(kind, data, hosts, config.out, watcher)
    if start is None and kind.begins_with == RANDOM and "start" in kind.takes and count < FEW_CRYSTALS:
        watcher.note("few crystals for random weights; with --start shipped the trained ones go on")
    config = replace(config, rate=rate or kind.rate or config.rate, clip=kind.clip or config.clip)
    facts = {
        "Network": generator,
        "Data": " and ".join(path.name for path in (*data, *([hosts] if hosts else []))),
        "Split": split,
        "Begun with": start.name if start else kind.begins_with,
    }
    with _watched(config, "train", facts, watcher) as on_log:
        task = _task(kind, prepared, start, edges, config.out, watcher)
        weights = train(task, _often(config), on_log, resume)
        if kind.finish is not None:
            watcher.note("the last estimates, which take up to a minute")
            kind.finish(weights)
    options: dict[str, str | int | float | None] = {
        name: path.name if path else None for name, path in (("hosts", hosts), ("start", start))
    }
    options |= {"steps": config.steps, "rate": rate, "edges": edges, "seed": config.seed, "workers": config.workers}
    named = [path.name for path in data] if len(data) > 1 else [f"--data {data[0].name}"]
    command = " ".join([*named, *(f"--{name} {value}" for name, value in options.items() if value is not None)])
    record: dict[str, JsonValue] = json.loads(config.log.read_text(encoding="utf-8").splitlines()[-1])
    record["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    sources = tuple(Source(name=path.name, attribution="", sha256=sha256_of(path)) for path in files)
    write_provenance(weights, f"redoxa train --generator {generator} {command}", sources, PACKAGES, record)
    _tell_end(generator, config, weights, watcher)
    return weights


def fit_to_folder(generator: str, data: Sequence[Path], out: Path, *, seed: int, watcher: Watcher = SILENT) -> Path:
    """Fit what learns at once from formulas; returns the weights. Arguments as of `train_to_folder`.

    Raises:
        InputError: the data cannot be read, or are too few; or it is no such model.
    """
    kind = training_of(generator)
    if kind.fit is None:
        raise InputError(f"{generator} learns in steps")
    prepared, _, split = _prepared(kind, data, None, out, watcher)
    weights = out / f"{generator}.safetensors"
    figures = kind.fit(prepared, seed, weights)
    named = [path.name for path in data] if len(data) > 1 else [f"--data {data[0].name}"]
    command = " ".join(["redoxa train --generator", generator, *named, f"--seed {seed}"])
    sources = tuple(Source(name=path.name, attribution="", sha256=sha256_of(path)) for path in data)
    facts: dict[str, JsonValue] = {"split": split, **figures}
    write_provenance(weights, command, sources, ("redoxa", "numpy", "scipy"), facts)
    watcher.note(f"weights in {weights}" + "".join(f", {name} {value:g}" for name, value in figures.items()))
    watcher.note(f"next: {kind.next.format(generator, weights)}")
    return weights


def _prepared(
    kind: Training, data: Sequence[Path], hosts: Path | None, out: Path, watcher: Watcher
) -> tuple[Path, int, str]:
    """The tensor file of the data, made where it is not there yet, how much it holds, and how that is split.

    Raises:
        InputError: the data cannot be read, or is too little.
    """
    file = {"formulas": FORMULAS, "materials": MATERIALS, "cells": CELLS}.get(kind.learns, CRYSTALS)
    path = data[0] if data[0].suffix == ".safetensors" else out / file
    made = path.exists()
    if not made:
        watcher.note(f"preparing {path} from {' and '.join(map(str, data))}")
    if kind.learns == "cells":
        step = watcher.step("cells")
        cells = load_cells(path) if made else prepare_cells(data, path, on_note=watcher.note, on_step=step)
        enough(len(cells), data[0])
        return path, len(cells), cells.split
    if kind.several_tables:
        content: FormulaData | MaterialData
        if kind.learns == "formulas":
            content = load_formulas(path) if made else prepare_formulas(data, path, on_note=watcher.note)
        else:
            content = load_materials(path) if made else prepare_materials(data, path, on_note=watcher.note)
        enough(len(content), data[0], "formulas", LEAST_FORMULAS)
        return path, len(content), content.split
    crystals = load(path) if made else prepare(data[0], path, hosts=hosts, on_note=watcher.note)
    enough(len(crystals), data[0])
    return path, len(crystals), split_text(crystals.held_out)


@contextmanager
def _watched(config: TrainConfig, what: str, facts: Mapping[str, str], watcher: Watcher) -> Iterator[OnLog]:
    """Progress and the page of the losses; however the training ends, the page is left as one that has ended."""
    page, written = config.out / PAGE, -math.inf
    facts = {**facts, **_settings(config)}

    def on_log(line: dict[str, float]) -> None:
        nonlocal written
        watcher.on_progress(what, int(line["step"]), config.steps)
        if time.monotonic() - written > PAGE_EVERY_s:
            write_training_plot(config.log, page, facts, config.steps, running=True)
            written = time.monotonic()

    try:
        yield on_log
    finally:
        if config.log.exists():
            write_training_plot(config.log, page, facts, config.steps, running=False)


def _settings(config: TrainConfig) -> dict[str, str]:
    """How it is trained, for people."""
    gpu = config.device != "cpu" and torch.cuda.is_available()
    return {
        "Steps": f"{config.steps:,}",
        "Highest learning rate": f"{config.rate:g}",
        "Seed": str(config.seed),
        "Processes": str(config.workers),
        "Device": torch.cuda.get_device_name() if gpu else "processor",
        "Folder": str(config.out),
    }


def _often(config: TrainConfig) -> TrainConfig:
    """Logged and judged often enough that a short run has losses to show."""
    log, save = (max(1, config.steps // parts) for parts in (20, 5))
    return replace(config, log_every=min(config.log_every, log), save_every=min(config.save_every, save))


def _tell_end(generator: str, config: TrainConfig, weights: Path, watcher: Watcher) -> None:
    """Where everything is, and what next."""
    watcher.note(f"weights in {weights}, log in {config.log}, losses in {config.out / PAGE}")
    watcher.note(f"next: {training_of(generator).next.format(generator, weights)}")


def _task(
    kind: Training, prepared: Path, start: Path | None, edges: int | None, out: Path, watcher: Watcher
) -> Callable[[], Task[Any]]:
    """What is learned; sequences are prepared in the folder where they are not there yet (50 ms a crystal)."""
    if kind.task is None:
        raise InputError(f"{kind.name} learns templates, not crystals")
    if kind.learns != "sequences":
        return kind.task(prepared, start, edges)
    sequences = out / SEQUENCES
    if not sequences.exists():
        watcher.note(f"finding the symmetric forms of the crystals in {prepared}")
        prepare_sequences(load(prepared), sequences, on_step=watcher.step("symmetry"))
    return kind.task(sequences, start, edges)


def train_on_templates(
    generator: str,
    table: Path | None,
    start: Path | None,
    out: Path,
    *,
    steps: int,
    seed: int,
    watcher: Watcher = SILENT,
) -> Path:
    """Train what learns templates; returns the weights. With `start`, only what foresees distances from the hull."""
    if start is not None:
        return train_energy_to_folder(start, out, watcher)
    train_them = {"orbits": train_orbits_to_folder, "geometry": train_geometry_to_folder}[generator]
    return train_them(table, out, steps=steps, seed=seed, watcher=watcher)


def train_orbits_to_folder(table: Path | None, out: Path, *, steps: int, seed: int, watcher: Watcher = SILENT) -> Path:
    """Train the networks of `orbits`; returns the weights. Killed and run again, it goes on where it was.

    Args:
        table: of crystals or of templates; None for the templates that ship.
        out: folder.
        steps: of the network that puts elements on orbits.
        seed: of weights, order and split.
        watcher: is told how it goes.
    """
    table = table and template_table(table, out, watcher)
    config, judge, templates = _often(decorator_config(out, steps, seed)), JudgeConfig(seed=seed), load_templates(table)
    facts = _template_facts("orbits", table, templates)
    with _watched(config, "elements on orbits", facts, watcher) as on_log:
        weights, quality = train_orbits(config, judge, table, available_cores(), on_log, watcher.on_progress)
    source = _source_of_templates(table, templates)
    sources = (source,) if table is not None else (source, _source_of(shipped("stability_labels.parquet")))
    record: dict[str, JsonValue] = {"steps": steps, "judge": asdict(judge)}
    record |= quality
    write_provenance(weights, "redoxa train --generator orbits", sources, PACKAGES, record)
    _tell_end("orbits", config, weights, watcher)
    return weights


def train_geometry_to_folder(
    table: Path | None, out: Path, *, steps: int, seed: int, watcher: Watcher = SILENT
) -> Path:
    """Train the flow of `orbits`; returns the weights. Arguments as of `train_orbits_to_folder`."""
    table = table and template_table(table, out, watcher)
    config, templates = _often(geometry_config(out, steps, seed)), load_templates(table)
    facts: dict[str, JsonValue] = {"steps": steps, "seed": seed}
    shown = _template_facts("geometry", table, templates)
    with _watched(config, "free coordinates and cells", shown, watcher) as on_log:

        def log_and_keep(line: dict[str, float]) -> None:
            facts.update({name: round(x, 4) for name, x in line.items() if name.startswith("held_out")})
            on_log(line)

        weights = train_geometry(config, table, log_and_keep)
    source = _source_of_templates(table, templates)
    packages = ("redoxa", "torch", "numpy", "scipy")
    write_provenance(weights, "redoxa train --generator geometry", (source,), packages, facts)
    _tell_end("geometry", config, weights, watcher)
    return weights


def _template_facts(generator: str, table: Path | None, templates: TemplateTable) -> dict[str, str]:
    enough(len(templates), table or shipped(SHIPPED), "templates")
    said = f"{len(templates):,} templates; at most a tenth, of other formulas, held out to judge the training by"
    return {"Network": generator, "Data": table.name if table else "the templates that ship", "Split": said}


def train_energy_to_folder(start: Path, out: Path, watcher: Watcher = SILENT) -> Path:
    """Train what foresees distances from the hull for a checkpoint of `orbits`; returns the new checkpoint.

    The record keeps what that of the checkpoint says, where it has one.
    """
    if not start.exists():
        raise InputError(f"{start}: no such file")
    weights = out / "orbits.safetensors"
    old = read_provenance(start) if provenance_path(start).exists() else None
    weights.parent.mkdir(parents=True, exist_ok=True)
    facts: dict[str, JsonValue] = {**(old.facts if old else {}), **with_energy(start, weights, watcher.on_progress)}
    sources = old.sources if old else (Source(name=start.name, attribution="", sha256=sha256_of(start)),)
    labels = shipped("stability_labels.parquet")
    sources = (*(s for s in sources if s.name != labels.name), _source_of(labels))
    command = old.command if old else f"redoxa train --generator orbits --start {start.name}"
    write_provenance(weights, command, sources, PACKAGES, facts)
    watcher.note(f"weights in {weights}")
    return weights


def _source_of_templates(table: Path | None, templates: TemplateTable) -> Source:
    whose = MATERIALS_PROJECT if table is None else ""
    return Source(name="templates", attribution=whose, sha256=templates.sha256, rows=len(templates))


def _source_of(labels: Path) -> Source:
    return Source(name=labels.name, attribution=read_provenance(labels).command, sha256=sha256_of(labels))
