"""Fingerprints know every file of ours that an implementation runs, those chosen by name among them.

A selection that meets every way of finding a file; ATTNLAB_ALL_CONFIGURATIONS=1 runs all implementations, a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench import discover
from attnlab.bench.measuring.fingerprint import sources

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("executed.py")


CHOSEN = (
    "generate/naive",
    "generate/sdpa",
    "generate/paged",
    "generate/triton",
    "decode_attention/triton",
    "attention/triton",
    "sampling/triton",
    "kv_append/triton",
    "linear/by_rows",
    "linear/packed",
    "rope/torch",
)


@pytest.mark.slow
def test_nothing_of_ours_is_run_that_is_not_hashed() -> None:
    ours = {made.key: made for made in discover().all_implementations() if made.module.startswith("attnlab.impls.")}
    if not os.environ.get("ATTNLAB_ALL_CONFIGURATIONS"):
        ours = {key: ours[key] for key in CHOSEN}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *ours], env=environment, capture_output=True, text=True, timeout=500
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert {one["key"] for one in found} == set(ours), done.stderr[-2000:]
    for one in found:
        made = ours[one["key"]]
        hashed = {str(path.resolve()) for path in sources(Path(made.source), made.built_from)}
        assert set(one["files"]) <= hashed, made.key
    ran = {one["key"] for one in found if one["ran"]}
    assert {"generate/sdpa", "generate/paged", "decode_attention/triton", "sampling/triton", "linear/by_rows"} <= ran


def test_a_decoder_is_built_from_its_parts() -> None:
    made = discover().implementations("generate").get("triton")
    names = {path.relative_to(ROOT).as_posix() for path in sources(Path(made.source), made.built_from)}
    assert {
        "kernels/triton/decode_attention.py",
        "impls/rope/triton.py",
        "impls/generate/_engine/decoding/beam.py",
    } <= names
    assert "impls/rope/naive.py" not in names
