"""A script that checks our Triton kernels in the interpreter: operator/case ids -> a JSON line each.

`operator:implementation/case` names one of another name than `triton`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined

import torch

from attnlab.bench.contract.registry import discover
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.setup import Setup

sys.path.append(str(Path(__file__).parents[1] / "helpers"))
import quick_interpreter


def main(*names: str) -> None:
    quick_interpreter.remember()
    registry = discover()
    setup = Setup(torch.device("cpu"), clocks=(), ceilings=None)  # type: ignore[arg-type]
    for name in names:
        subject, _, case_id = name.partition("/")
        operator, _, implementation = subject.partition(":")
        contract = registry.operators.get(operator)
        triton = registry.implementations(operator).get(implementation or "triton")
        found = measure(contract, contract.case_type.parse(case_id), dataclasses.replace(triton), setup)
        said = {"case": name, "outcome": found.outcome.value, "reason": found.reason}
        print(json.dumps(said | {"untimed": found.untimed, "configuration": found.configuration}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
