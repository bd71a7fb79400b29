"""`redoxa reference`: rebuild the shipped tables, and add a user's own phases."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ase.data import atomic_numbers
from pydantic import JsonValue

from redoxa.data.errors import InputError
from redoxa.data.progress import Watcher
from redoxa.data.provenance import CHGNET, MATERIALS_PROJECT, Source, read_provenance, sha256_of, write_provenance
from redoxa.data.shipped import ASSETS, shipped
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.known_materials import KnownMaterials, load_known_materials
from redoxa.pipeline.campaign.screening_context import USER_REFERENCE, open_reference
from redoxa.pipeline.campaign.session import runs_folder

STRUCTURES = ("mp_structures.parquet", "li_electrodes.parquet")
COMPOSITIONS = ("mp20_train_compositions.parquet",)
COMMAND = "redoxa reference build"
LIBRARY = Source(name="data/library", attribution="published crystallography; each entry names its source")
PACKAGES = ("redoxa", "chgnet", "torch", "pymatgen", "ase", "numpy", "scipy", "spglib", "pyarrow")
"""Whose versions the record names."""


def build_tables(datasets: Path | None, out: Path | None, minutes: float, watcher: Watcher) -> None:
    """Compute reference energies and fingerprints as far as the time allows, and write both with their records.

    Raises:
        InputError: the data sets are not where they should be.
    """
    from redoxa.data.symmetry.skeletons import SHIPPED as TEMPLATES
    from redoxa.data.tables.reference import SHIPPED, load_reference
    from redoxa.screening.potentials.base import load_potential
    from redoxa.screening.tables.check import reference_facts
    from redoxa.screening.tables.energies import build_reference
    from redoxa.screening.tables.skeleton_library import build_templates
    from redoxa.screening.workers.pool import available_cores

    folder = _data_sets(datasets)
    warnings.filterwarnings("ignore", message="No Pauling electronegativity")  # of noble gases, which nothing here uses
    target = out or ASSETS
    target.mkdir(parents=True, exist_ok=True)
    structures = [folder / name for name in STRUCTURES]
    energies, templates = target / SHIPPED, target / TEMPLATES
    work = runs_folder("runs/redoxa.db") / "reference.parts.jsonl"
    cores = available_cores()
    built = build_reference(
        energies, structures, load_potential(), work, 60 * minutes, watcher.on_progress, workers=cores
    )
    library_facts = build_templates(templates, built.rows, cores, watcher.step("templates"))
    materials, reference = build_known(datasets, out, watcher), load_reference(energies)
    data_sets = [_data_set(path) for path in structures]
    potential = Source(name="CHGNet 0.3.0", attribution=CHGNET)
    facts = reference_facts(reference, built.rows, structures[0], materials)
    write_provenance(energies, COMMAND, (*data_sets, LIBRARY, potential), PACKAGES, facts)
    write_provenance(templates, COMMAND, (*data_sets[:1], LIBRARY, potential), PACKAGES, asdict(library_facts))
    watcher.note(
        f"{built.entries} formulas in {energies}; {built.open_tasks} energies left to compute (run again to go on)"
    )


def build_known(datasets: Path | None, out: Path | None, watcher: Watcher) -> KnownMaterials:
    """Compute the table of known materials (fingerprints, no energies), and write it with its record.

    Raises:
        InputError: the data sets are not where they should be.
    """
    from redoxa.screening.tables.known_materials import build_known_materials, known_facts

    folder = _data_sets(datasets)
    warnings.filterwarnings("ignore", message="No Pauling electronegativity")  # of noble gases, which nothing here uses
    (out or ASSETS).mkdir(parents=True, exist_ok=True)
    target = (out or ASSETS) / "known_materials.parquet"
    structures, compositions = ([folder / name for name in names] for names in (STRUCTURES, COMPOSITIONS))
    build_known_materials(target, structures, compositions, watcher.on_progress)
    materials = load_known_materials(target)
    sources = (*(_data_set(path) for path in (*structures, *compositions)), LIBRARY)
    write_provenance(target, f"{COMMAND.removesuffix('build')}known", sources, PACKAGES, known_facts(materials))
    watcher.note(f"{len(materials)} known materials in {target}")
    return materials


def add_library_phases(types: Sequence[str], out: Path | None, watcher: Watcher) -> None:
    """Compute published phases that the shipped reference lacks, and add them to it and to its record.

    Raises:
        InputError: there is no phase of such a structure type.
    """
    from redoxa.data.tables.reference import SHIPPED, Reference, load_reference, write_table
    from redoxa.screening.potentials.base import load_potential
    from redoxa.screening.tables.add import compute_tasks, library_tasks_of
    from redoxa.screening.tables.check import table_facts

    path, reference = out or shipped(SHIPPED), load_reference()
    work = runs_folder("runs/redoxa.db") / "library.parts.jsonl"
    tasks = library_tasks_of(types, reference)
    step = watcher.step("published phases")
    computed, set_aside = compute_tasks(tasks, work, load_potential(), step)
    for what in set_aside:
        watcher.note(f"set aside: {what}")
    record = read_provenance(shipped(SHIPPED))
    names = {entry.name for entry in computed}
    merged = Reference([*(entry for entry in reference if entry.name not in names), *computed], reference.scale)
    write_table(path, merged, merged.scale)
    before = record.facts.get("added_afterwards")
    added: list[JsonValue] = sorted({*(before if isinstance(before, list) else []), *names}, key=str)
    facts = {**record.facts, **table_facts(merged, load_known_materials()), "added_afterwards": added}
    write_provenance(path, COMMAND, record.sources, PACKAGES, facts)
    watcher.note(f"{len(computed)} phases computed; {len(merged)} formulas in {path}, {len(reference)} before")


def _data_sets(folder: Path | None) -> Path:
    """The folder of the crystal data sets.

    Raises:
        InputError: they are not there.
    """
    shared = shared_dir()
    folder = folder or (shared / "datasets" if shared is not None else None)
    if folder is None or not (folder / STRUCTURES[0]).exists():
        raise InputError(
            f"{folder or '../shared/datasets'}: no crystal data sets here; name their folder with --datasets"
        )
    return folder


def count_moments(datasets: Path | None, out: Path | None, watcher: Watcher) -> None:
    """Count magnetic moments over the structures of the data sets, and write them with their record.

    Raises:
        InputError: the data sets are not where they should be.
    """
    import torch

    from redoxa.screening.physics.moments import MOST_CRYSTALS, SHIPPED, typical_moments, write_moments
    from redoxa.screening.potentials.base import load_potential
    from redoxa.screening.tables.tasks import dataset_tasks

    torch.set_num_threads(1)  # cells this small gain nothing from more
    source, target = _data_sets(datasets) / STRUCTURES[0], out or shipped(SHIPPED)
    crystals = [task.crystal for task in dataset_tasks(source)]
    random.Random(0).shuffle(crystals)
    rows = typical_moments(crystals, load_potential(), lambda n: watcher.on_progress("moments", n, len(crystals)))
    write_moments(target, rows)
    potential = Source(name="CHGNet 0.3.0", attribution=CHGNET)
    facts: dict[str, JsonValue] = {"rows": len(rows), "most_crystals_of_a_kind": MOST_CRYSTALS}
    write_provenance(target, "redoxa reference moments", (_data_set(source), potential), PACKAGES, facts)
    watcher.note(f"{len(rows)} kinds of ions in {target}")


def compute_voltage_anchors(measured: Path | None, out: Path | None, watcher: Watcher) -> None:
    """Compute the published electrodes whose voltage was measured, and write what they teach with its record.

    Raises:
        InputError: the measured voltages are not where they should be.
    """
    from redoxa.data.tables.prototypes import load_prototypes
    from redoxa.screening.physics.calibration import (
        METALS_SHIPPED,
        SECOND_MODEL,
        SHIPPED,
        VoltageCalibration,
        write_anchors,
    )
    from redoxa.screening.potentials.base import potential_class
    from redoxa.screening.tables.known_electrodes import (
        anchor,
        compute_known,
        compute_metals,
        measured_voltages_V,
        write_metals,
    )

    shared = shared_dir()
    source = measured or (shared / "anchors" / "voltages.csv" if shared is not None else None)
    if source is None or not source.exists():
        raise InputError(f"{source or '../shared/anchors'}: no measured voltages here; name their file with --measured")
    volts, target = measured_voltages_V(source), out or ASSETS
    target.mkdir(parents=True, exist_ok=True)
    prototypes = [p for p in load_prototypes() if p.anchor in volts]
    known = compute_known(prototypes, on_step=watcher.step("electrodes"))
    metals = compute_metals()
    reference = open_reference(runs_folder("runs/redoxa.db"))
    anchors = [
        anchor(k, volts[k.prototype.anchor or ""], (reference.ion_metal_energy(ion), metals[ion]))
        for k in known
        if not k.problem and (ion := k.prototype.working_ion)
    ]
    write_metals(target / METALS_SHIPPED, potential_class(SECOND_MODEL).model_id, metals)
    write_anchors(target / SHIPPED, anchors)
    library = Source(name="data/library", attribution="published crystallography; each entry names its source")
    potential = Source(name="CHGNet 0.3.0 and CHGNet r2SCAN", attribution=CHGNET)
    literature = Source(name=source.name, attribution="published average voltages", sha256=sha256_of(source))
    facts: dict[str, JsonValue] = {
        "electrodes": len(anchors),
        "failed": [f"{k.prototype.name}: {k.problem}" for k in known if k.problem],
        "noise_V": VoltageCalibration(anchors).noise_V,
    }
    write_provenance(target / SHIPPED, "redoxa reference voltages", (literature, library, potential), PACKAGES, facts)
    write_provenance(target / METALS_SHIPPED, "redoxa reference voltages", (library, potential), PACKAGES, {})
    watcher.note(
        f"{len(anchors)} electrodes in {target / SHIPPED}, metals of the second model in {target / METALS_SHIPPED}"
    )


def label_templates(out: Path | None, watcher: Watcher) -> None:
    """Take the ions out of all templates that hold some, and write what that gives, with its record."""
    from redoxa.data.symmetry.skeletons import load_templates
    from redoxa.data.tables.reference import load_reference
    from redoxa.data.tables.template_labels import write_electrode_labels
    from redoxa.screening.tables.electrode_labels import electrode_tasks, label_electrodes
    from redoxa.screening.workers.pool import available_cores

    templates, path = load_templates(), out or shipped("electrode_labels.parquet")
    work = runs_folder("runs/redoxa.db") / "electrodes.parts.jsonl"
    labels = label_electrodes(templates, load_reference(), work, available_cores(), watcher.step("electrodes"))
    write_electrode_labels(path, labels, templates.sha256)
    source = Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates))
    facts: dict[str, JsonValue] = {"asked": len(electrode_tasks(templates)), "labelled": len(labels)}
    potential = Source(name="CHGNet 0.3.0", attribution=CHGNET)
    write_provenance(path, "redoxa reference electrodes", (source, potential), PACKAGES, facts)
    watcher.note(f"{len(labels)} of {facts['asked']} labelled in {path}")


def label_stabilities(out: Path | None, watcher: Watcher) -> None:
    """Label templates, and new crystals that `orbits` draws on them, by their distance from the hull, with a record."""
    from redoxa.data.symmetry.skeletons import load_templates
    from redoxa.data.tables.reference import load_reference
    from redoxa.data.tables.template_labels import write_stability_labels
    from redoxa.pipeline.tasks.stability_tasks import stability_tasks
    from redoxa.screening.tables.stability_labels import label_stabilities as label
    from redoxa.screening.workers.pool import available_cores

    templates, path = load_templates(), out or shipped("stability_labels.parquet")
    work = runs_folder("runs/redoxa.db") / "stabilities.parts.jsonl"
    tasks = stability_tasks(templates, watcher.step("draw"))
    step = watcher.step("stabilities")
    labels = label(tasks, load_reference(), work, templates.sha256, available_cores(), step)
    write_stability_labels(path, labels, templates.sha256)
    source = Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates))
    potential = Source(name="CHGNet 0.3.0", attribution=CHGNET)
    weights = Source(name="orbits.safetensors", attribution="redoxa", sha256=sha256_of(shipped("orbits.safetensors")))
    new = {(task.template, task.numbers) for task in tasks if not task.relaxed}
    facts: dict[str, JsonValue] = {
        "templates": len(tasks) - len(new),
        "new_crystals": len(new),
        "labelled": len(labels),
        "labelled_new": sum((label.template, label.numbers) in new for label in labels),
        "with_a_full_phase": sum(label.full_phases > 0 for label in labels),
    }
    write_provenance(path, "redoxa reference stabilities", (source, potential, weights), PACKAGES, facts)
    watcher.note(f"{len(labels)} of {len(tasks)} labelled in {path}")


def map_electrodes(out: Path | None, watcher: Watcher) -> None:
    """Encode known electrodes with the shipped weights of `vae`, and write where they lie, with its record."""
    from redoxa.data.symmetry.skeletons import load_templates
    from redoxa.generators.vae.checkpoint import load_vae
    from redoxa.generators.vae.latent import LatentSpace
    from redoxa.generators.vae.latent_map import build_map, known_electrodes, save_map

    weights, path, templates = shipped("vae.safetensors"), out or shipped("latent_map.safetensors"), load_templates()
    found = build_map(LatentSpace(load_vae(weights)), sha256_of(weights), known_electrodes())
    save_map(path, found)
    table = Source(name="templates", attribution=MATERIALS_PROJECT, sha256=templates.sha256, rows=len(templates))
    network = Source(name=weights.name, attribution="weights of this project", sha256=found.checkpoint_sha256)
    facts: dict[str, JsonValue] = {"electrodes": len(found.known), "share_of_variance": round(found.share, 3)}
    write_provenance(path, "redoxa reference latent-map", (table, network), PACKAGES, facts)
    watcher.note(f"{len(found.known)} electrodes in {path}")


def _data_set(path: Path) -> Source:
    import pyarrow.parquet as pq

    attribution = MATERIALS_PROJECT if path.stem != "li_electrodes" else f"lithiated hosts of the {MATERIALS_PROJECT}"
    rows: int = pq.ParquetFile(path).metadata.num_rows
    return Source(name=path.name, attribution=attribution, sha256=sha256_of(path), rows=rows)


def add_phases(files: Sequence[Path], system: str | None, store: str, watcher: Watcher) -> tuple[Path, int]:
    """Add a user's phases, or the Materials Project's of a chemical system, to the table beside the store.

    Returns:
        The table, and how many phases it holds by now.

    Raises:
        InputError: neither is named, or there is no key.
    """
    from redoxa.screening.potentials.base import load_potential
    from redoxa.screening.tables import add as reference_add

    tasks = []
    if system is not None:
        elements, key = elements_of(system), os.environ.get(reference_add.KEY_VARIABLE, "")
        if not key:
            raise InputError(f"--materials-project needs your key in the environment: {reference_add.KEY_VARIABLE}=...")
        tasks = reference_add.materials_project_tasks(elements, key)
    elif not files:
        raise InputError("name a file with phases, or a chemical system with --materials-project")
    target = runs_folder(store) / USER_REFERENCE
    target.parent.mkdir(parents=True, exist_ok=True)
    merged, notes = reference_add.add_phases(files, target, load_potential(), watcher.step("reference"), tasks)
    for line in notes:
        watcher.note(line)
    return target, len(merged)


def elements_of(system: str) -> list[str]:
    """Elements of ``Li-Fe-P-O``.

    Raises:
        InputError: the system names something that is no element.
    """
    elements = [x.strip() for x in system.split("-")]
    for element in elements:
        if atomic_numbers.get(element, 0) < 1:
            raise InputError(f"'{element}' is not an element symbol; write for example Li-Fe-P-O")
    return elements
