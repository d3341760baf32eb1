"""A script that says which files of ours each implementation runs: operator/name -> a JSON line, from a process each.

Each is asked in a fork that has imported torch and the harness alone, so that nothing of ours is there before.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined

import torch

from attnlab.bench.contract.registry import discover_one, registry
from attnlab.bench.errors import Unavailable
from attnlab.bench.measuring import harness  # noqa: F401 - no file of ours comes with it
from tests.conformance.cases import OF_OPERATOR

ROOTS = [Path(__file__).resolve().parents[2] / folder for folder in ("impls", "kernels")]
LEAST = {"generate": "toy-random-P8-N2-fp32"}


def executed(operator: str, name: str) -> dict[str, Any]:
    """Files of ours that are there after a call, and whether there was one."""
    made = discover_one(operator, name, f"attnlab.impls.{operator}.{name}", ())
    ran = None
    if not made.compiled and made.needs.device != "cuda":
        ran = _call(operator, made)
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = {Path(file).resolve() for file in files if file}
    return {"ran": ran, "files": sorted(str(path) for path in paths if any(root in path.parents for root in ROOTS))}


def _call(operator: str, made: Any) -> str | None:
    """The id of a small case that was run."""
    contract = registry.operators.get(operator)
    case_set = OF_OPERATOR[operator]
    for case_id in (LEAST.get(operator, ""), *sorted(case_set.all, key=len)):
        case = contract.case_type.parse(case_id) if case_id else None
        if case is None or made.supports(case) is not None:
            continue
        inputs = contract.make_inputs(case, "drawn", 0, torch.device("cpu"))
        try:
            made.run(inputs, made.prepare(case, inputs))
        except (ImportError, Unavailable):  # a package that is not here
            return None
        return case_id
    return None


def main(*keys: str) -> None:
    torch.set_num_threads(1)
    for key in keys:
        operator, _, name = key.partition("/")
        told, end = os.pipe()
        if os.fork() == 0:
            os.close(told)
            os.write(end, json.dumps(executed(operator, name) | {"key": key}).encode())
            os._exit(0)
        os.close(end)
        with os.fdopen(told) as answers:
            print(answers.read(), flush=True)
        os.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
