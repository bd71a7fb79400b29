"""`redoxa latent`: what lies between two crystals, which known electrodes lie near one, how odd crystals are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from ase.data import chemical_symbols

from redoxa.data.errors import InputError, StructureError
from redoxa.data.progress import SILENT, Watcher
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.structures import primitive
from redoxa.generators.base import Predicted
from redoxa.generators.vae.checkpoint import load_vae
from redoxa.generators.vae.explore import (
    FAITHFUL,
    Stop,
    encoded,
    labelled_electrodes,
    stops_between,
    typical_distance,
)
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.latent import OUTSIDE, LatentSpace
from redoxa.generators.vae.latent_map import LARGEST, LatentMap, load_map
from redoxa.pipeline.pages.kit.latent_model import (
    Anomalies,
    Ground,
    Interpolation,
    Judged,
    Neighbour,
    Neighbours,
    Place,
    Step,
)
from redoxa.pipeline.results.samples import Samples
from redoxa.pipeline.tasks.screen import Given, readings

BATCH = 16
"""Crystals that are judged between two words on how far it is."""

STRANGE = "no symmetric form can be written of it, so that it lies outside the known whatever its vector says"


def interpolate(
    first: Given,
    last: Given,
    n: int = 9,
    elements: frozenset[int] = frozenset(),
    seed: int = 0,
    watcher: Watcher = SILENT,
) -> Interpolation:
    """Crystals on the way from one to another through the latent space, as its decoder writes them; none is relaxed.

    Args:
        first: a file that holds one structure, or a structure.
        last: likewise.
        n: points of the way, both ends included.
        elements: atomic numbers that may be written; by default those of the two.
        seed: the same seed gives the same crystals.
        watcher: is told how far it is.

    Raises:
        InputError: a structure cannot be used, or there are fewer than two points.
    """
    if n < 2:
        raise InputError(f"-n {n}: a way has two ends; name 2 points or more")
    ends = _one(first, 1), _one(last, 2)
    generator = VaeGenerator(settings=FAITHFUL)
    space, shown = generator.space, _map()
    _refuse_unknown(space, ends)
    crystals = _crystal(ends[0]), _crystal(ends[1])
    allowed = elements or frozenset((*crystals[0].numbers, *crystals[1].numbers))
    step = watcher.step("interpolate")
    step(0, n)
    stops = stops_between(generator, crystals, n, allowed, np.random.default_rng(seed))
    step(n, n)
    judged = _judged(space, shown, ends)
    steps = tuple(_step(space, shown, stop) for stop in stops)
    kinds = ", ".join(chemical_symbols[z] for z in sorted(allowed))
    own = "" if elements else ", those of the two crystals (--elements allows others)"
    notes = [*_sizes(judged), f"elements that may be written: {kinds}{own}", "the crystals are as written, not relaxed"]
    found = Interpolation(judged[0], judged[1], steps, _ground(shown), seed, tuple(notes))
    if found.missing:
        where = ", ".join(f"{t:.3g}" for t in found.missing)
        found = replace(found, notes=(*notes, f"no sane crystal came at t = {where}: there is a gap"))
    return found


def neighbours(crystal: Given, n: int = 10, watcher: Watcher = SILENT) -> Neighbours:
    """The known electrodes nearest to a crystal in the latent space, by what the shipped labels say of them.

    Args:
        crystal: a file that holds one structure, or a structure.
        n: how many; all where there are fewer.
        watcher: is told how far it is.

    Raises:
        InputError: the structure cannot be used.
    """
    given = _one(crystal, 1)
    space, shown = _space(), _map()
    _refuse_unknown(space, [given])
    step = watcher.step("known electrodes")
    known = labelled_electrodes()
    step(0, len(known))
    library = encoded(space, [one.crystal for one in known])
    step(len(known), len(known))
    apart, rows = space.neighbours(space.encode([_crystal(given)]), library, min(n, len(known)))
    places, unit = _places(shown, library[rows[0]]), typical_distance(space)
    found = tuple(
        Neighbour(known[row].crystal, distance / unit, place, tuple(sorted(known[row].voltages_V.items())))
        for row, distance, place in zip(rows[0].tolist(), apart[0].tolist(), places, strict=True)
    )
    (query,) = _judged(space, shown, [given])
    notes = (*_sizes([query]), "voltages are CHGNet's, as computed, without the correction that a screening applies")
    return Neighbours(query, found, len(known), _ground(shown), notes)


def anomalies(given: Iterable[Given], watcher: Watcher = SILENT) -> Anomalies:
    """How far outside what the network has seen crystals lie, the oddest first.

    Args:
        given: files, folders of them, or structures; a file may hold several.
        watcher: is told how far it is.

    Raises:
        InputError: nothing was given, or nothing of it can be read.
    """
    read = [one for nth, each in enumerate(given, 1) for one in _readable(each, nth)]
    if not read:
        raise InputError("name at least one structure file")
    usable = [one for one in read if one.crystal is not None]
    if not usable:
        raise InputError("\n".join(one.why for one in read))
    space, shown = _space(), _map()
    step, judged = watcher.step("anomalies"), list[Judged]()
    for first in range(0, len(usable), BATCH):
        judged += _judged(space, shown, usable[first : first + BATCH])
        step(len(judged), len(usable))
    ordered = sorted(judged, key=lambda one: (-one.score, one.name))
    unread = (one for one in read if one.crystal is None)
    return Anomalies((*ordered, *unread), _ground(shown), tuple(_sizes(judged)))


def samples_of(found: Interpolation) -> Samples:
    """The crystals of a way, to be written as those of a generator are: CIF files and tables."""
    made = [
        Predicted(
            step.crystal, f"t = {step.t:.3g}", {"t": step.t, "anomaly_score": step.score, "off_way": step.off_way}
        )
        for step in found.steps
        if step.crystal is not None
    ]
    sha256 = sha256_of(shipped("vae.safetensors"))
    return Samples(made, generator="vae", seed=found.seed, checkpoint_sha256=sha256, notes=found.notes)


def _space() -> LatentSpace:
    return LatentSpace(load_vae(shipped("vae.safetensors")))


def _map() -> LatentMap:
    found = load_map(shipped("latent_map.safetensors"))
    if found.checkpoint_sha256 != sha256_of(shipped("vae.safetensors")):
        raise InputError("the map is of other weights of vae; make it again with `redoxa reference latent-map`")
    return found


def _ground(shown: LatentMap) -> Ground:
    return Ground(tuple((x, y) for x, y in shown.known.tolist()), shown.share, OUTSIDE)


def _places(shown: LatentMap, latent: torch.Tensor) -> list[Place]:
    return [(x, y) for x, y in shown.plane(latent).tolist()]


def _readable(one: Given, nth: int) -> list[Judged]:
    """The primitive cell of each structure, or why there is none."""
    found = []
    for name, outcome in readings(one, nth):
        if isinstance(outcome, StructureError):
            found.append(Judged(name, None, why=str(outcome)))
        else:
            found.append(Judged(name, primitive(outcome.crystal), remarks=outcome.remarks))
    return found


def _one(given: Given, nth: int) -> Judged:
    """The one structure of what was given.

    Raises:
        StructureError: it cannot be read, or there are several.
    """
    found = _readable(given, nth)
    if len(found) > 1:
        raise StructureError(f"{given}: holds {len(found)} structures, and one is needed; give it a file of its own")
    if found[0].crystal is None:
        raise StructureError(found[0].why)
    return found[0]


def _crystal(one: Judged) -> Crystal:
    if one.crystal is None:
        raise StructureError(one.why)
    return one.crystal


def _unknown(space: LatentSpace, crystal: Crystal) -> list[str]:
    """Elements of a crystal that the network has not learned."""
    known = set(torch.nonzero(space.network.decoder.known).flatten().tolist())
    return [chemical_symbols[z] for z in sorted(set(crystal.numbers) - known)]


def _refuse_unknown(space: LatentSpace, given: Iterable[Judged]) -> None:
    for one in given:
        if missing := _unknown(space, _crystal(one)):
            raise StructureError(
                f"{one.name}: holds {', '.join(missing)}, which vae has not learned, so that it has no place in its "
                "space; exchange these elements, or train weights on crystals that hold them (`redoxa train`)"
            )


def _judged(space: LatentSpace, shown: LatentMap, given: Sequence[Judged]) -> list[Judged]:
    """Crystals with their places and scores; those with unknown elements are infinitely odd and have no place."""
    found = {}
    for one in given:
        if missing := _unknown(space, _crystal(one)):
            found[id(one)] = replace(one, why=f"holds {', '.join(missing)}, which vae has not learned")
    rest = [one for one in given if id(one) not in found]
    crystals = [_crystal(one) for one in rest]
    places = _places(shown, space.encode(crystals))
    for one, place, odd in zip(rest, places, space.anomalies(crystals), strict=True):
        found[id(one)] = replace(
            one,
            place=place,
            score=odd.score,
            distance=odd.distance,
            excess_nats=odd.nats,
            why="" if math.isfinite(odd.score) else STRANGE,
        )
    return [found[id(one)] for one in given]


def _step(space: LatentSpace, shown: LatentMap, stop: Stop) -> Step:
    (at,) = _places(shown, stop.vector[None])
    if stop.crystal is None:
        return Step(stop.t, at)
    (place,) = _places(shown, space.encode([stop.crystal]))
    (odd,) = space.anomalies([stop.crystal])
    return Step(stop.t, at, stop.crystal, place, stop.off_way, odd.score)


def _sizes(given: Iterable[Judged]) -> list[str]:
    """What was assumed of files, and which crystals are larger than any that the network has learned."""
    given = list(given)
    notes = [f"{one.name}: {remark}" for one in given for remark in one.remarks]
    sizes = ((one.name, one.crystal.n_atoms) for one in given if one.crystal is not None)
    return notes + [
        f"{name}: {atoms} atoms in the primitive cell; vae has learned {LARGEST} at most: a guess"
        for name, atoms in sizes
        if atoms > LARGEST
    ]
