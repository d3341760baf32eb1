"""The process of one arm that measures tests: pytest runs in it, and the gate says which test comes when."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.gate.arm_worker import keep_compiled_in, refuse_other_protocols
from attnlab.bench.measuring.channel import Channel
from attnlab.bench.measuring.worker import limit_memory
from attnlab.bench.pytesting.arms.order import PytestOrder
from attnlab.bench.store.codec import decode

if TYPE_CHECKING:
    from attnlab.bench.gate.rerooting import Rerooting

PLUGIN = "attnlab.bench.pytesting.plugin"


def main(answers_descriptor: int, parent: int, turned: Rerooting) -> None:
    """Read the order, let pytest collect, then answer requests until they end."""
    channel = Channel.connect(answers_descriptor, parent)
    order = decode(PytestOrder, channel.read())
    limit_memory(order.device, order.memory_limit_bytes)
    keep_compiled_in(order.compiled_folder)
    with channel.telling_why_it_is_broken():
        refuse_other_protocols(order.protocol)
        import pytest

        from attnlab.bench.pytesting.arms.session import ArmSession

        session = ArmSession(turned, channel)
    code = pytest.main(_arguments(order), plugins=[session, *_own_plugin()])
    if not session.ended:
        sys.exit(f"pytest ended by itself, with exit code {int(code)}")
    channel.send("ended", None)


def _arguments(order: PytestOrder) -> list[str]:
    """What pytest writes goes to the gate's folder, and nothing traces calls. Without a file nothing is collected."""
    folder = Path(order.folder)
    own = [f"--basetemp={folder / f'tmp-{os.getpid()}'}", "-o", f"cache_dir={folder / 'cache'}"]
    return [*own, *(["--no-cov"] if _is_plugin("pytest_cov.plugin") else []), *(order.files or [order.folder])]


def _own_plugin() -> list[Any]:
    """The plugin with the fixture, where this environment does not load it by itself."""
    if _is_plugin(PLUGIN):
        return []
    from attnlab.bench.pytesting import plugin

    return [plugin]


def _is_plugin(module: str) -> bool:
    """Whether pytest loads a module by its entry point."""
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return False
    return any(entry.module == module for entry in importlib.metadata.entry_points(group="pytest11"))
