"""The folder that `attnlab run` writes to: a new one, or one to go on with."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from attnlab.bench.environment import Device, Environment
from attnlab.bench.errors import StoreError
from attnlab.bench.store.jsonl import RunWriter, latest, read_run
from attnlab.bench.store.records import BenchRecord, Measurement, RunRecord


def open_run(options: argparse.Namespace, draft: RunRecord) -> tuple[RunWriter, RunRecord, list[Measurement]]:
    """A writer, the run's record, and what it holds already.

    A resumed run keeps the record that it was started with: its benches, seed, effort and ceilings.
    Raises StoreError where the folder holds no run, or not one that this command may go on with.
    """
    if options.resume is None:
        writer = RunWriter.create(Path(options.out), draft)
        return writer, draft, []
    folder = Path(options.resume)
    stored = read_run(folder)
    _check_same(stored.run, draft, folder)
    writer = RunWriter(folder)
    for damage in stored.damages:
        print(f"attnlab: {damage}; measured again", file=sys.stderr)
    return writer, stored.run, list(latest(stored.measurements))


def _check_same(before: RunRecord, now: RunRecord, folder: Path) -> None:
    if before.suite != now.suite:
        what = f"of {before.suite!r}, not of {now.suite!r}"
    elif _cases(before.benches) != _cases(now.benches):
        what = f"of {before.suite!r} with other cases or implementations than this command's"
    else:
        _check_machine(before.environment, now.environment, folder)
        return
    own = f"{before.command} --resume {shlex.quote(str(folder))}"
    raise StoreError(f"{folder} is a run {what}; resume it by its own command: {own}")


def _cases(benches: tuple[BenchRecord, ...]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(bench.operator, bench.implementations, bench.cases) for bench in benches]


def _check_machine(before: Environment, now: Environment, folder: Path) -> None:
    """One run is of one machine and one torch, whose figures can stand side by side."""
    for then, here in (
        (_device(before.device), _device(now.device)),
        (f"{before.threads} threads", f"{now.threads} threads"),
        *((f"{name} {before.packages.get(name)}", f"{name} {now.packages.get(name)}") for name in ("torch", "triton")),
    ):
        if then != here:
            raise StoreError(f"{folder} was measured with {then}, and this is {here}; start a new run here")


def _device(device: Device) -> str:
    return f"{device.kind} {device.name}"
