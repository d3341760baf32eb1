"""A gate's folder: both arms as runs, the verdicts, and files for CI to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from attnlab.bench.errors import StoreError
from attnlab.bench.gate.collection import BenchmarkResults
from attnlab.bench.gate.outputs import OUTPUTS, Samples
from attnlab.bench.gate.report import GateReport
from attnlab.bench.machine.environment import PACKAGES
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.folders import GATE_FILE, new_folder
from attnlab.bench.store.json_text import values_of
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import INTERLEAVED, BenchRecord, RunRecord
from attnlab.bench.store.run_folder import RunWriter
from attnlab.bench.text import one_line


def make_folder(parent: Path, run_id: str) -> Path:
    """A new folder for a gate; a number is added to its name where that is taken."""
    try:
        return new_folder(parent / run_id)
    except OSError as error:
        raise StoreError(f"cannot write to {parent}: {error.strerror}; take another folder with --out") from error


def write_gate(
    folder: Path,
    report: GateReport,
    collected: Iterable[BenchmarkResults],
    plugins: tuple[str, ...],
    ceilings: Ceilings,
) -> list[Path]:
    """Write the verdicts in every format, and each arm as a run that `compare` and `report` read."""
    collected = list(collected)
    (folder / GATE_FILE).write_text(json.dumps(encode(report), indent=1) + "\n", encoding="utf-8")
    for arm in ("base", "head"):
        _write_arm(folder, arm, report, collected, plugins, ceilings)
    written = [folder / GATE_FILE]
    samples = {
        item.offer.key: Samples(tuple(item.base.samples), tuple(item.head.samples)) for item in collected if item.values
    }
    for output in OUTPUTS:
        for name, text in output.files(report, samples).items():
            (folder / name).write_text(text, encoding="utf-8")
            written.append(folder / name)
    return written


def read_gate(folder: Path) -> GateReport:
    """The report of a gate's folder. Raises StoreError where it is missing or damaged."""
    path = folder / GATE_FILE
    try:
        return decode(GateReport, values_of(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; give a folder that `attnlab gate` wrote") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {one_line(str(error))}") from error


def _write_arm(
    folder: Path,
    arm: str,
    report: GateReport,
    collected: list[BenchmarkResults],
    plugins: tuple[str, ...],
    ceilings: Ceilings,
) -> None:
    record = report.base if arm == "base" else report.head
    environment = replace(report.environment, revision=record.revision, dirty=record.dirty)
    if record.packages is not None:
        known = {name: record.packages[name] for name in PACKAGES if name in record.packages}
        environment = replace(environment, python=record.python or environment.python, packages=known)
    run = RunRecord(
        run_id=arm,
        suite=report.suite,
        started=report.started,
        command=report.command,
        benches=_benches(collected),
        environment=environment,
        ceilings=ceilings,
        seed=0,
        plugins=plugins,
        extra={INTERLEAVED: report.run_id, "arm": record.label},
    )
    writer = RunWriter.create(folder, run)
    try:
        for item in collected:
            measurement = item.stored(item.base if arm == "base" else item.head)
            if measurement is not None:
                writer.append(measurement)
    finally:
        writer.close()


def _benches(collected: list[BenchmarkResults]) -> tuple[BenchRecord, ...]:
    cases: dict[tuple[str, str], dict[str, None]] = {}
    for item in collected:
        cases.setdefault((item.offer.operator, item.offer.implementation), {})[item.offer.case_id] = None
    return tuple(BenchRecord(op, (name,), None, tuple(ids)) for (op, name), ids in cases.items())
