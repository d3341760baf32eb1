"""From where in the source operations of torch are called: the very line, by looking at the stack as each is made."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

HARNESS = str(Path(__file__).resolve().parents[1])
PACKAGES = ("attnlab.impls", "attnlab.kernels")
DEEPEST = 12


@lru_cache(maxsize=4096)
def shown_path(file: str) -> str:
    """Relative to installed packages, to where the process runs or to the repository, where it lies in one of them."""
    packages = tuple(path for name in PACKAGES if name in sys.modules for path in sys.modules[name].__path__)
    return _shown(file, (sysconfig.get_path("purelib"), os.getcwd(), *map(os.path.dirname, packages)))


@functools.cache
def _shown(file: str, roots: tuple[str, ...]) -> str:
    """Relative to the first of the folders that it lies in."""
    path = Path(file)
    if not path.is_absolute():
        return file
    return next((str(path.relative_to(root)) for root in roots if path.is_relative_to(root)), file)


@lru_cache(maxsize=4096)
def is_of_others(file: str) -> bool:
    """Whether a file is torch's, the harness's, the standard library's, or none at all."""
    parts = Path(file).parts
    if file.startswith(("<", HARNESS)) or "torch" in parts or parts[:2] == ("attnlab", "bench"):
        return True
    return len(parts) == 1 and parts[0].removesuffix(".py") in sys.stdlib_module_names


def frames_about(frame: FrameType | None) -> Iterator[str]:
    """`file:line in function` of the frames about one, the nearest first, without those of others."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not is_of_others(file):
            yield f"{shown_path(file)}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back


Lines = Mapping[str, Sequence[tuple[str, ...]]]
"""By name of an operation: the stack of each time that one call makes it, in order."""


def lines_of(call: Callable[[], object]) -> Lines:
    """Where one call of the function makes operations from.

    What torch works out of several operations is not among them, nor is what a compiled graph does.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: dict[str, list[tuple[str, ...]]] = defaultdict(list)

    class Looking(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            stack = tuple(frames_about(sys._getframe(1)))[:DEEPEST]
            seen[func.name().partition(".")[0]].append(stack)
            return func(*args, **(kwargs or {}))

    with Looking():  # type: ignore[no-untyped-call]
        call()
    return seen
