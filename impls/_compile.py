"""torch.compile as every compiled implementation uses it: one graph, static shapes, never back to eager."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from attnlab.bench import Unavailable


def compile_whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile one graph for static shapes; past the recompilation limit it raises and does not turn eager."""
    import torch._dynamo.config  # takes seconds, which only those who compile should pay

    if hasattr(torch._dynamo.config, "fail_on_recompile_limit_hit"):
        torch._dynamo.config.fail_on_recompile_limit_hit = True
    return torch.compile(function, fullgraph=True, dynamic=False)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what the compiler raises for what it does not serve, or has no kernel for that fits, into Unavailable."""
    from torch._dynamo.exc import BackendCompilerFailed  # as above

    try:
        yield
    except BackendCompilerFailed as error:
        reason = re.search("(?:NotImplementedError|NoValidChoicesError): (.+)", str(error))
        if reason is None:
            raise
        raise Unavailable(f"torch.compile: {reason.group(1)}") from error
