"""Reading YAML files into pydantic models: every mistake with line and column, mistyped names with the nearest one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from redoxa.data.errors import InputError, suggest

MAX_BYTES = 1_000_000
TAGS = frozenset({"map", "seq", "str", "int", "float", "bool", "null", "timestamp"})
Location = tuple[str | int, ...]

ADVICE: Final = {
    "bool_type": "is true or false; write it without quotes",
    "float_type": "is a number; write it plainly (1000, not 1e3), without unit or quotes",
    "int_type": "is a whole number; write it plainly, without unit or quotes",
    "string_type": "is a text; put it in quotes if it looks like a number or a yes",
    "tuple_type": "is a list, one `- ` line each",
    "frozen_set_type": "is a list, one `- ` line each",
    "model_type": "is a list of `key: value` lines",
}
"""What to write instead of a value of another type, by pydantic's name of the error."""


@dataclass(frozen=True)
class Mistake:
    """Where something is wrong, what it is and what to do, and whether the key is meant and not its value."""

    where: Location
    text: str
    is_key: bool = False


@dataclass(frozen=True)
class Kind:
    """What a file should be, in words for messages.

    Attributes:
        name: e.g. ``campaign file``.
        example: what gives an example of one, as a sentence; ``{path}`` stands for the file.
    """

    name: str
    example: str


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


@dataclass(frozen=True)
class Document:
    """A file that was read: its data, and where each of them stands."""

    path: Path
    text: str
    data: dict[str, Any]
    marks: _Marks

    def refuse(self, mistakes: Iterable[Mistake]) -> None:
        """Raise an InputError that tells every mistake on a line of its own, if there is one."""
        if lines := list(dict.fromkeys(self._line(mistake) for mistake in mistakes)):
            raise InputError("\n".join(lines))

    def _line(self, mistake: Mistake) -> str:
        """One mistake as ``file:line:column: path: what is wrong. What to do``, and the line it stands on."""
        line, column = self.marks.find(mistake.where, key=mistake.is_key)
        name = _dotted(mistake.where[:-1] if mistake.is_key else mistake.where)
        snippet = self.text.splitlines()[line - 1].rstrip() if self.text.splitlines() else ""
        return f"{self.path}:{line}:{column}: {f'{name}: ' if name else ''}{mistake.text}\n    {line:>4} | {snippet}"


def read_document(path: Path, kind: Kind) -> Document:
    """Read a file; aliases, duplicate keys, custom tags and further documents are refused.

    Raises:
        InputError: it cannot be read, is no YAML, or holds anything but a mapping; with line and column where it has.
    """
    text = _read_text(path, kind)
    data, marks = _parse(text, path, kind)
    return Document(path, text, data, marks)


def mistakes_of(error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """Everything that pydantic found wrong with the data of a model."""
    return [_explained(item, model) for item in error.errors() if not _is_echo(item)]


def _is_echo(error: Any) -> bool:
    """Whether a list is called too short only because pydantic dropped what was wrong in it, and told already."""
    if error["type"] != "too_short" or not isinstance(error["input"], list):
        return False
    return len(error["input"]) >= int(error["ctx"]["min_length"])


def name_after(path: Path) -> str:
    """The name of what a file describes and gives none: the file's own, as far as a name may hold its characters."""
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).lstrip("-_.")[:80] or "campaign"


def _read_text(path: Path, kind: Kind) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes; that is no {kind.name}.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. {kind.example.format(path=path)}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give a {kind.name}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; give a YAML {kind.name}.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None


def _parse(text: str, path: Path, kind: Kind) -> tuple[dict[str, Any], _Marks]:
    """YAML to plain data and marks. Aliases, duplicate keys, custom tags and further documents are refused."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    raise _at(path, event.start_mark, "YAML aliases (*name) are not used here. Write the value out.")
            node = loader.get_single_node()
            if node is None:
                raise InputError(f"{path}:1:1: the file is empty. {kind.example.format(path=path)}")
            marks = _Marks()
            data = _build(node, (), marks, loader, path)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _at(path, mark, f"this is not valid YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: this is not valid YAML: {str(error).splitlines()[0]}") from None
    except ValueError as error:  # a date that is none, a number of thousands of digits
        raise InputError(f"{path}: holds a value that cannot be read ({error}).") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply.") from None
    if not isinstance(data, dict):
        raise InputError(
            f"{path}:1:1: a {kind.name} is a list of `key: value` lines; this holds a {type(data).__name__}."
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


def _explained(error: Any, model: type[BaseModel]) -> Mistake:
    """One pydantic error: where, what is wrong and what to do."""
    location: Location = tuple(x for x in error["loc"] if not (isinstance(x, str) and x.startswith("function-")))
    if error["type"] == "extra_forbidden":
        known = suggest(str(location[-1]), _fields(location[:-1], model))
        return Mistake(location, f"'{location[-1]}' is not a key here. {known}", is_key=True)
    if error["type"] == "missing":
        return Mistake(location, f"'{location[-1]}' is missing.", is_key=True)
    if error["type"] == "literal_error":
        expected = [x.strip("' ") for x in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return Mistake(location, f"'{error['input']}' is not possible here. {suggest(str(error['input']), expected)}")
    if error["type"] in ADVICE:
        return Mistake(location, f"{ADVICE[error['type']]} (found {_short(error['input'])})")
    given = "" if error["type"] == "value_error" else f" (found {_short(error['input'])})"
    return Mistake(location, error["msg"].removeprefix("Value error, ") + given)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(location: Sequence[str | int]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def _fields(location: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """Names of the fields of the section at a path of a model."""
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
