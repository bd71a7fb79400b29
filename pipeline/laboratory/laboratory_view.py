"""A laboratory in a few lines for people, and in plain values for machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redoxa.data.lab.laboratory import Bench, Cycler, Furnace, Laboratory, Person
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.pipeline.laboratory.laboratory_file import DEFAULT_FILE, LABORATORY

WORK = {"weigh": "weighs", "xray": "takes X-ray patterns", "coat": "coats electrodes", "assemble": "builds cells"}


def laboratory_lines(laboratory: Laboratory, file: Path | None) -> Iterator[str]:
    """What a laboratory has and allows, a line each; where there is no file, what is therefore assumed."""
    if file is None:
        yield f"no {DEFAULT_FILE} here, and {LABORATORY} names none. Assumed is a small laboratory:"
    else:
        yield f"{file}: {laboratory.name}"
    for furnace in laboratory.furnaces:
        yield f"{_titled('furnace', furnace.name)}: {_furnace(furnace)}"
    yield f"glove box: {'yes' if laboratory.glovebox else 'no'}"
    if laboratory.stock is None:
        yield f"stock: every powder of the catalogue ({len(default_catalogue().precursors)})"
    else:
        noun = "powder" if len(laboratory.stock) == 1 else "powders"
        yield f"stock: {len(laboratory.stock)} {noun}, {sum(p.amount_g for p in laboratory.stock):g} g"
    for cycler in laboratory.cyclers:
        yield f"{_titled('cycler', cycler.name)}: {_cycler(cycler)}"
    for bench in laboratory.benches:
        yield f"{bench.name}: {_bench(bench)}"
    yield (
        f"limits: {laboratory.max_target_g:g} g of target, {laboratory.max_replicates} cells, "
        f"{laboratory.max_rate_C:g} C, {laboratory.max_cycling_days:g} days of cycling"
    )
    yield f"people: {_people(laboratory)}"


def laboratory_values(laboratory: Laboratory, file: Path | None) -> dict[str, Any]:
    """The same for machines: the fields of a laboratory file with every default, sets in order."""
    values = laboratory.model_dump(mode="json")
    for furnace in values["furnaces"]:
        furnace["atmospheres"].sort()
        furnace["vessels"].sort()
    for bench in values["benches"]:
        bench["does"].sort()
    return {"file": file, **values}


def _furnace(furnace: Furnace) -> str:
    outlet = "exhaust" if furnace.exhaust else "no exhaust"
    washed = "scrubber" if furnace.scrubber else "no scrubber"
    return (
        f"to {furnace.max_temperature_C:g} C, {furnace.places} at once, {furnace.min_ramp_C_per_min:g} to "
        f"{furnace.max_ramp_C_per_min:g} C/min, {furnace.max_powder_g:g} g, {furnace.max_gas_mol:g} mol of gas; "
        f"{', '.join(sorted(furnace.atmospheres))}; {', '.join(sorted(furnace.vessels))}; {outlet}, {washed}"
    )


def _bench(bench: Bench) -> str:
    samples = "sample" if bench.places == 1 else "samples"
    return f"{', '.join(sorted(WORK[work] for work in bench.does))}; {bench.places} {samples} at once"


def _cycler(cycler: Cycler) -> str:
    channels = f"{cycler.channels} channel{'s' if cycler.channels > 1 else ''}"
    ranges = ", ".join(f"{x:g}" for x in sorted(cycler.ranges_mA))
    return f"{channels}, ranges {ranges} mA, {cycler.min_V:g} to {cycler.max_V:g} V"


def _people(laboratory: Laboratory) -> str:
    """Who may do what, and what nobody may do for lack of people."""
    if not laboratory.people:
        return "nobody listed, so any named person may approve, and any two may override"
    told = [f"{person.name} ({_may(person)})" for person in laboratory.people]
    text = ", ".join(told)
    if not any(person.may_approve for person in laboratory.people):
        text += ". Nobody may approve: every request waits"
    if sum(person.may_override for person in laboratory.people) < 2:
        text += ". An override takes two who may: nothing can be overridden"
    return text


def _may(person: Person) -> str:
    rights = {"approves": person.may_approve, "overrides": person.may_override}
    return " and ".join(word for word, given in rights.items() if given) or "looks"


def _titled(kind: str, name: str) -> str:
    return kind if name == kind else f"{kind} {name}"
