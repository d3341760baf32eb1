"""Products with quantised weights compile for GPUs that are not here, without spills, and refuse what does not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, target
from attnlab.kernels.triton.linear import linear, linear_codes
from attnlab.kernels.triton.linear_arguments import PackedWeight, pack_int4, pack_int8

pytestmark = pytest.mark.usefixtures("fresh_cache")

N, K = 4096, 4096


def meta(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


def x(m: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return meta(m, K, dtype=dtype)


def int4(group: int, asymmetric: bool = False) -> PackedWeight:
    steps = meta(N, K // group, dtype=torch.float32)
    return PackedWeight("int4", K, meta(N, K // 4, dtype=torch.int16), steps, steps if asymmetric else None, group)


def int8() -> PackedWeight:
    return PackedWeight("int8", K, meta(N, K, dtype=torch.int8), meta(N, dtype=torch.float32))


def fp8() -> PackedWeight:
    return PackedWeight("fp8", K, meta(N, K, dtype=torch.float8_e4m3fn), meta(N, dtype=torch.float32))


LAUNCHES: dict[str, tuple[int, str, Callable[[], object]]] = {
    "int4-few-rows": (90, "HGMMA", lambda: linear(x(1), int4(128))),
    "int4-asymmetric": (80, "HMMA", lambda: linear(x(64), int4(128, asymmetric=True))),
    "int4-many-rows": (90, "HGMMA", lambda: linear(x(512, torch.float16), int4(64))),
    "int8-few-rows": (100, "", lambda: linear(x(16), int8())),
    "int8-codes": (90, "IGMMA", lambda: linear_codes(x(512), int8())),
    "fp8-codes": (90, "QGMMA", lambda: linear_codes(x(512), fp8(), each_token=False)),
    "fp8-codes-before-its-products": (80, "HMMA", lambda: linear_codes(x(64), fp8())),
}
"""The target, and the product's instruction where it is known by name."""


@pytest.mark.parametrize("name", LAUNCHES)
def test_no_spills(name: str) -> None:
    sm, product, launch = LAUNCHES[name]
    with target(sm) as compiled:
        launch()
    for report in compiled.reports:
        assert (report.spills, report.stack_bytes) == (0, 0)
        assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]
    if product:
        assert any(report.count(product) for report in compiled.reports)


def test_an_eight_bit_code_of_few_rows_is_read_once_and_in_wide_loads() -> None:
    with target(90) as compiled:
        linear(x(1), int8())
    opcodes = compiled.reports[0].opcodes
    wide = [name for name in opcodes if name.startswith("LDGSTS") and "128" in name]
    assert wide


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        (lambda: linear(meta(2, K + 1), int8()), r"x \[2, 4097\]; expected 4096 columns"),
        (lambda: linear(x(2), fp8()), "a weight in fp8; expected int4 or int8; call linear_codes"),
        (lambda: linear_codes(x(2), int4(64)), "a weight in int4; expected int8 or fp8; call linear"),
        (lambda: linear(x(2), int8(), meta(N - 1)), r"bias \[4095\]; expected \[4096\]"),
        (lambda: linear(torch.empty(2, K), int8()), "x on cpu; expected tensors on a GPU"),
        (lambda: pack_int8(meta(N, K), meta(N, 1)), "of torch.bfloat16 .* expected .N, K. of torch.int8"),
        (lambda: pack_int4(meta(N, K, dtype=torch.uint8), meta(N, K // 16), None), "expected groups of 32, 64 or 128"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_launch(launch: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        launch()


def test_nothing_is_launched_for_no_rows() -> None:
    with target(90) as compiled:
        assert linear(x(0), int8()).shape == (0, N)
        assert linear_codes(x(0), int8()).shape == (0, N)
    assert not compiled.reports


def test_four_bit_codes_are_packed_in_planes_and_the_last_round_is_filled_with_zeros() -> None:
    codes = torch.randint(0, 16, (3, 192), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    packed = pack_int4(codes, torch.ones(3, 6), None)
    units = packed.codes.int() & 0xFFFF
    assert units.shape == (3, 64)
    for column in (0, 31, 32, 100, 127, 128, 160, 191):
        step, within = divmod(column, 128)
        nibble, unit = divmod(within, 32)
        assert torch.equal(units[:, 32 * step + unit] >> 4 * nibble & 15, codes[:, column].int())
    assert bool((units[:, 32:] >> 8 == 0x88).all()), "columns beyond the last stand for 0"
    assert not packed.scale[:, 6:].any()
