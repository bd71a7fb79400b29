"""What is built for others: a source distribution, and a wheel made of it that works without the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.campaign.conftest import TINY

ROOT = Path(__file__).parents[1]
ROOMS = ("data", "generators", "screening", "robotics", "pipeline")
BUILD = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Made of the source distribution alone, as pip does it."""
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    source = sdist.parent / sdist.name.removesuffix(".tar.gz")
    made = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(sdist.parent)]
    subprocess.run([*made, str(source)], check=True, capture_output=True)
    (found,) = sdist.parent.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment of its own, outside the checkout: the wheel, and the packages that it depends on."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))  # an editable install there is not followed
    return python


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"redoxa"}
    held = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, check=True, capture_output=True, text=True)
    assert {f"redoxa/{name}" for name in held.stdout.split()} <= set(names)


def test_it_works_in_an_environment_of_its_own(python: Path, tmp_path: Path) -> None:
    def run(*args: str) -> str:
        done = subprocess.run([str(python), *args], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import redoxa, redoxa.data; print(redoxa.__file__, redoxa.data.__file__)")
    assert where.count(str(python.parents[1])) == 2
    run("-m", "redoxa", "init", "my.yaml")
    assert json.loads(run("-m", "redoxa", "validate", "my.yaml", "--json"))["good"]
    code = "import redoxa; print(len(redoxa.generate(2, generator='substitution', elements='Li,Fe,O', require='Li')))"
    assert run("-c", code).strip() == "2"
    (tmp_path / "tiny.yaml").write_text(TINY.read_text())
    summary = json.loads(run("-m", "redoxa", "run", "tiny.yaml", "--rounds", "1", "--json"))
    assert summary["counts"]["candidates"] == 14
    assert Path(tmp_path / summary["report"]).stat().st_size > 100_000
