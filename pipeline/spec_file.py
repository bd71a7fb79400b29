"""Reading campaign files: YAML with the line and column of every mistake, and a suggestion where a name is mistyped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from data.errors import InputError, suggest
from pipeline.campaign import CampaignSpec
from pipeline.contradictions import contradictions

MAX_BYTES = 1_000_000
TAGS = frozenset({"map", "seq", "str", "int", "float", "bool", "null", "timestamp"})
Location = tuple[str | int, ...]


@dataclass
class _Marks:
    """Line and column (from 1) of every key and value by its path."""

    keys: dict[Location, tuple[int, int]] = field(default_factory=dict)
    values: dict[Location, tuple[int, int]] = field(default_factory=dict)

    def find(self, path: Location, *, key: bool) -> tuple[int, int]:
        """Position of a path, or of its nearest parent that stands in the file."""
        for end in range(len(path), -1, -1):
            for table in (self.keys, self.values) if key else (self.values, self.keys):
                if path[:end] in table:
                    return table[path[:end]]
        return (1, 1)


def read_spec(path: Path) -> CampaignSpec:
    """Read and validate a campaign file.

    Raises:
        InputError: one message with every mistake on a line of its own, each as ``file:line:column: what. What to do``.
    """
    text = _read_text(path)
    data, marks = _parse(text, path)
    if isinstance(data, dict):
        data.setdefault("name", name_after(path))
    try:
        spec = CampaignSpec.model_validate(data)
    except ValidationError as error:
        found = [_explained(item) for item in error.errors()]
    else:
        found = [(where, False, text) for where, text in contradictions(spec)]
    if found:
        raise InputError("\n".join(dict.fromkeys(_line(*x, marks, path, text) for x in found)))
    return spec


def name_after(path: Path) -> str:
    """The name of a campaign whose file gives none: the file's own, as far as a name may hold its characters."""
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).lstrip("-_.")[:80] or "campaign"


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes; that is no campaign file.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. `redoxa init {path}` writes an example there.") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give a campaign file.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; give a YAML campaign file.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None


def _parse(text: str, path: Path) -> tuple[Any, _Marks]:
    """YAML to plain data and marks. Aliases, duplicate keys, custom tags and further documents are refused."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    raise _at(path, event.start_mark, "YAML aliases (*name) are not used here. Write the value out.")
            node = loader.get_single_node()
            if node is None:
                raise InputError(f"{path}:1:1: the file is empty. `redoxa init` writes an example.")
            marks = _Marks()
            data = _build(node, (), marks, loader, path)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _at(path, mark, f"this is not valid YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: this is not valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply.") from None
    if not isinstance(data, dict):
        raise InputError(
            f"{path}:1:1: a campaign file is a list of `key: value` lines; this holds a {type(data).__name__}."
        )
    return data, marks


def _at(path: Path, mark: Any, text: str) -> InputError:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    return InputError(f"{path}:{line}:{column}: {text}")


def _build(node: yaml.Node, where: Location, marks: _Marks, loader: yaml.SafeLoader, path: Path) -> Any:
    marks.values[where] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if node.tag.removeprefix("tag:yaml.org,2002:") not in TAGS:
        raise _at(path, node.start_mark, f"the tag {node.tag} is not used here. Write plain values.")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node)) if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in result:
                raise _at(path, key_node.start_mark, f"'{key}' stands here a second time. Keep one of them.")
            marks.keys[(*where, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            result[key] = _build(value_node, (*where, key), marks, loader, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*where, i), marks, loader, path) for i, child in enumerate(node.value)]
    return loader.construct_object(node)


def _explained(error: Any) -> tuple[Location, bool, str]:
    """One pydantic error: where, whether its key is meant and not its value, and what is wrong and what to do."""
    location: Location = tuple(x for x in error["loc"] if not (isinstance(x, str) and x.startswith("function-")))
    if error["type"] == "extra_forbidden":
        known = suggest(str(location[-1]), _fields(location[:-1]))
        return location, True, f"'{location[-1]}' is not a key here. {known}"
    if error["type"] == "missing":
        return location, True, f"'{location[-1]}' is missing."
    if error["type"] == "literal_error":
        expected = [x.strip("' ") for x in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return location, False, f"'{error['input']}' is not possible here. {suggest(str(error['input']), expected)}"
    given = "" if error["type"] == "value_error" else f" (found {_short(error['input'])})"
    return location, False, error["msg"].removeprefix("Value error, ") + given


def _line(location: Location, is_key: bool, message: str, marks: _Marks, path: Path, text: str) -> str:
    """One mistake as ``file:line:column: path: what is wrong. What to do``, and the line it stands on."""
    line, column = marks.find(location, key=is_key)
    name = _dotted(location[:-1] if is_key else location)
    snippet = text.splitlines()[line - 1].rstrip() if text.splitlines() else ""
    return f"{path}:{line}:{column}: {f'{name}: ' if name else ''}{message}\n    {line:>4} | {snippet}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(location: Sequence[str | int]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def _fields(location: Sequence[str | int]) -> list[str]:
    """Names of the fields of the section at a path of the spec."""
    model: type[BaseModel] = CampaignSpec
    for part in location:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        inner = _model_in(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg)) is not None), None)
