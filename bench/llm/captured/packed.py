"""The file format of activations: bfloat16 queries, keys and values in a compressed `.npz`.

Each of `q`, `k` and `v` is stored as uint8 `[2, H, T, D]`: all low bytes, then all high bytes, which deflate
packs into seven tenths of the size, against eight tenths where they alternate.
"""

import zlib
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.bench.errors import CaptureUnavailable
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.sources import PACKAGED

SHAPE = PUBLISHED[PACKAGED]
LAYERS, Q_HEADS, KV_HEADS, HEAD_DIM = SHAPE.layers, SHAPE.q_heads, SHAPE.kv_heads, SHAPE.head_dim

QKV = tuple[Tensor, Tensor, Tensor]
"""Queries `[9, T, 64]`, keys `[3, T, 64]` and values `[3, T, 64]`."""

HEADS = {"q": Q_HEADS, "k": KV_HEADS, "v": KV_HEADS}
UNREADABLE = (BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError, RuntimeError)
"""What numpy and zipfile raise for a damaged file (RuntimeError: a flipped flag reads as encryption)."""


def to_planes(x: Tensor) -> NDArray[np.uint8]:
    """`[H, T, D]`, rounded to bfloat16, as uint8 `[2, H, T, D]`."""
    bits = x.to(torch.bfloat16).contiguous().view(torch.uint16).numpy()
    return np.stack([bits & 0xFF, bits >> 8]).astype(np.uint8)


def from_planes(planes: NDArray[np.uint8]) -> Tensor:
    """The inverse of `to_planes`: bfloat16 `[H, T, D]`."""
    bits = planes[0].astype(np.uint16) | planes[1].astype(np.uint16) << 8
    return torch.from_numpy(bits).view(torch.bfloat16)


def write(file: IO[bytes], qkv: QKV) -> None:
    q, k, v = qkv
    np.savez_compressed(file, q=to_planes(q), k=to_planes(k), v=to_planes(v))


def read(path: Path) -> QKV:
    """bfloat16 queries, keys and values; raises CaptureUnavailable, saying why, for a damaged file."""
    try:
        with np.load(path) as stored:
            planes = {name: stored[name] for name in HEADS}
    except UNREADABLE as error:
        raise CaptureUnavailable(f"cannot read the activations in {path}: {error}") from error
    tokens = planes["q"].shape[-2] if planes["q"].ndim == 4 else 0
    for name, heads in HEADS.items():
        expected = (2, heads, tokens, HEAD_DIM)
        if tokens == 0 or planes[name].shape != expected or planes[name].dtype != np.uint8:
            got = f"{planes[name].dtype} {list(planes[name].shape)}"
            raise CaptureUnavailable(f"{path} holds {got} for {name}, expected uint8 [2, {heads}, T, {HEAD_DIM}]")
    return from_planes(planes["q"]), from_planes(planes["k"]), from_planes(planes["v"])
