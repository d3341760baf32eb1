"""Tensors by name in a file of the user's cache, which takes long to work out and does no harm where it is lost."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from attnlab.bench.whole_file import whole_file


def read_tensors(path: Path) -> dict[str, Tensor] | None:
    """What `keep_tensors` wrote, on the CPU; None where no such file is there. Of a damaged or foreign one it warns."""
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        passed_over(path, str(error))
        return None
    if isinstance(kept, dict) and all(isinstance(n, str) and isinstance(x, Tensor) for n, x in kept.items()):
        return kept
    passed_over(path, "it holds something else than tensors by name")
    return None


def passed_over(path: Path, reason: str) -> None:
    """Warns that a file is not taken, which is then written anew."""
    warnings.warn(f"passed over a damaged cache file {path}: {reason}", stacklevel=4)


def keep_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Whoever reads sees the old file or the new one. A folder that cannot be written to gives a warning."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, part.open("wb") as file:
            torch.save(dict(tensors), file)
    except OSError as error:
        warnings.warn(f"{path} is not kept for next time: {error}", stacklevel=3)
