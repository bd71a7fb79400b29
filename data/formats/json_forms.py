"""Crystals in JSON: pymatgen structures and entries, Materials Project documents, OPTIMADE structures, lists of these.

Only plain numbers and names are taken out. The decoders of pymatgen and monty are not used: they import and call
whatever class a file names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from redoxa.data.errors import StructureError
from redoxa.data.formats.found import (
    Outcome,
    Reading,
    Remarks,
    crystal,
    disordered,
    element,
    few_atoms,
    lattice_of,
    periodic,
    whole,
)  # fmt: skip
from redoxa.data.records import Crystal

FloatArray = npt.NDArray[np.float64]

HOLDERS: Final = ("structure", "attributes", "data", "entries", "structures")
"""Keys under which documents keep their structures."""

IDENTIFIERS: Final = ("material_id", "entry_id", "task_id", "id")

DEEPEST: Final = 6


def read_json(text: str) -> list[Outcome]:
    """Every structure of a JSON text, in order.

    Raises:
        StructureError: it is no JSON, or holds no structure.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise StructureError(f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError):
        raise StructureError("is not JSON of structures: it is nested too deep, or holds endless numbers") from None
    return read_document(value)


def read_document(value: Any) -> list[Outcome]:
    """Every structure of a value that was JSON, in order.

    Raises:
        StructureError: it holds none.
    """
    found = [_read(form, label) for form, label in _forms(value, "", 0)]
    if not found:
        raise StructureError(
            "holds no structure; readable are pymatgen's structures and entries, documents of the Materials Project, "
            "OPTIMADE structures, and lists of these"
        )
    return found


def _forms(value: Any, label: str, depth: int) -> Iterator[tuple[dict[str, Any] | StructureError, str]]:
    """Every object that looks like a structure, and its name; in lists, an error in the place of what does not."""
    if depth > DEEPEST:
        return
    if isinstance(value, list):
        for i, item in enumerate(value):
            found = list(_forms(item, "", depth + 1))
            yield from found or [(StructureError(f"entry {i + 1} of the list holds no structure"), "")]
    elif isinstance(value, dict):
        name = next((str(value[key]) for key in IDENTIFIERS if value.get(key)), label)
        if "sites" in value or "cartesian_site_positions" in value:
            yield value, name
            return
        for key in HOLDERS:
            if isinstance(value.get(key), dict | list):
                yield from _forms(value[key], name, depth + 1)
                return


def _read(form: dict[str, Any] | StructureError, label: str) -> Outcome:
    if isinstance(form, StructureError):
        return form
    remarks = Remarks()
    try:
        made = _structure(form, remarks) if "sites" in form else _optimade(form, remarks)
        return Reading("", made, remarks.all, label)
    except StructureError as error:
        return error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError) as error:
        kind = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) and error.args else str(error)[:200]
        return StructureError(f"cannot be read as a structure: {kind}")


def _structure(form: Mapping[str, Any], remarks: Remarks) -> Crystal:
    """A structure as pymatgen writes it."""
    if "lattice" not in form:
        raise StructureError("is a molecule: it has sites and no lattice")
    lattice = form["lattice"]
    periodic(lattice.get("pbc", (True, True, True)))
    sites = form["sites"]
    few_atoms(len(sites))
    if "matrix" in lattice:
        matrix = _floats(lattice["matrix"], (3, 3))
    else:
        lengths, angles = ([float(lattice[k]) for k in keys] for keys in (("a", "b", "c"), ("alpha", "beta", "gamma")))
        matrix = np.array(lattice_of(lengths, angles))
    numbers, places, ordered = [], [], True
    for i, site in enumerate(sites):
        where = f"site {i + 1}"
        species = [(element(str(s["element"]), where, remarks), float(s.get("occu", 1.0))) for s in site["species"]]
        ordered &= len({z for z, _ in species}) == 1 and whole(sum(x for _, x in species), str(i + 1), remarks)
        numbers.append(species[0][0])
        places.append(_floats(site["abc"], (3,)) if "abc" in site else _inside(site["xyz"], matrix))
    if not ordered:
        raise disordered("the structure")
    return crystal(numbers, np.array(places).reshape(-1, 3).tolist(), matrix.tolist())


def _optimade(form: Mapping[str, Any], remarks: Remarks) -> Crystal:
    """A structure as the OPTIMADE specification (1.2) has it."""
    periodic(form.get("dimension_types") or (1, 1, 1))
    features: Sequence[str] = form.get("structure_features") or ()
    if "implicit_atoms" in features or "site_attachments" in features:
        raise StructureError("has atoms without positions (structure_features), which would be lost")
    species = {s["name"]: s for s in form["species"]}
    names = form["species_at_sites"]
    few_atoms(len(names))
    matrix = _floats(form["lattice_vectors"], (3, 3))
    numbers, ordered = [], "disorder" not in features
    for i, name in enumerate(names):
        kind = species[name]
        if kind.get("attached"):
            raise StructureError(f"species {name} has attached atoms without positions, which would be lost")
        symbols, shares = kind["chemical_symbols"], kind.get("concentration") or [1.0]
        ordered &= len(symbols) == 1 and whole(float(shares[0]), name, remarks)
        numbers.append(element(symbols[0], f"site {i + 1}", remarks) if ordered else 1)
    if not ordered:
        raise disordered("the structure")
    places = [_inside(place, matrix) for place in form["cartesian_site_positions"]]
    if len(places) != len(numbers):
        raise StructureError(f"has {len(numbers)} species, but {len(places)} positions")
    return crystal(numbers, np.array(places).reshape(-1, 3).tolist(), matrix.tolist())


def _floats(value: Any, shape: tuple[int, ...]) -> FloatArray:
    found = np.array(value, dtype=float)
    if found.shape != shape or not np.isfinite(found).all():
        raise StructureError(f"holds something else than {' x '.join(map(str, shape))} finite numbers")
    return found


def _inside(place_A: Any, matrix: FloatArray) -> FloatArray:
    """Fractional coordinates of a Cartesian position."""
    if abs(float(np.linalg.det(matrix))) < 1e-6:
        raise StructureError("the cell has no volume")
    return np.asarray(_floats(place_A, (3,)) @ np.linalg.inv(matrix))
