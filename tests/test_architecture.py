"""Imports point one way, and what must be light is light."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "data": {"data"},
    "generators": {"generators", "data"},
    "screening": {"screening", "data"},
    "robotics": {"robotics", "data"},
    "pipeline": {"pipeline", "generators", "screening", "robotics", "data"},
}
FILES = [p for package in ALLOWED for p in sorted((ROOT / package).rglob("*.py"))]


@cache
def nodes(file: Path) -> list[ast.AST]:
    """Every node of a file, parsed once for all tests."""
    return list(ast.walk(ast.parse(file.read_text())))


def wrong_imports(file: Path) -> Iterator[str]:
    """What this file imports against the arrows, each with its line."""
    package = file.relative_to(ROOT).parts[0]
    for node in nodes(file):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level != 0:
                yield f"{file}:{node.lineno}: relative import"
            modules = [node.module or ""]
        for module in modules:
            top, _, rest = module.partition(".")
            if top in ALLOWED:
                yield f"{file}:{node.lineno}: {module} is redoxa.{module}"
            if top == "redoxa" and rest.partition(".")[0] not in ALLOWED[package]:
                yield f"{file}:{node.lineno}: {package} imports {module}"


def test_imports_point_one_way() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in FILES} == set(ALLOWED)
    assert [wrong for file in FILES for wrong in wrong_imports(file)] == []


MODULES = {".".join(("redoxa", *f.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): f for f in FILES}


def needs() -> dict[str, set[str]]:
    """What each module imports of ours, wherever in it, and be it for types alone."""
    found: dict[str, set[str]] = {name: set() for name in MODULES}
    for name, file in MODULES.items():
        for node in nodes(file):
            if isinstance(node, ast.ImportFrom):
                named = {f"{node.module}.{alias.name}" for alias in node.names}
                found[name] |= {x if x in MODULES else str(node.module) for x in named} & set(MODULES)
    return found


def test_no_module_needs_itself_by_way_of_others() -> None:
    """Not even for its types: a circle cannot be read from its beginning."""
    TopologicalSorter(needs()).prepare()


def test_no_room_needs_itself_by_way_of_others() -> None:
    """What all rooms of a wing share lies at its root, which is no room."""
    rooms: dict[Path, set[Path]] = {}
    for name, others in needs().items():
        room = MODULES[name].parent
        if room.parent != ROOT:
            rooms.setdefault(room, set()).update(MODULES[other].parent for other in others)
    TopologicalSorter({room: others - {room} for room, others in rooms.items()}).prepare()


def test_rooms_are_not_crowded() -> None:
    rooms = Counter(file.parent.relative_to(ROOT) for file in FILES if file.name != "__init__.py")
    assert {str(room): n for room, n in rooms.items() if n > 20} == {}


def test_only_commands_print() -> None:
    """Whatever else runs may be called by a program: it tells a `Watcher`, and returns what it found."""
    for file in FILES:
        if file.parent == ROOT / "pipeline" / "commands":
            continue
        for node in nodes(file):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.startswith(("redoxa.pipeline.commands", "rich"))], f"{file}: {names}"
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "sys.stdout.write", "sys.stderr.write"), file


def test_every_folder_with_code_is_in_the_package() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {file.parent.relative_to(ROOT) for file in FILES if file.name == "__init__.py"}
    assert set(told["packages"]) == {"redoxa", *(f"redoxa.{'.'.join(folder.parts)}" for folder in found)}
    assert told["package-dir"] == {"redoxa": "redoxa"} | {f"redoxa.{room}": room for room in ALLOWED}


def test_a_users_own_files_stand_in_for_none_of_ours(tmp_path: Path) -> None:
    for name in ALLOWED:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the file of the user')\n")
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the folder of the user')\n")
    code = "import redoxa.pipeline.campaign.stages, redoxa.robotics.queue.service, redoxa.screening.funnel"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


LIGHT = [
    "redoxa.data.records",
    "redoxa.data.lab.request",
    "redoxa.data.lab.laboratory",
    "redoxa.data.storage.store",
    "redoxa.data.tables.reference",
    "redoxa.robotics",
    "redoxa.robotics.base",
    "redoxa.robotics.queue.queue",
    "redoxa.robotics.safety.check",
    "redoxa.robotics.planning.recipe",
    "redoxa.robotics.drivers.simulated",
    "redoxa.robotics.drivers.file_drop",
    "redoxa.generators.exchange.substitution",
    "redoxa.generators.exchange.template",
    "redoxa.screening.settings",
    "redoxa.pipeline.commands.app",
    "redoxa.pipeline.commands.lab",
    "redoxa.pipeline.commands.queue",
    "redoxa.pipeline.commands.results",
    "redoxa.pipeline.campaign.spec",
    "redoxa.pipeline.tasks.generate",
    "redoxa.pipeline.pages.campaign.build",
]


BRINGS_NOTHING_HEAVY = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    heavy = [m for m in ("torch", "chgnet", "prefect") if m in sys.modules]
    if heavy:
        sys.exit(f"{module} brings {', '.join(heavy)}")
"""


def test_light_modules_need_neither_torch_nor_prefect() -> None:
    """One process for all: what is missing after the last of them was brought by none."""
    done = subprocess.run(
        [sys.executable, "-c", BRINGS_NOTHING_HEAVY, *LIGHT], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_unpickled() -> None:
    """Weights and data come as safetensors, parquet and JSON; unpickling runs whatever a file holds."""
    for file in FILES:
        for node in nodes(file):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not {"dill", "joblib", "shelve", "marshal"} & set(names), file
                assert "pickle" not in names or names == ["UnpicklingError", "pickle"], file
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                assert safe, f"{file}:{node.lineno}: torch.load unpickles unless weights_only=True"
