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


@pytest.mark.parametrize(
    ("operator", "case_ids"),
    [
        ("attention", cases.INTERPRETED),
        ("attention_backward", cases.INTERPRETED),
        ("decode_attention", cases.DECODE_INTERPRETED[0::2]),
        ("decode_attention", cases.DECODE_INTERPRETED[1::2]),
        ("kv_append", cases.APPEND_INTERPRETED),
    ],
)
def test_small_cases_pass_untimed(operator, case_ids):
    pytest.importorskip("triton", reason="Triton is not installed")
    command = [sys.executable, str(SCRIPT), operator, *case_ids]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["case"] for one in found] == list(case_ids)
    for one in found:
        assert (one["outcome"], one["reason"]) == ("passed", None), one["case"]
        assert one["untimed"] == UNTIMED
        assert operator == "kv_append" or "warps" in one["configuration"]
