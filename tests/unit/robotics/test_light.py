"""The machine beside the robot is small: working a queue needs neither torch nor pymatgen nor Prefect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
from pathlib import Path
from redoxa.data.storage.database import open_engine
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics.queue.queue import ApprovalPolicy, LabQueue
from redoxa.robotics.queue.service import run_queue
from redoxa.robotics.drivers.simulated import SimulatedLab
import redoxa.robotics.contract, redoxa.robotics.drivers.file_drop, redoxa.robotics.planning.recipe
folder = Path(sys.argv[1])
queue = LabQueue(open_engine(folder / "redoxa.db"))
request = ExperimentRequest.model_validate_json((folder / "request.json").read_text())
queue.propose(request)
queue.apply_policy(ApprovalPolicy.AUTO)
report = run_queue(queue, SimulatedLab(SimulatedLab.Config(), folder / "lab"))
heavy = sorted({"torch", "pymatgen", "prefect", "pandas", "chgnet"} & set(sys.modules))
print(json.dumps({"measured": len(report.measured), "heavy": heavy}))
"""


def test_a_request_goes_all_the_way_without_heavy_imports(tmp_path: Path) -> None:
    from tests.unit.robotics.samples import make_request

    (tmp_path / "request.json").write_text(make_request("LiFePO4").model_dump_json())
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"measured": 1, "heavy": []}
    assert done.stderr == ""
