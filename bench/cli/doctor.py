"""Say whether this machine can be trusted to time on, with remedies, and measure its ceilings anew.

Exit codes: 0 where it can be trusted; 1 where a finding says that times taken now cannot be, such as other work on its
cores; 2 on a usage error. What was measured while other work ran is told, and not kept.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from attnlab.bench import text_table
from attnlab.bench.cli import EXIT_FAULTS, EXIT_OK, _options

if TYPE_CHECKING:
    from attnlab.bench.doctor.finding import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _options.add_device(parser)
    _options.add_json(parser)
    parser.epilog = "Exit codes: 0 times can be trusted; 1 a finding marked ! says why they cannot be; 2 usage."


def execute(options: argparse.Namespace) -> int:
    from rich.console import Console

    from attnlab.bench.doctor import examine, measured_now, patient_here
    from attnlab.bench.machine.environment import choose_device, describe_environment

    environment = describe_environment(choose_device(options.device))
    findings = list(examine(patient_here(environment, measured_now(environment))))
    code = EXIT_OK if all(finding.trusted for finding in findings) else EXIT_FAULTS
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
        return code
    table = text_table.table()
    for column in ("", "what", "found", "remedy"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(_mark(finding), finding.name, finding.value, finding.remedy or "")
    Console().print(table, markup=False, highlight=False)
    return code


def _mark(finding: Finding) -> str:
    return "ok" if finding.good else "advice" if finding.advice else "!"
