"""Builds both arms of a gate: in their checkouts, or each in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attnlab.bench.errors import GateClosed
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import ArmEnvironment, isolated


@contextmanager
def built(
    base: Arm, head: Arm, prepare: str | None, isolate: bool, tell: Callable[[str], None]
) -> Iterator[dict[str, ArmEnvironment]]:
    """Both arms built, and the environments that they have of their own."""
    if isolate:
        with isolated((base, head), prepare, tell) as environments:
            yield environments
        return
    for arm in {arm.root: arm for arm in (base, head)}.values():
        _prepare(prepare, arm, tell)
    yield {}


def _prepare(command: str | None, arm: Arm, tell: Callable[[str], None]) -> None:
    if command is None:
        return
    tell(f"preparing {arm.label}: {command}")
    variables = {**os.environ, "ATTNLAB_ARM": arm.name}
    done = subprocess.run(command, shell=True, cwd=arm.root, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise GateClosed(
            f"{arm.label} could not be built: {command!r} ended with exit code {done.returncode}; "
            f"the gate fails closed. It said: {said}"
        )
