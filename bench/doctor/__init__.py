"""Whether this machine can be trusted to time on: findings, each with its figure and a remedy if needed."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.doctor import gate
from attnlab.bench.doctor.finding import Finding, Inspection, Patient
from attnlab.bench.machine.ceilings import Again, measured_beside
from attnlab.bench.store.machine import Environment

__all__ = ["INSPECTIONS", "Finding", "Inspection", "Patient", "examine", "measured_now", "patient_here"]

INSPECTIONS: Folder[Inspection] = Folder("inspection", __name__, "INSPECTIONS", lambda inspection: inspection.rank)


def examine(patient: Patient) -> Iterator[Finding]:
    """Look at the machine now; takes some ten seconds, on a GPU half a minute, most of them for live pairs."""
    yield Finding("device", patient.environment.device.name)
    for inspection in sorted(INSPECTIONS, key=lambda inspection: inspection.rank):
        yield from inspection.look(patient)


def patient_here(environment: Environment, ceilings: Again) -> Patient:
    """This machine, to be examined on the device of the environment."""
    import torch

    from attnlab.bench.machine.clocks import clocks_for, cuda_clocks

    device = torch.device(environment.device.kind)
    a = torch.randn(512, 512, device=device)
    work = functools.partial(torch.matmul, a, a)
    if device.type != "cuda":
        return Patient(
            environment, ceilings.now, clocks_for(device), work, pairs=gate.pairs_on(device.type), kept=ceilings.kept
        )
    from attnlab.bench.machine.gpu.cuda import CudaGpu

    gpu = CudaGpu(device)
    pairs = gate.pairs_on(device.type)
    return Patient(environment, ceilings.now, cuda_clocks(gpu), work, gpu, pairs=pairs, kept=ceilings.kept)


def measured_now(environment: Environment) -> Again:
    """Ceilings measured anew; those in the user's cache are raised by them, but not while other work runs."""
    return measured_beside(environment.device, undisturbed=True)
