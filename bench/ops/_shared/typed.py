"""What cases with a dtype have in common."""

from __future__ import annotations

import torch

from attnlab.bench.contract.axes import Case


class TypedCase(Case):
    """A case with a dtype."""

    dtype: str

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)  # type: ignore[no-any-return]

    @property
    def element_bytes(self) -> int:
        return self.torch_dtype.itemsize
