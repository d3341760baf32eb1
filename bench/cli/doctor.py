"""Say whether this machine can be trusted to time on, with remedies, and measure its ceilings anew."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from attnlab.bench.cli import _options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _options.add_device(parser)
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from attnlab.bench.doctor import examine, measured_now, patient_here
    from attnlab.bench.environment import choose_device, describe_environment

    environment = describe_environment(choose_device(options.device))
    findings = list(examine(patient_here(environment, measured_now(environment))))
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "found", "remedy"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row("ok" if finding.good else "!", finding.name, finding.value, finding.remedy or "")
    Console().print(table, markup=False, highlight=False)
    return 0
