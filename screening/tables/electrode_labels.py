"""Voltages and volume changes of the templates that hold a working ion, for models that learn from them.

All ions of an element are taken out and what is left is relaxed within its symmetry, by the potential that relaxed the
template: two energies of one scale, some seconds each. A cheap version of the screening's own voltage, without partial
states and without a check that the host keeps its structure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from redoxa.data.chemistry import redox_capacity_electrons
from redoxa.data.symmetry.skeletons import TemplateTable
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.tables.reference import Reference
from redoxa.data.tables.template_labels import ElectrodeLabel
from redoxa.data.units import ION_VALENCE
from redoxa.screening.compute.symmetric_walk import SymmetricRelaxSettings
from redoxa.screening.workers.pool import relax_many

BATCH = 64
"""Templates that are handed to the workers at once."""


def electrode_tasks(table: TemplateTable) -> list[tuple[int, int]]:
    """(template, ion) of all that hold a working ion, an anion and something to oxidise, one ion kind after another."""
    found = []
    for symbol in ION_VALENCE:
        ion = atomic_numbers[symbol]
        for index in np.flatnonzero(table.compositions[:, ion]).tolist():
            row = table.compositions[index]
            content = {chemical_symbols[z]: int(row[z]) for z in np.flatnonzero(row).tolist()}
            if redox_capacity_electrons(content, symbol):
                found.append((index, ion))
    return found


def label_electrodes(
    table: TemplateTable, reference: Reference, work: Path, workers: int, on_step: Callable[[int, int], None]
) -> list[ElectrodeLabel]:
    """Label all templates that can be; what `work` (JSON lines) holds of this table is not computed again.

    Args:
        table: of templates.
        reference: energies of the ions' metals.
        work: file that grows as labels are computed.
        workers: processes.
        on_step: called with (done, total).
    """
    work.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.loads(line) for line in work.read_text().splitlines() if line.endswith("}")] if work.exists() else []
    known = {(row["template"], row["ion"]): row for row in kept if row["table"] == table.sha256}
    tasks = electrode_tasks(table)
    missing = [task for task in tasks if task not in known]
    with work.open("a", encoding="utf-8") as sink:
        for first in range(0, len(missing), BATCH):
            on_step(len(tasks) - len(missing) + first, len(tasks))
            for task, label in _labelled(table, reference, missing[first : first + BATCH], workers):
                known[task] = {"table": table.sha256, "template": task[0], "ion": task[1]} | (
                    {} if label is None else asdict(label)
                )
                sink.write(json.dumps(known[task]) + "\n")
            sink.flush()
    rows = ({key: row[key] for key in row if key != "table"} for row in known.values())
    return [ElectrodeLabel(**row) for row in rows if "voltage_V" in row]


def _labelled(
    table: TemplateTable, reference: Reference, tasks: list[tuple[int, int]], workers: int
) -> Iterator[tuple[tuple[int, int], ElectrodeLabel | None]]:
    """Labels; None where a state finds no minimum."""
    forms: list[SymmetricCrystal] = []
    for index, ion in tasks:
        form = table[index].form
        forms += [form, replace(form, orbits=tuple(o for o in form.orbits if o.number != ion))]
    ended = dict(relax_many(forms, SymmetricRelaxSettings(max_calls=20), workers=workers))
    for place, (index, ion) in enumerate(tasks):
        full, empty = (ended[2 * place + i].relaxation for i in (0, 1))
        if full is None or empty is None or not (full.converged and empty.converged):
            yield (index, ion), None
            continue
        symbol = chemical_symbols[ion]
        count = full.crystal.numbers.count(ion)
        energy_eV = full.energy_eV - empty.energy_eV - count * reference.ion_metal_energy(symbol)
        label = ElectrodeLabel(
            template=index,
            ion=ion,
            voltage_V=round(-energy_eV / (count * ION_VALENCE[symbol]), 4),
            volume_change=round(empty.crystal.volume_A3 / full.crystal.volume_A3 - 1.0, 4),
        )
        yield (index, ion), label
