"""Finding things by the names people use: campaigns in a store, kinds in the registries."""

from __future__ import annotations

import inspect

from data.database import store_url
from data.errors import InputError, suggest
from data.registry import load
from data.store import Store
from generators import GENERATORS
from pipeline.campaign import CampaignSpec
from robotics import DRIVERS
from screening import PROPERTIES

REGISTRIES = {"generators": GENERATORS, "properties": PROPERTIES, "drivers": DRIVERS}


def find_campaign(where: str, name: str) -> str:
    """Id of the newest campaign with this name or id.

    Raises:
        InputError: the store holds none.
    """
    store = Store.open(where, create=False)
    rows = store.campaigns()
    store.close()
    matching = [row["id"] for row in rows if name in (row["name"], row["id"])]
    if not matching:
        raise InputError(f"{store_url(where)}: no campaign '{name}'. {suggest(name, {row['name'] for row in rows})}")
    return str(matching[-1])


def kinds(what: str) -> list[dict[str, object]]:
    """``{name, default, summary}`` of everything in a registry.

    Raises:
        InputError: no such registry.
    """
    if what not in REGISTRIES:
        raise InputError(f"'{what}' cannot be listed. {suggest(what, REGISTRIES)}")
    singular = {"generators": "generator", "properties": "property", "drivers": "driver"}[what]
    defaults = _defaults(what)
    rows: list[dict[str, object]] = []
    for name in sorted(REGISTRIES[what]):
        kind = load(REGISTRIES[what], singular, name)
        summary = getattr(kind, "summary", None) or (inspect.getdoc(kind) or "").split("\n")[0]
        rows.append({"name": name, "default": name in defaults, "summary": summary})
    return rows


def _defaults(what: str) -> set[str]:
    """What a campaign takes whose file names nothing."""
    campaign = CampaignSpec(name="default")
    return {
        "generators": {step.kind for step in campaign.generate},
        "drivers": {campaign.lab.driver},
        "properties": set(PROPERTIES),
    }[what]
