"""Values whose tensors are on a device."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def moved(value: Any, device: torch.device, copy: bool = False) -> Any:
    """A value whose tensors are on that device; itself where they are, or else, with `copy`, in memory of their own."""
    if isinstance(value, Tensor):
        return value.to(device, copy=copy)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: moved(getattr(value, f.name), device, copy) for f in fields(value) if f.init}
        return value if all(part is getattr(value, name) for name, part in parts.items()) else replace(value, **parts)
    if isinstance(value, dict):
        return {key: moved(part, device, copy) for key, part in value.items()}
    return value
