"""Pages that are made when the site is built, from what the code says: commands, campaign file, properties.

A hook of mkdocs (`mkdocs.yml`). The pages are never written beside the others, so none can be out of date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts.docs.markdown import generate_markdown_docs
from mkdocs.structure.files import File, Files

from redoxa.pipeline.campaign.lookup import kinds
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.commands.app import app

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig


ROOT = Path(__file__).parents[1]
ROOMS = ("data", "generators", "screening", "robotics", "pipeline")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lay the package out for those who read its docstrings: links, as those of `make lint`."""
    package = ROOT / "build" / "types" / "redoxa"
    package.mkdir(parents=True, exist_ok=True)
    for source in (*(ROOT / "redoxa").glob("*.py"), *(ROOT / room for room in ROOMS)):
        link = package / source.name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(Path("../../..") / source.relative_to(ROOT))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {"commands": commands, "campaign_file": campaign_file, "properties": properties}
    for name, make in made.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


def commands() -> str:
    """Every command with its options, as `--help` says them."""
    start = (
        "# Command line\n\nWhat `redoxa … --help` says of each command. Exit codes and `--json`: "
        "[results](results.md).\n"
    )
    # A command alone would need a second title, and a table of contents stands beside the page.
    return start + generate_markdown_docs(app, generate_toc=False, no_root_title=True, heading_level=2)


def properties() -> str:
    """Name, unit and summary of every property, by name; those of installed packages too, since they can be named."""
    lines = [f"| `{row['name']}` | {row['unit']} | {row['summary']} |" for row in kinds("properties")]
    start = (
        "# Properties\n\nWhat limits, objectives and targets may name, in files, commands and results. "
        "How each is computed, and how sure it is: [screening](../concepts/screening.md). "
        "One of your own: [guide](../guides/property.md).\n"
    )
    return "\n".join([start, "| name | unit | what it is |", "|---|---|---|", *lines, ""])


def campaign_file() -> str:
    """Every key of a campaign file: what it takes, what it is by default, what it means."""
    schema = CampaignSpec.model_json_schema()
    start = (
        "# Campaign file\n\nA YAML file. What is left out is as it stands here. `redoxa init my.yaml` "
        "writes a commented example, `redoxa validate my.yaml` says what is wrong with yours, by line and column, and "
        "`redoxa schema` prints this as JSON schema, for editors.\n"
    )
    own = [part for name, section in _sections(schema) for part in _section(name, section, schema["$defs"])]
    return "\n".join([start, *own, ""])


def _sections(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The file itself, and each of its sections by the key under which it stands."""
    yield "", schema
    seen: set[str] = set()
    for key, value in schema["properties"].items():
        for name in _references(value):
            if name not in seen:
                seen.add(name)
                yield key, schema["$defs"][name]


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(found := value.get("$ref"), str):
            yield found.rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _section(name: str, section: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    yield f"## `{name}`\n" if name else "## The file\n"
    yield section.get("description", "").replace("\n", " ") + "\n"
    yield "| key | takes | by default | meaning |"
    yield "|---|---|---|---|"
    for key, value in section["properties"].items():
        inner = [definitions[found].get("description", "") for found in _references(value) if not name]
        meaning = value.get("description", next(iter(inner), "")).replace("\n", " ").replace("|", "\\|")
        yield f"| `{key}` | {_takes(value)} | {_default(name, key, value)} | {meaning} |"
    yield ""


def _default(section: str, key: str, value: dict[str, Any]) -> str:
    """What holds where a key is left out."""
    if not section and next(_references(value), ""):
        return f"[see below](#{key})"
    if not section and key == "name":
        return "the name of the file"  # which the reader of the file puts in
    return _short(value["default"]) if "default" in value else "(required)"


def _short(default: object) -> str:
    """A default as it would stand in YAML, in a line."""
    if default is None:
        return "none"
    return f"`{json.dumps(default, ensure_ascii=False)}`".replace("|", "\\|")


def _takes(value: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "$ref" in value:
        return "a section"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_takes(one) for one in value["anyOf"]))
    kind = {
        "array": "list", "object": "mapping", "null": "nothing", "string": "text", "boolean": "true or false",
        "integer": "whole number", "number": "number",
    }.get(value.get("type", ""), "")  # fmt: skip
    ends = [f"{word} {value[key]:g}" for key, word in BOUNDS.items() if key in value]
    return " ".join([kind, *ends])


BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
