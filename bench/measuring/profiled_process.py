"""Sets a call up again and makes it once, between the marks of CUDA's profiler, for tools that start a process."""

from __future__ import annotations

import json

import torch

from attnlab.bench.contract.registry import discover_one, registry
from attnlab.bench.machine.clocks import clocks_for
from attnlab.bench.measuring.harness import prepared_case
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.profilers.profiled_call import Origin
from attnlab.bench.store.codec import decode
from attnlab.bench.store.machine import Ceilings

WARM_CALLS = 2


def main(of: str, kind: str) -> None:
    """of: the call's origin as JSON; kind: the device's. Raises SystemExit where the call cannot be set up."""
    origin, device = decode(Origin, json.loads(of)), torch.device(kind)
    implementation = discover_one(origin.operator, origin.implementation, origin.module, origin.plugins)
    operator = registry.operators.get(origin.operator)
    case = operator.case_type.parse(origin.case_id)
    nothing_known = Ceilings(device.type, None, 1.0, {}, None, 0.0)
    setup = Setup(device, clocks_for(device), nothing_known, seed=origin.seed)
    with prepared_case(operator, case, implementation, setup, check=False) as prepared:
        if not prepared.ready:
            raise SystemExit(prepared.measurement.reason or prepared.measurement.untimed)
        with prepared.foreign():
            for _ in range(WARM_CALLS):
                prepared.call()
            _between_marks(prepared.call, device)


def _between_marks(call: object, device: torch.device) -> None:
    assert callable(call)
    if device.type != "cuda":
        call()
        return
    torch.cuda.synchronize(device)
    torch.cuda.cudart().cudaProfilerStart()
    call()
    torch.cuda.synchronize(device)
    torch.cuda.cudart().cudaProfilerStop()
