"""The engine behind our server, asked without HTTP: what HTTP itself costs is the difference."""

from __future__ import annotations

from attnlab.bench import EngineEndpoint, implements


@implements("serve", name="in_process", memory_seen=False, built_from=("generate/paged",))
class InProcess(EngineEndpoint):
    """The live engine that our server runs, in the process that asks: the same load without HTTP."""
