"""All layers in one call are what the same kernels give part by part, and other passes go part by part."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch

from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.impls.generate._engine.engine import Engine
from attnlab.impls.generate._engine.parts import QUICK_ON_CPU, Parts

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
IDS = torch.arange(2 * 12).view(2, 12) % 50


def engine_of(model: str, dtype: torch.dtype, parts: Parts = QUICK_ON_CPU, batch: int = 2) -> Engine:
    weights = random_weights(PUBLISHED[model], dtype, "cpu")
    return Engine(weights, parts, layout_of("contiguous_bhsd"), format_of("same"), batch=batch, capacity=24)


def steps(engine: Engine, new: int) -> list[torch.Tensor]:
    engine.reset()
    return [engine.prefill(IDS), *(engine.decode(IDS[:, first : first + new]) for first in (0, 3))]


@pytest.mark.parametrize(
    ("model", "dtype", "new"),
    [
        ("toy", torch.float32, 1),
        ("toy", torch.float32, 3),
        ("toy", torch.bfloat16, 1),
        ("toy_qwen3", torch.float32, 2),
    ],
)
def test_at_once_is_what_part_by_part_gives(model: str, dtype: torch.dtype, new: int) -> None:
    engine = engine_of(model, dtype)
    assert engine._layers_at_once(new) is not None
    found = steps(engine, new)
    engine._at_once[new] = None
    for at_once, by_parts in zip(found, steps(engine, new), strict=True):
        assert torch.allclose(
            at_once.double(), by_parts.double(), rtol=0, atol=1e-5 if dtype == torch.float32 else 0.02
        )


def test_other_passes_go_part_by_part() -> None:
    engine = engine_of("toy", torch.bfloat16)
    assert engine._layers_at_once(2) is None  # four rows in bfloat16 are not few
    other = dataclasses.replace(QUICK_ON_CPU, norm="torch")
    assert engine_of("toy", torch.float32, other)._layers_at_once(1) is None
    assert engine_of("toy_gemma3", torch.float32)._layers_at_once(1) is None
