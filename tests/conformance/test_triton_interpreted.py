"""Our Triton kernels, checked in Triton's interpreter, which needs a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from . import cases

SCRIPT = Path(__file__).with_name("interpreted.py")
UNTIMED = "runs in Triton's interpreter, whose time means nothing"


@pytest.mark.parametrize("together", cases.INTERPRETED_TOGETHER, ids=lambda together: "+".join(together))
def test_small_cases_pass_untimed(together):
    pytest.importorskip("triton", reason="Triton is not installed")
    names = [f"{operator}/{case_id}" for operator, case_ids in together.items() for case_id in case_ids]
    done = subprocess.run([sys.executable, str(SCRIPT), *names], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["case"] for one in found] == names
    for one in found:
        assert (one["outcome"], one["reason"]) == ("passed", None), one["case"]
        assert one["untimed"] == UNTIMED
        assert "warps" in one["configuration"]
