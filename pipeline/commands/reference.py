"""`redoxa reference`: rebuild the shipped tables, add phases, show a chemical system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from redoxa.pipeline.commands.app import DEFAULT_STORE, Json, Store
from redoxa.pipeline.commands.console import emit, say, table, watching

reference_app = App(name="reference", help="Reference energies and known materials: build, add, show.")


@reference_app.command
def build(
    *,
    datasets: Path | None = None,
    out: Path | None = None,
    minutes: Annotated[float, Parameter(validator=Number(gt=0))] = 60,
) -> None:
    """Compute the reference energies and the table of known materials again; goes on where it stopped.

    Args:
        datasets: folder with the crystal data sets; by default ../shared/datasets.
        out: folder for the tables; by default the shipped ones are replaced.
        minutes: stop after this long; what is there by then is written.
    """
    from redoxa.pipeline.tasks.reference import build_tables

    with watching() as watcher:
        build_tables(datasets, out, minutes, watcher)


@reference_app.command
def known(*, datasets: Path | None = None, out: Path | None = None) -> None:
    """Compute the table of known materials again, by which novelty is judged: fingerprints, no energies (minutes).

    Args:
        datasets: folder with the crystal data sets; by default ../shared/datasets.
        out: folder for the table; by default the shipped one is replaced.
    """
    from redoxa.pipeline.tasks.reference import build_known

    with watching() as watcher:
        build_known(datasets, out, watcher)


@reference_app.command
def phases(*types: str, out: Path | None = None) -> None:
    """Compute published phases of data/library that the reference lacks, and add them; goes on where it stopped.

    Args:
        types: structure types to compute, e.g. litharge; by default all phases whose formula is lacking.
        out: file to write (.parquet); by default the shipped one is replaced.
    """
    from redoxa.pipeline.tasks.reference import add_library_phases

    with watching() as watcher:
        add_library_phases(types, out, watcher)


@reference_app.command
def electrodes(*, out: Path | None = None) -> None:
    """Compute voltages and volume changes of the shipped templates again; goes on where it stopped.

    Args:
        out: file to write (.parquet); by default the shipped one is replaced.
    """
    from redoxa.pipeline.tasks.reference import label_templates

    with watching() as watcher:
        label_templates(out, watcher)


@reference_app.command
def stabilities(*, out: Path | None = None) -> None:
    """Compute hull distances of the shipped templates and of new crystals on them; goes on where it stopped.

    Args:
        out: file to write (.parquet); by default the shipped one is replaced.
    """
    from redoxa.pipeline.tasks.reference import label_stabilities

    with watching() as watcher:
        label_stabilities(out, watcher)


@reference_app.command
def moments(*, datasets: Path | None = None, out: Path | None = None) -> None:
    """Count the magnetic moments of ions of known oxidation state again; a minute.

    Args:
        datasets: folder with the crystal data sets; by default ../shared/datasets.
        out: file to write (.csv); by default the shipped one is replaced.
    """
    from redoxa.pipeline.tasks.reference import count_moments

    with watching() as watcher:
        count_moments(datasets, out, watcher)


@reference_app.command
def voltages(*, measured: Path | None = None, out: Path | None = None) -> None:
    """Compute the known electrodes that calibrate voltages again, and the metals of the second model; minutes.

    Args:
        measured: CSV with the columns discharged and average_voltage_V_experiment; by default from ../shared.
        out: folder to write; by default the shipped tables are replaced.
    """
    from redoxa.pipeline.tasks.reference import compute_voltage_anchors

    with watching() as watcher:
        compute_voltage_anchors(measured, out, watcher)


@reference_app.command
def latent_map(*, out: Path | None = None) -> None:
    """Place known electrodes on the map of the report again, after new weights of vae; seconds.

    Args:
        out: file to write (.safetensors); by default the shipped one is replaced.
    """
    from redoxa.pipeline.tasks.reference import map_electrodes

    with watching() as watcher:
        map_electrodes(out, watcher)


@reference_app.command
def add(
    *files: Path, materials_project: str | None = None, store: Store = DEFAULT_STORE, as_json: Json = False
) -> None:
    """Add structures of your own, or entries with energies on the same scale, to the reference.

    Args:
        files: structure files, or CSV/JSON with formula, energy_eV_per_atom and energy_scale.
        materials_project: a chemical system, e.g. Li-Fe-P-O: fetch its phases near the hull (key in MP_API_KEY) and
            compute them with Redoxa's own potential.
    """
    from redoxa.pipeline.tasks.reference import add_phases

    with watching() as watcher:
        target, rows = add_phases(files, materials_project, store, watcher)
    if as_json:
        emit("file", file=target, rows=rows)
    else:
        say(f"{target}: {rows} phases of yours now count in every hull")


@reference_app.command
def show(system: str, *, as_json: Json = False, store: Store = DEFAULT_STORE) -> None:
    """Show the competing phases known in a chemical system, e.g. Li-Fe-P-O.

    Args:
        system: elements joined by dashes.
    """
    from redoxa.pipeline.campaign.screening_context import open_reference
    from redoxa.pipeline.campaign.session import runs_folder
    from redoxa.pipeline.tasks.reference import elements_of

    elements, reference = elements_of(system), open_reference(runs_folder(store))
    entries = reference.entries(elements)
    if as_json:
        for e in entries:
            energy = {"energy_eV_per_atom": e.energy_eV_per_atom, "energy_scale": reference.scale}
            emit("phase", formula=e.formula, **energy, kind=e.kind, name=e.name, source=e.source)
        return
    columns = ["formula", "energy (eV/atom)", "kind", "name", "source"]
    rows = [
        dict(zip(columns, (e.formula, e.energy_eV_per_atom, e.kind, e.name, e.source), strict=True)) for e in entries
    ]
    title = f"{reference.coverage(elements).text}; energies on the scale {reference.scale}"
    table(title, rows, columns if rows else [])
