"""Matrices that follow each other in one memory, so that one product can do them all."""

from __future__ import annotations

import torch
from torch import Tensor


def join(*matrices: Tensor) -> tuple[Tensor, ...]:
    """Copies of matrices [n, H] that follow each other in one memory."""
    parts: tuple[Tensor, ...] = torch.cat(matrices).split([len(matrix) for matrix in matrices])
    return parts


def rows_of(*matrices: Tensor) -> Tensor:
    """One matrix of the rows of several [n, H], without a copy where they follow each other in one memory."""
    if not follow(*matrices):
        return torch.cat(matrices)
    width = matrices[0].shape[1]
    return matrices[0].as_strided((sum(len(matrix) for matrix in matrices), width), (width, 1))


def follow(*matrices: Tensor) -> bool:
    """Whether matrices follow each other in one memory."""
    first, offset = matrices[0], matrices[0].storage_offset()
    for matrix in matrices:
        whole = matrix.untyped_storage().data_ptr() == first.untyped_storage().data_ptr() and matrix.is_contiguous()
        if not whole or matrix.storage_offset() != offset:
            return False
        offset += matrix.numel()
    return True
