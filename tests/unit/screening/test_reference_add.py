"""`redoxa reference add --materials-project` against a local server that answers in the form of the public API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from ase.build import bulk
from pymatgen.core import SETTINGS

from redoxa.data.errors import InputError
from redoxa.data.structures import from_atoms, to_structure
from redoxa.screening.tables.add import add_phases, materials_project_tasks
from tests.unit.screening.test_reference_build import EmtPotential

KEY = "k" * 32
ROWS = [("mp-30", bulk("Cu", "fcc", a=3.7)), ("mp-23", bulk("Ni", "fcc", a=3.6)), ("mp-1", bulk("Fe", "bcc", a=2.8))]


class Api(BaseHTTPRequestHandler):
    """The summary endpoint, for two metals that EMT knows and one that it does not."""

    asked: list[dict[str, list[str]]] = []

    def do_GET(self) -> None:
        if self.headers["x-api-key"] != KEY:
            self.send_error(401, "No API key found in request")
            return
        self.asked.append(parse_qs(urlparse(self.path).query))
        rows = [{"material_id": name, "structure": to_structure(from_atoms(a)).as_dict()} for name, a in ROWS]
        body = json.dumps({"data": rows, "meta": {"total_doc": len(rows)}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Api]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setitem(SETTINGS, "PMG_MAPI_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    Api.asked.clear()
    yield Api
    server.shutdown()
    server.server_close()


def test_phases_near_the_hull_are_fetched_and_computed_anew(api: type[Api], tmp_path: Path) -> None:
    tasks = materials_project_tasks(["Ni", "Cu"], KEY)
    (asked,) = api.asked
    assert asked["chemsys"] == ["Ni,Cu,Cu-Ni"]
    assert asked["energy_above_hull_max"] == ["0.02"]
    merged, notes = add_phases([], tmp_path / "user.parquet", EmtPotential(), tasks=tasks)
    assert {(e.formula, e.name, e.kind) for e in merged} == {("Cu", "mp-30", "relaxed"), ("Ni", "mp-23", "relaxed")}
    assert len(notes) == 1
    assert notes[0].startswith("set aside: mp-1 Fe:")


def test_a_refused_key_is_explained_and_not_shown(api: type[Api]) -> None:
    wrong = "s3cret" * 5 + "xy"
    with pytest.raises(InputError, match=r"cannot be asked.*401.*MP_API_KEY") as caught:
        materials_project_tasks(["Ni"], wrong)
    assert wrong not in str(caught.value)


def test_a_short_key_is_refused_before_the_network(api: type[Api]) -> None:
    with pytest.raises(InputError, match="API key"):
        materials_project_tasks(["Ni"], "short")
    assert not api.asked
