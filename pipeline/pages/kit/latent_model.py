"""What was asked of the latent space of `vae` and what it answered, as plain records for programs and for pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from redoxa.data.fingerprint import spacegroup
from redoxa.data.records import Crystal

if TYPE_CHECKING:
    import pandas as pd

Place = tuple[float, float]
"""On the map: along the two main directions of known electrodes, without unit."""

VOLTAGE_SOURCE = "CHGNet, shipped labels of templates (redoxa reference electrodes)"


@dataclass(frozen=True)
class Ground:
    """The map behind the answers.

    Attributes:
        known: places of known electrodes.
        share: of their variance that the plane shows.
        outside: anomaly score above which a crystal lies outside what the network has seen.
    """

    known: tuple[Place, ...]
    share: float
    outside: float


@dataclass(frozen=True)
class Judged:
    """A crystal, and how far outside the known it lies.

    Attributes:
        name: its file, or what else it is called.
        crystal: its primitive cell; None where it could not be read.
        place: on the map; None where it has none.
        score: in standard deviations of the training data; infinite where it cannot be written at all.
        distance: from the middle of the training data over that of a typical crystal of them.
        excess_nats: of its negative log-likelihood over the usual, in standard deviations of the training data.
        why: what is wrong with it: unreadable, or infinitely odd; empty otherwise.
        remarks: what its reader had to assume.
    """

    name: str
    crystal: Crystal | None
    place: Place | None = None
    score: float = math.inf
    distance: float = math.nan
    excess_nats: float = math.inf
    why: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def space_group(self) -> int | None:
        """International number at 0.01 Angstrom; None without a crystal."""
        return space_group(self.crystal)

    def row(self, outside: float) -> dict[str, JsonValue]:
        """One flat row; what does not exist is None."""
        return {
            "file": self.name,
            "formula": self.crystal.formula if self.crystal else None,
            "space_group": self.space_group,
            "n_atoms": self.crystal.n_atoms if self.crystal else None,
            "anomaly_score": finite(self.score),
            "outside": None if self.crystal is None else self.score > outside,
            "distance": finite(self.distance),
            "excess_nats": finite(self.excess_nats),
            "why": self.why,
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True)
class Step:
    """A point of the way between two crystals.

    Attributes:
        t: share of the way, 0 to 1.
        at: the point on the map.
        crystal: what was written there, not relaxed; None where nothing came.
        place: of the crystal, read again; None without one.
        off_way: how far it lies from the point, in distances of a typical training crystal from the middle.
        score: anomaly score.
    """

    t: float
    at: Place
    crystal: Crystal | None = None
    place: Place | None = None
    off_way: float = math.nan
    score: float = math.inf

    def row(self, outside: float) -> dict[str, JsonValue]:
        """One flat row; what does not exist is None."""
        return {
            "t": self.t,
            "formula": self.crystal.formula if self.crystal else None,
            "space_group": space_group(self.crystal),
            "n_atoms": self.crystal.n_atoms if self.crystal else None,
            "anomaly_score": finite(self.score),
            "outside": None if self.crystal is None else self.score > outside,
            "off_way": finite(self.off_way),
        }


@dataclass(frozen=True)
class Neighbour:
    """A known electrode near a crystal.

    Attributes:
        crystal: with its ions, primitive.
        distance: in distances of a typical training crystal from the middle.
        place: on the map.
        voltages_V: ion and voltage by the shipped labels, from `VOLTAGE_SOURCE`; empty where none is plausible.
    """

    crystal: Crystal
    distance: float
    place: Place
    voltages_V: tuple[tuple[str, float], ...]

    def row(self) -> dict[str, JsonValue]:
        """One flat row."""
        voltages: list[JsonValue] = [
            {"ion": ion, "value": round(volts, 4), "unit": "V", "source": VOLTAGE_SOURCE}
            for ion, volts in self.voltages_V
        ]
        return {
            "formula": self.crystal.formula,
            "space_group": space_group(self.crystal),
            "n_atoms": self.crystal.n_atoms,
            "distance": self.distance,
            "voltages": voltages,
        }


@dataclass(frozen=True)
class Interpolation:
    """Crystals on the way from one to another.

    Attributes:
        first: where it begins.
        last: where it ends.
        steps: points in order, ends included.
        ground: the map behind.
        seed: the same seed gives the same crystals.
        notes: what was assumed, and what a reader should know.
    """

    first: Judged
    last: Judged
    steps: tuple[Step, ...]
    ground: Ground
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[float, ...]:
        """Where nothing came, as t."""
        return tuple(step.t for step in self.steps if step.crystal is None)

    def to_json(self) -> list[dict[str, JsonValue]]:
        """One object a point, as of `--json`."""
        return [step.row(self.ground.outside) for step in self.steps]

    def frame(self) -> pd.DataFrame:
        """One row a point."""
        return _frame(self.to_json())


@dataclass(frozen=True)
class Neighbours:
    """The known electrodes nearest to a crystal, the nearest first.

    Attributes:
        query: the crystal.
        found: electrodes.
        library: how many were looked through.
        ground: the map behind.
        notes: as of `Interpolation`.
    """

    query: Judged
    found: tuple[Neighbour, ...]
    library: int
    ground: Ground
    notes: tuple[str, ...] = ()

    def to_json(self) -> list[dict[str, JsonValue]]:
        """One object an electrode, as of `--json`."""
        return [{"file": self.query.name, "rank": i, **one.row()} for i, one in enumerate(self.found, 1)]

    def frame(self) -> pd.DataFrame:
        """One row an electrode."""
        return _frame(self.to_json())


@dataclass(frozen=True)
class Anomalies:
    """How far outside the known crystals lie, the oddest first; what could not be read comes last.

    Attributes:
        judged: crystals.
        ground: the map behind.
        notes: as of `Interpolation`.
    """

    judged: tuple[Judged, ...]
    ground: Ground
    notes: tuple[str, ...] = ()

    @property
    def outside(self) -> tuple[Judged, ...]:
        """Those outside what the network has seen."""
        return tuple(one for one in self.judged if one.crystal is not None and one.score > self.ground.outside)

    def to_json(self) -> list[dict[str, JsonValue]]:
        """One object a crystal, as of `--json`."""
        return [{**one.row(self.ground.outside), "limit": self.ground.outside} for one in self.judged]

    def frame(self) -> pd.DataFrame:
        """One row a crystal."""
        return _frame(self.to_json())


def space_group(crystal: Crystal | None) -> int | None:
    """International number at 0.01 Angstrom; None without a crystal."""
    return None if crystal is None else spacegroup(crystal, 0.01) or 1


def finite(value: float) -> float | None:
    """The number, or None where there is none."""
    return value if math.isfinite(value) else None


def _frame(rows: Sequence[dict[str, JsonValue]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows))
