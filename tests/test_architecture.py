"""Imports point one way, and what must be light is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "data": {"data"},
    "generators": {"generators", "data"},
    "screening": {"screening", "data"},
    "robotics": {"robotics", "data"},
    "pipeline": {"pipeline", "generators", "screening", "robotics", "data"},
}
FILES = [p for package in ALLOWED for p in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(file.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            modules = [node.module or ""]
        for module in modules:
            top = module.split(".")[0]
            if top in ALLOWED:
                assert top in ALLOWED[package], f"{file}:{node.lineno}: {package} imports {top}"


LIGHT = [
    "data.records",
    "data.lab",
    "data.store",
    "data.reference",
    "robotics",
    "robotics.base",
    "robotics.queue",
    "robotics.safety",
    "robotics.recipe",
    "robotics.simulated",
    "robotics.file_drop",
    "generators.exchange.substitution",
    "generators.exchange.template",
    "screening.settings",
    "pipeline.cli",
    "pipeline.cli_lab",
    "pipeline.cli_queue",
    "pipeline.cli_results",
    "pipeline.campaign",
    "pipeline.generate",
    "pipeline.report.build",
]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_need_neither_torch_nor_prefect(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'chgnet', 'prefect') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_unpickled() -> None:
    """Weights and data come as safetensors, parquet and JSON; unpickling runs whatever a file holds."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not {"dill", "joblib", "shelve", "marshal"} & set(names), file
                assert "pickle" not in names or names == ["UnpicklingError", "pickle"], file
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                assert safe, f"{file}:{node.lineno}: torch.load unpickles unless weights_only=True"
