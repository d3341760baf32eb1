"""Named stretches of a call, for profilers: nothing is recorded, and nothing spent, where none looks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_recording = False


def record_spans() -> None:
    """From here on spans of this process are recorded by torch's profiler, where one is at work."""
    global _recording
    _recording = True


def span(name: str) -> AbstractContextManager[object]:
    """What is done inside is a stretch of that name."""
    if not _recording:
        return nullcontext()
    import torch

    return torch.profiler.record_function(name)


def spanned(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function whose calls are spans; the function itself where none are recorded."""
    if not _recording:
        return function

    def recorded(given: Any) -> Any:
        with span(name):
            return function(given)

    return recorded
