"""Processor time: what is computed here and in children counts, waiting does not."""

from __future__ import annotations

import subprocess
import sys
import time

from redoxa.data.processor_time import processor_s

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_waiting_is_not_counted() -> None:
    before = processor_s()
    time.sleep(0.5)
    assert processor_s() - before < 0.25


def test_work_of_this_process_and_of_children_that_ended_is() -> None:
    before, end = processor_s(), time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert processor_s() - before >= 0.1
    before = processor_s()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert processor_s() - before >= 0.25
