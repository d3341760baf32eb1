"""The kernels in C between a decoder's products: every variant right, and what they refuse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.registry import discover
from attnlab.bench.measuring.fingerprint import sources
from attnlab.kernels.cpu.decode_rows import decode_rows
from attnlab.kernels.cpu.row_numbers import variants
from attnlab.kernels.cpu.small_rows import norm_rows, swiglu_rows, turn_rows

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
KINDS = [(variant, FP32) for variant in variants()] + [(variants()[0], BF16), ("plain", FP16)]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def agrees(out: Tensor, exact: Tensor) -> bool:
    allowed = torch.finfo(out.dtype).eps * exact.abs() + 2e-6
    return bool(((out.double() - exact).abs() <= allowed).all())


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("variant", "dtype"), KINDS)
def test_norm_and_swiglu_agree_with_float64(variant: str, dtype: torch.dtype) -> None:
    for rows, width in ((1, 1), (3, 65), (40, 576)):
        x, weight = numbers(rows, 2 * width + 3).to(dtype), numbers(width).to(dtype)
        narrow, wide = x[:, :width], x.double()
        factor = (wide[:, :width].square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        assert agrees(norm_rows(dtype, variant)(narrow, weight, 1e-5), wide[:, :width] * factor * weight.double())
        gate, up = wide[:, : 2 * width].chunk(2, -1)
        assert agrees(swiglu_rows(dtype, variant)(x[:, : 2 * width]), torch.nn.functional.silu(gate) * up)


def test_swiglu_of_the_largest_gates_and_of_what_is_no_number() -> None:
    x = torch.tensor([[200.0, -200.0, float("inf"), float("nan"), 1.0, 1.0, 1.0, 1.0]])
    for variant in variants():
        out = swiglu_rows(FP32, variant)(x)[0]
        assert out[0] == 200.0
        assert abs(out[1]) < 1e-30
        assert out[2] == float("inf")
        assert out[3].isnan()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("variant", "dtype"), KINDS)
@pytest.mark.parametrize("style", ["half", "interleaved"])
def test_heads_are_turned_by_the_angles_of_their_positions(variant: str, dtype: torch.dtype, style: str) -> None:
    x, angles = numbers(5, 3, 24).to(dtype)[:, :2], numbers(9, 12)
    positions = torch.tensor([8, 0, 3, 3, 1])
    cos, sin = angles.cos(), angles.sin()
    out = turn_rows(dtype, style, variant)(x, cos, sin, positions).double()
    c, s = cos[positions][:, None].double(), sin[positions][:, None].double()
    cut = (lambda y: y.chunk(2, -1)) if style == "half" else (lambda y: (y[..., ::2], y[..., 1::2]))
    (first, second), (turned, other) = cut(x.double()), cut(out)
    assert torch.allclose(turned, first * c - second * s, rtol=torch.finfo(dtype).eps, atol=2e-6)
    assert torch.allclose(other, second * c + first * s, rtol=torch.finfo(dtype).eps, atol=2e-6)


def attention(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, window: int | None) -> Tensor:
    """In float64; the last queries of causal sequences."""
    group, new = q.shape[1] // k.shape[1], q.shape[2]
    k, v = (x.double().repeat_interleave(group, 1) for x in (k, v))
    keys = torch.arange(k.shape[2])
    position = lengths[:, None, None, None] - new + torch.arange(new)[:, None]
    seen = (keys <= position) & (keys > position - (window or len(keys)))
    scores = (q.double() @ k.transpose(2, 3) * 0.3).masked_fill(~seen, -torch.inf)
    return scores.softmax(-1) @ v


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("variant", "dtype"), KINDS)
@pytest.mark.parametrize(("head_dim", "window"), [(64, None), (24, 5), (7, 200)])
def test_attention_agrees_with_float64(variant: str, dtype: torch.dtype, head_dim: int, window: int | None) -> None:
    q = numbers(2, 3, 6, head_dim).to(dtype).transpose(1, 2)
    k, v = (numbers(2, 301 + side, 2, head_dim).to(dtype)[:, :301].transpose(1, 2) for side in (0, 1))
    lengths = torch.tensor([299, 130], dtype=torch.int32)
    out = decode_rows(head_dim, dtype, window, variant=variant)(q, k, v, lengths, 299, 0.3)
    assert agrees(out, attention(q, k, v, lengths, window))


def test_results_do_not_depend_on_threads() -> None:
    q, k = numbers(1, 4, 1, 32), numbers(1, 2, 900, 32)
    before, lengths, outs = torch.get_num_threads(), torch.tensor([900], dtype=torch.int32), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            outs.append(decode_rows(32, FP32)(q, k, k, lengths, 900, 0.2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], outs[2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected rows of 3 numbers"):
        norm_rows(FP32)(torch.ones(2, 4), torch.ones(3), 1e-5)
    with pytest.raises(ValueError, match=r"got a weight \[3\] of torch.float64"):
        norm_rows(FP32)(torch.ones(2, 3), torch.ones(3).double(), 1e-5)
    with pytest.raises(ValueError, match=r"expected one of torch\.float32"):
        swiglu_rows(torch.float64)
    with pytest.raises(ValueError, match="got style 'sinusoidal'"):
        turn_rows(FP32, "sinusoidal")
    with pytest.raises(ValueError, match="got heads of 257 channels"):
        decode_rows(257, FP32)
    q, lengths = torch.ones(1, 2, 1, 16), torch.tensor([4], dtype=torch.int32)
    call = decode_rows(16, FP32)
    with pytest.raises(ValueError, match="within the block"):
        call(q, torch.ones(1, 1, 3, 16), torch.ones(1, 1, 3, 16), lengths, 4, 1.0)
    with pytest.raises(ValueError, match="dense channels"):
        call(q.double(), torch.ones(1, 1, 4, 16), torch.ones(1, 1, 4, 16), lengths, 4, 1.0)


@pytest.mark.parametrize("operator", ["rmsnorm", "rope", "swiglu", "decode_attention"])
def test_sources_in_c_are_in_the_fingerprint(operator: str) -> None:
    made = discover().implementations(operator).get("native")
    found = {path.name for path in sources(Path(made.source), made.built_from)}
    assert {"small_rows.c", "row_numbers.c"} <= found
