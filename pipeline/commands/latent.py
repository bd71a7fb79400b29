"""`redoxa latent`: what lies between two crystals, which known electrodes lie near one, how odd crystals are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from redoxa.data.records import plain_formula
from redoxa.pipeline.commands.app import Json
from redoxa.pipeline.commands.console import emit, note, table, watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from redoxa.pipeline.results.latent import Answer

latent_app = App(
    name="latent", help="Ask the latent space of vae: crystals between two, known neighbours, how odd crystals are."
)

Points = Annotated[int, Parameter(name=["-n", "--count"], validator=Number(gte=2, lte=200))]
Nearest = Annotated[int, Parameter(name=["-n", "--count"], validator=Number(gte=1, lte=1000))]


@latent_app.command
def interpolate(
    first: Path,
    last: Path,
    *,
    n: Points = 9,
    out: Path = Path("runs/interpolated"),
    elements: str | None = None,
    seed: int = 0,
    html: Path | None = None,
    as_json: Json = False,
) -> None:
    """Write crystals on the way from one to another into a folder, as the decoder gives them; none is relaxed.

    Args:
        first: structure file where the way begins; it holds one structure.
        last: structure file where it ends.
        n: points of the way, both ends included; where the decoder gives no sane crystal, none is written.
        out: folder to write: CIF files, samples.extxyz and samples.csv, and the page way.html.
        elements: elements that may be written, e.g. Li,Na,Fe,P,O; by default those of the two.
        seed: the same seed gives the same crystals.
        html: file for the page instead of way.html in the folder; with --json a page is written only if it is named.
    """
    from redoxa.pipeline.results.samples import samples_of as earlier
    from redoxa.pipeline.tasks.generate_options import parse_elements
    from redoxa.pipeline.tasks.latent import interpolate, samples_of

    allowed = parse_elements(elements, "--elements")
    earlier(out)  # a folder that cannot be used is refused before the work
    with watching(quiet=as_json) as watcher:
        found = interpolate(first, last, n, allowed, seed, watcher)
    samples = samples_of(found)
    if len(samples):
        samples.write(out)
    if as_json:
        files = iter(samples.frame()["file"].tolist() if len(samples) else ())
        for row in found.to_json():
            emit("latent_step", **row, path=out / next(files) if row["formula"] else None)
    else:
        rows = [_told(row) | {"atoms": row["n_atoms"]} for row in found.to_json()]
        table(
            "redoxa latent interpolate", rows, ["t", "formula", "space group", "atoms", "anomaly", "outside", "off way"]
        )
    _end(found, html, None if as_json or not len(samples) else out / "way.html", as_json)
    if not as_json and len(samples):
        note(f"{len(samples)} structures in {out}")
        note(f"next: redoxa screen {out}")


@latent_app.command
def neighbours(crystal: Path, *, n: Nearest = 10, html: Path | None = None, as_json: Json = False) -> None:
    """Find the known electrodes that lie nearest to a crystal, with the voltages of the shipped labels.

    Args:
        crystal: structure file; it holds one structure.
        n: how many.
        html: file for the page; by default runs/neighbours.html, and none with --json.
    """
    from redoxa.pipeline.tasks.latent import neighbours

    with watching(quiet=as_json) as watcher:
        found = neighbours(crystal, n, watcher)
    if as_json:
        for row in found.to_json():
            emit("latent_neighbour", **row)
    else:
        rows = [
            _told(row) | {"rank": row["rank"], "atoms": one.crystal.n_atoms, "distance": round(one.distance, 3),
                          "voltage (V)": ", ".join(f"{ion} {volts:.2f}" for ion, volts in one.voltages_V) or "none"}
            for row, one in zip(found.to_json(), found.found, strict=True)
        ]  # fmt: skip
        table("redoxa latent neighbours", rows, ["rank", "formula", "distance", "voltage (V)", "space group", "atoms"])
    _end(found, html, Path("runs/neighbours.html"), as_json)
    if not as_json:
        note("1 is the distance of a typical training crystal from the middle; voltages: CHGNet, shipped labels")
        note(f"next: redoxa screen {crystal}")


@latent_app.command
def anomalies(*files: Path, html: Path | None = None, as_json: Json = False) -> int:
    """Say how far outside what vae has seen crystals lie, the oddest first; outside means unlike the known, not wrong.

    Args:
        files: structure files with one or several structures, or folders of them.
        html: file for the page; by default runs/anomalies.html, and none with --json.
    """
    from redoxa.pipeline.tasks.latent import anomalies

    with watching(quiet=as_json) as watcher:
        found = anomalies(files, watcher)
    if as_json:
        for row in found.to_json():
            emit("anomaly", **row)
    else:
        rows = [
            _told(row) | {"file": row["file"], "atoms": row["n_atoms"], "why": row["why"]} for row in found.to_json()
        ]
        columns = ["file", "formula", "anomaly", "outside", "space group", "atoms"]
        table("redoxa latent anomalies", rows, columns + ["why"] * any(row["why"] for row in rows))
    _end(found, html, Path("runs/anomalies.html"), as_json)
    unread = [one for one in found.judged if one.crystal is None]
    for one in unread:
        note(f"redoxa: {one.why}")
    if not as_json:
        limit = found.ground.outside
        note(f"{len(found.outside)} outside: a score above {limit:g} standard deviations of the training data")
        note(f"next: redoxa screen {files[0]}")
    return 1 if unread else 0


def _told(row: Mapping[str, JsonValue]) -> dict[str, object]:
    """What all tables tell of a crystal, in their words; what cannot be judged is beyond any number."""
    formula, score = row["formula"], row.get("anomaly_score")
    words: dict[str, object] = {"formula": plain_formula(str(formula)) if formula else "none came"}
    words["space group"] = row["space_group"]
    if "t" in row:
        words["t"] = f"{row['t']:.3g}"
        words["off way"] = "" if row["off_way"] is None else f"{row['off_way']:.2f}"
    elif not formula:
        words["formula"] = "unreadable"
    words["anomaly"] = f"{score:.1f}" if score is not None else "beyond any" if formula else ""
    words["outside"] = row.get("outside")
    return words


def _end(found: Answer, html: Path | None, usual: Path | None, as_json: bool) -> None:
    """Write the page and tell the notes."""
    from redoxa.pipeline.results.latent import write_page

    for line in found.notes:
        note(line)
    place = html or (None if as_json else usual)
    if place is not None:
        note(f"page in {write_page(found, place)}")
