"""What a run starts from: the suite that was named, and the record of a run on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnlab.bench.contract.registry import OURS, Registry, registry
from attnlab.bench.errors import UsageError
from attnlab.bench.machine import ceilings
from attnlab.bench.machine.environment import describe_code, describe_environment
from attnlab.bench.measuring.fingerprint import content
from attnlab.bench.measuring.suite import Suite, find_suite, operator_suite
from attnlab.bench.measuring.suite_file import load_suite
from attnlab.bench.ops.serve import servers
from attnlab.bench.serving.service import Service
from attnlab.bench.store.machine import Code
from attnlab.bench.store.records import SERVE, BenchRecord, RunRecord


def choose_suite(
    target: str, registry: Registry, axes: Mapping[str, Any] | None = None, cases: tuple[str, ...] = ()
) -> Suite:
    """The suite of that name or file, or one made of an operator's `cases`; `axes` take the place of theirs.

    Raises UnknownName, ImpossibleCase, SuiteError, and UsageError where `cases` are given of a suite.
    """
    if target in registry.operators:
        return operator_suite(target, registry, axes or {}, cases)
    path = find_suite(target, registry)
    if cases:
        raise UsageError(f"--case goes with an operator, and {target!r} is a suite; narrow it with -a")
    suite = load_suite(path, registry, axes or {})
    servers.register(suite.servers)
    return suite


def code_of_others(benches: Sequence[BenchRecord], known: Registry = registry) -> tuple[Code, ...]:
    """The files of operators and implementations in a run that are not ours, with their state."""
    files: dict[str, tuple[str, tuple[str, ...]]] = {}
    for bench in benches:
        module = known.operators.module(bench.operator)
        written = getattr(sys.modules.get(module), "__file__", None)
        if written is not None and not module.startswith("attnlab."):
            files.setdefault(written, (module, ()))
        for made in map(known.implementations(bench.operator).get, bench.implementations):
            if not made.module.startswith(f"{OURS}.") and Path(made.source).is_file():
                files[made.source] = made.module, made.built_from
    return tuple(describe_code(name, file, content(Path(file), built)) for file, (name, built) in files.items())


def draft_run(
    suite: Suite,
    benches: tuple[BenchRecord, ...],
    device: str,
    command: str,
    plugins: tuple[str, ...] = (),
    timed: bool = True,
    known: Registry = registry,
) -> RunRecord:
    """The record of a run that starts now; `device` is "cpu" or "cuda", `command` is what repeats the run.

    Measures the device's ceilings, half a minute, where they are not known yet and the run is `timed`.
    """
    now = datetime.now(UTC)
    environment = describe_environment(device)
    return RunRecord(
        run_id=f"{now:%Y%m%d-%H%M%S}-{suite.name}",
        suite=suite.name,
        started=now.isoformat(timespec="seconds"),
        command=command,
        benches=benches,
        environment=environment,
        ceilings=(ceilings.load_or_measure if timed else ceilings.load)(environment.device),
        seed=0,
        plugins=plugins,
        code=code_of_others(benches, known),
        effort=dict(suite.effort),
        cache=suite.cache,
        extra=servers.extra_of(_named_servers(benches, known)),
    )


def _named_servers(benches: Sequence[BenchRecord], known: Registry) -> dict[str, Service]:
    """The servers that cases of operator `serve` name, as this process knows them."""
    if not any(bench.operator == SERVE for bench in benches):
        return {}
    parse = known.operators.get(SERVE).case_type.parse
    names = {getattr(parse(case), "server", "") for bench in benches if bench.operator == SERVE for case in bench.cases}
    return {name: service for name, service in servers.known().items() if name in names}
