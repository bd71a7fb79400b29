"""Results are the same whatever instructions numpy finds: with AVX-512 its sorts order equal values differently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__ as FEATURES

ROOT = Path(__file__).parents[1]

NARROW = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
"""Features that are switched off, those of them that this processor and this numpy know."""

FINGERPRINTS = """
from data.fingerprint import fingerprint
from data.prototypes import build_crystal, load_prototypes
crystals = [p.crystal for p in load_prototypes()]
crystals += [build_crystal("P4_2/mnm", (4.593, 4.593, 2.959, 90, 90, 90), ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)])[0]]
print(json.dumps([x for c in crystals for x in fingerprint(c).vector.tolist()]))
"""


def results(code: str, disabled: str) -> list[float]:
    """What the code prints as JSON, with these features of numpy switched off."""
    env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", "import json" + code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(not FEATURES.get("AVX512F"), reason="this processor has no AVX-512, so numpy has one way to sort")
@pytest.mark.parametrize("code", [FINGERPRINTS], ids=["fingerprints"])
def test_both_ways_of_sorting_agree(code: str) -> None:
    known = " ".join(name for name in NARROW.split() if FEATURES.get(name))
    np.testing.assert_allclose(results(code, ""), results(code, known), atol=1e-7)
