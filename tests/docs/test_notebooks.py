"""The notebooks run from their first cell to their last, each in an empty folder, and show what they are meant to show."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


class ThisPython(AsyncKernelManager):
    """Starts the kernel of this environment, whatever others are registered on the machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
        )


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["campaign", "generate_crystals", "screen_electrodes"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "what it says is made when it runs"
    client = NotebookClient(
        notebook, timeout=600, kernel_manager_class=ThisPython, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert any("<table" in html for html in pages)
    if path.stem == "generate_crystals":
        assert sum(html.count("data:image/svg+xml") for html in pages) == 10
    else:
        assert any(html.startswith("<iframe srcdoc=") for html in pages)
    (tmp_path / "shown.html").write_text("\n<hr>\n".join(pages))
