"""Finding things by the names people use: campaigns in a store, kinds in the registries."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from redoxa.data.errors import BrokenKindError, InputError, suggest
from redoxa.data.registry import load, summary
from redoxa.data.storage.database import store_file, store_name
from redoxa.data.storage.rows import CampaignRow
from redoxa.data.storage.store import Store
from redoxa.generators import GENERATORS
from redoxa.generators.base import CONDITIONS, generator_class
from redoxa.generators.composition.families import FAMILIES, HAVE_FAMILIES, KIND, MODELS
from redoxa.pipeline.campaign.session import stored_spec
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.campaign.spec_file import read_spec
from redoxa.robotics import DRIVERS
from redoxa.screening import PROPERTIES
from redoxa.screening.base import property_class
from redoxa.screening.labels import label_of

if TYPE_CHECKING:
    from redoxa.generators.composition.family import StoredFamily

SHORTEST_ID = 4

REGISTRIES = {"generators": GENERATORS, "properties": PROPERTIES, "drivers": DRIVERS}


def find_campaign(where: str, name: str) -> str:
    """Id of the newest campaign with this name or id, or of the one in this campaign file.

    Raises:
        InputError: the store holds none.
    """
    rows = _campaigns(where)
    named = [row.id for row in rows if row.name == name]
    if named:
        return str(named[-1])
    if Path(name).is_file():
        spec = read_spec(Path(name))
        if spec.id in {row.id for row in rows}:
            return spec.id
        earlier = any(row.name == spec.name for row in rows)
        hint = f"`{spec.name}` names the newest that did." if earlier else f"`redoxa run {name}` starts it."
        raise InputError(f"{name}: this campaign, as the file stands now, has not run in {store_name(where)}. {hint}")
    if whole := whole_id("campaign", name, (row.id for row in rows)):
        return whole
    known = {row.name for row in rows}
    raise InputError(f"{store_name(where)}: no campaign '{name}'. {suggest(name, known)}")


def shown_as(where: str, spec: CampaignSpec) -> str:
    """What finds this campaign in the store again: its name, or its id where a newer one has the name."""
    return spec.name if find_campaign(where, spec.name) == spec.id else spec.id


def find_spec(where: str, name: str) -> CampaignSpec:
    """The campaign in a file, or else the newest in the store with this name or id.

    Raises:
        InputError: no such file, and no such campaign.
    """
    file = store_file(where)
    if not Path(name).exists() and (file is None or file.exists()):
        rows = list(reversed(_campaigns(where)))
        whole = whole_id("campaign", name, (row.id for row in rows))
        for row in rows:
            if row.name == name or row.id == whole:
                return stored_spec(where, row)
    return read_spec(Path(name))


def whole_id(what: str, given: str, ids: Iterable[str]) -> str | None:
    """The one id that starts with what is given, at least `SHORTEST_ID` characters; None where none does.

    Raises:
        InputError: several do.
    """
    ids = set(ids)
    if given in ids:
        return given
    starting = sorted(i for i in ids if i.startswith(given)) if len(given) >= SHORTEST_ID else []
    if len(starting) > 1:
        raise InputError(f"'{given}' begins {len(starting)} {what}s: {', '.join(starting[:5])}. Give more of it.")
    return starting[0] if starting else None


def _campaigns(where: str) -> list[CampaignRow]:
    store = Store.open(where, create=False)
    try:
        return store.campaigns()
    finally:
        store.close()


def kinds(what: str, abilities: bool = False) -> list[dict[str, object]]:
    """``{name, default, summary}`` of everything in a registry.

    Of properties ``unit`` and ``label`` too. With `abilities`, which takes seconds, of generators the kinds of model
    that they are made of (``models``), what they can be asked for (``conditions``), aim at (``targets``), tell
    (``likelihood``) and complete (``completes``), whether they rank answers to a formula (``ranks_formulas``), and the
    same of their ``families``.

    Raises:
        InputError: no such registry.
    """
    if what not in REGISTRIES:
        raise InputError(f"'{what}' cannot be listed. {suggest(what, REGISTRIES)}")
    singular = {"generators": "generator", "properties": "property", "drivers": "driver"}[what]
    defaults = _defaults(what)
    rows: list[dict[str, object]] = []
    for name in sorted(REGISTRIES[what]):
        row: dict[str, object] = {"name": name, "default": name in defaults}
        try:
            row |= {"summary": summary(REGISTRIES[what], singular, name), **_measure(what, name)}
            row |= _abilities(name) if what == "generators" and abilities else {}
        except BrokenKindError as error:  # the others are listed all the same
            row |= {"summary": str(error)} | ({"unit": "", "label": ""} if what == "properties" else {})
        rows.append(row)
    return rows


def _abilities(name: str) -> dict[str, object]:
    """What a generator can do; of one with families, what each of these can besides."""
    kind = generator_class(name)
    refused = getattr(kind, "cannot", {})
    found: dict[str, object] = {
        "models": list(getattr(kind, "models", ())),
        "conditions": [name for name, field in CONDITIONS.items() if field not in refused],
        "targets": sorted(kind.aims),
        "likelihood": getattr(kind, "likelihood", None),
        "completes": [] if "like" in refused else ["crystals"],
        "ranks_formulas": hasattr(kind, "predict"),
    }
    if name in HAVE_FAMILIES:
        families: dict[str, type[StoredFamily]] = {name: load(FAMILIES, KIND, name) for name in sorted(FAMILIES)}
        found["families"] = [
            {
                "name": name, "models": [MODELS.get(name, name)], "likelihood": f"log_formula, {family.kind}",
                "completes": ["formulas"], "targets": sorted(getattr(family, "aims", ())),
            }
            for name, family in families.items()
        ]  # fmt: skip
    return found


def _measure(what: str, name: str) -> dict[str, str]:
    """In which unit a property is given, and how pages call it."""
    if what != "properties":
        return {}
    kind = property_class(name)
    return {"unit": kind.unit, "label": label_of(kind).long}


def _defaults(what: str) -> set[str]:
    """What a campaign takes whose file names nothing."""
    campaign = CampaignSpec(name="default")
    return {
        "generators": {step.kind for step in campaign.generate},
        "drivers": {campaign.lab.driver},
        "properties": set(PROPERTIES),
    }[what]
