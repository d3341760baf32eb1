"""The kernel in C for few rows: right for every shape, thread count and stride, and refuses what does not fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.registry import discover
from attnlab.bench.measuring.fingerprint import _hashed, fingerprint
from attnlab.kernels.cpu.linear_rows import SOURCE, linear_function, linear_rows
from attnlab.kernels.cpu.row_numbers import NoCompiler

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
has_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def numbers(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


@has_compiler
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("rows", "dtype"), [(1, FP32), (3, BF16), (8, FP32), (2, FP16)])
def test_agrees_with_float64(rows: int, dtype: torch.dtype) -> None:
    call = linear_rows(rows, dtype)
    for n, k in ((1, 1), (5, 31), (33, 32), (7, 100), (64, 129)):
        x = numbers(rows, k + 3, dtype=dtype)[:, :k]
        weight, bias = numbers(n, 2 * k, dtype=dtype)[:, :k], numbers(n, dtype=dtype)
        exact = x.double() @ weight.double().T
        for added in (None, bias):
            expected = exact if added is None else exact + added.double()
            allowed = torch.finfo(dtype).eps * expected.abs() + 1e-5
            assert bool(((call(x, weight, added).double() - expected).abs() <= allowed).all()), (n, k, added is None)


@has_compiler
def test_what_is_no_number_stays_none() -> None:
    x, weight = torch.ones(1, 40, dtype=BF16), torch.ones(3, 40, dtype=BF16)
    weight[1, 39], weight[2, 0] = float("inf"), float("nan")
    out = linear_rows(1, BF16)(x, weight, None)
    assert out[0, 0] == 40
    assert out[0, 1] == float("inf")
    assert bool(out[0, 2].isnan())


@has_compiler
@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [
        (torch.ones(2, 8), torch.ones(3, 8), None),
        (torch.ones(1, 8).half(), torch.ones(3, 8), None),
        (torch.ones(1, 8), torch.ones(3, 9), None),
        (torch.ones(1, 8), torch.ones(8, 3).T, None),
        (torch.ones(1, 8), torch.ones(3, 8, device="meta"), None),
        (torch.ones(1, 8), torch.ones(3, 8), torch.ones(4)),
        (torch.ones(1, 8), torch.ones(3, 8), torch.ones(3).half()),
    ],
)
def test_what_does_not_fit_is_refused(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    with pytest.raises(ValueError, match="cast or copy"):
        linear_rows(1, FP32)(x, weight, bias)


def test_rows_and_dtypes_that_are_not_served() -> None:
    for rows, dtype in ((0, FP32), (9, FP32), (1, torch.float64)):
        with pytest.raises(ValueError, match="expected 1 to 8 of"):
            linear_rows(rows, dtype)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    linear_rows.cache_clear()
    linear_function.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoCompiler, match="no-such-compiler was not found"):
        linear_rows(1, FP32)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(NoCompiler, match="false said: nothing"):
        linear_rows(1, FP32)


def test_the_source_in_c_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    native = discover().implementations("linear").get("native")
    before = fingerprint(native)
    reading = type(SOURCE).read_bytes
    monkeypatch.setattr(type(SOURCE), "read_bytes", lambda path: reading(path) + b" " * path.name.endswith(".c"))
    _hashed.cache_clear()
    assert fingerprint(native) != before
