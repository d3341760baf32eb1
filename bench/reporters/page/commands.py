"""The command that takes one figure again."""

from __future__ import annotations

import shlex

from attnlab.bench.store.records import RunRecord
from attnlab.bench.store.tuning import TUNING


def again(run: RunRecord, operator: str, implementation: str, case_id: str) -> str:
    """`attnlab run OPERATOR --impl NAME --case ID`, on the kind of device that the run was on, with its plugins."""
    head, tail = again_around(run, operator)
    return f"{head} --impl {shlex.quote(implementation)} --case {shlex.quote(case_id)}{tail}"


def again_around(run: RunRecord, operator: str) -> tuple[str, str]:
    """What is alike in the commands of all results of an operator: before `--impl`, and after the case.

    What was imported cannot be taken again here, and a candidate of a search by that alone: its line is a remark to a
    shell.
    """
    if TUNING in run.extra:
        return f"# a candidate of: {run.command}:", ""
    if run.imported is not None:
        return f"# {run.imported.tool} measured it, and nothing here can:", ""
    plugins = "".join(f" --plugin {shlex.quote(plugin)}" for plugin in run.plugins)
    return f"attnlab run {shlex.quote(operator)}", f" --device {run.environment.device.kind}{plugins}"
