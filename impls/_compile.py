"""torch.compile as every compiled implementation uses it: one graph, static shapes, never back to eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.config


def compile_whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile one graph for static shapes; past the recompilation limit it raises and does not turn eager."""
    if hasattr(torch._dynamo.config, "fail_on_recompile_limit_hit"):
        torch._dynamo.config.fail_on_recompile_limit_hit = True
    return torch.compile(function, fullgraph=True, dynamic=False)
