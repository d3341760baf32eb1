"""The planes of each format on a few numbers, worked out by hand, and the values that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.quantization.choosing import quantisation_method, quantise
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.llm.quantization.formats.nf4 import DYNAMIC, NF4
from attnlab.bench.llm.quantization.weight import QuantizedWeight


def nearest(w: Tensor, name: str) -> QuantizedWeight:
    return quantise(w, weight_format(name), quantisation_method("rtn")).weight


def test_int8() -> None:
    made = nearest(torch.tensor([[127.0, -1.5, 2.5, 0.0], [0.0, 0.0, 0.0, 0.0], [-254.0, 1.0, 3.0, 5.0]]), "int8")
    assert made.planes["codes"].tolist() == [[127, -2, 2, 0], [0, 0, 0, 0], [-127, 0, 2, 2]]
    assert made.planes["scale"].flatten().tolist() == [1.0, 0.0, 2.0]
    assert made.dequantised()[2].tolist() == [-254.0, 0.0, 4.0, 4.0]


def test_int4_is_packed_from_both_halves_of_32_columns() -> None:
    """The furthest number, -8, becomes the code 0; columns c and c + 16 share a byte."""
    w = torch.zeros(1, 32)
    w[0, 0], w[0, 1], w[0, 16], w[0, 31] = -8.0, 7.0, 3.0, -2.0
    made = nearest(w, "int4_g32")
    assert made.planes["scale"].tolist() == [[1.0]]
    assert made.planes["codes"].tolist() == [[0 | 11 << 4, 15 | 8 << 4, *[8 | 8 << 4] * 13, 8 | 6 << 4]]
    assert torch.equal(made.dequantised(), w)


def test_mxfp4() -> None:
    """The largest of the first block is 7: its scale is 4 / 4; of the second 0.75, which is 1.5 · 0.5: 0.5 / 4."""
    w = torch.zeros(1, 64)
    w[0, :8] = torch.tensor([7.0, -0.25, 0.75, 1.25, 2.5, -5.0, 0.26, -1.6])
    w[0, 32:34] = torch.tensor([0.75, -0.0625])
    made = nearest(w, "mxfp4")
    assert made.planes["scale"].tolist() == [[127, 124]]
    assert made.dequantised()[0, :8].tolist() == [6.0, 0.0, 1.0, 1.0, 2.0, -4.0, 0.5, -1.5]
    assert made.dequantised()[0, 32:34].tolist() == [0.75, -0.0625]
    assert made.planes["codes"][0, :8].tolist() == [7, 0, 2, 2, 4, 14, 1, 11]
    assert made.planes["codes"][0, 16:18].tolist() == [7, 9]


def test_a_power_of_two_is_exact_however_small() -> None:
    w = torch.full((1, 32), 2.0**-120)
    assert torch.equal(nearest(w, "mxfp4").dequantised(), w)


def test_nf4_tables() -> None:
    """QLoRA's: sixteen numbers; bitsandbytes': 256, as many of each sign in a decade as there are below it, and one."""
    numbers = DYNAMIC.numbers
    assert len(NF4.numbers) == 16
    assert len(numbers) == len(set(numbers)) == 256
    assert numbers[:2] == pytest.approx((-0.99296875, -0.97890625))
    assert numbers[126:129] == pytest.approx((-5.5e-07, 0.0, 5.5e-07))
    assert numbers[-2:] == pytest.approx((0.99296875, 1.0))


def test_nf4_scales_are_quantised_in_the_order_of_the_rows() -> None:
    """Largest magnitudes 1, 3, 2 and 2: their mean is 2, and what is left -1, 1, 0 and 0."""
    w = torch.zeros(2, 128)
    w[0, 0], w[0, 64], w[1, 0], w[1, 127] = 1.0, -3.0, 2.0, 2.0
    made = nearest(w, "nf4")
    assert made.planes["offset"].tolist() == [[2.0]]
    assert made.planes["scale_scale"].tolist() == [[1.0]]
    assert made.planes["scale"].tolist() == [[0, 255], [127, 127]]
    assert made.planes["codes"][0, 0] == 15 | 7 << 4
    assert made.planes["codes"][0, 32] == 0 | 7 << 4
    assert made.dequantised()[0, 0] == pytest.approx(2.0 - 0.99296875)
    assert made.dequantised()[0, 64] == -3.0
    assert made.dequantised()[1, 127] == 2.0


def test_int1_58_has_five_codes_a_byte() -> None:
    """The mean magnitude of the first row is 2: numbers beyond 1 become ±2, the others 0."""
    made = nearest(torch.tensor([[4.0, -3.0, 0.5, 1.5, -0.9, 2.1], [0.0] * 6]), "int1_58")
    first = 2 + 0 * 3 + 1 * 9 + 2 * 27 + 1 * 81
    assert made.planes["codes"].tolist() == [[first, 2], [121, 1]]
    assert made.planes["scale"].flatten().tolist() == [2.0, 0.0]
    assert made.dequantised().tolist() == [[2.0, -2.0, 0.0, 2.0, 0.0, 2.0], [0.0] * 6]


def test_sparse_2_4_keeps_the_larger_two_in_the_dtype() -> None:
    made = nearest(torch.tensor([[1.0, -4.0, 2.0, 0.5, 0.0, 0.0, 3.0, 0.25]], dtype=torch.bfloat16), "sparse_2_4")
    assert made.planes["codes"].dtype == torch.bfloat16
    assert made.planes["codes"].tolist() == [[-4.0, 2.0, 3.0, 0.25]]
    assert made.planes["indices"].tolist() == [[1 | 2 << 2 | 2 << 4 | 3 << 6]]
    assert made.dequantised().tolist() == [[0.0, -4.0, 2.0, 0.0, 0.0, 0.0, 3.0, 0.25]]


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("int8", 8 + 32 / 576),
        ("fp8_e4m3", 8 + 32 / 576**2),
        ("int4_g32", 4.5),
        ("int4_g64", 4.25),
        ("int4_g32_asym", 5.0),
        # a byte for 64 columns, 4 bytes for 256 of those, and 4 for all
        ("nf4", 4 + 8 / 64 + 32 * (21 + 1) / 576**2),
        ("mxfp4", 4.25),
        ("int1_58", (8 * 116 + 32) / 576),
        ("sparse_2_4", 9.0),
    ],
)
def test_bits_a_weight_with_every_scale_and_index(name: str, bits: float) -> None:
    assert weight_format(name).bits_a_weight(576, 576, torch.bfloat16) == pytest.approx(bits, rel=1e-12)


@pytest.mark.parametrize(
    ("columns", "name", "said"),
    [
        (96, "nf4", "K=96 is no multiple of a group's 64 columns"),
        (16, "mxfp4", "groups of 32 columns are wider than the weight, which has 16"),
        (12, "sparse_2_4", "K=12 is no multiple of the 8 columns of a byte of indices"),
    ],
)
def test_widths_that_cannot_be_stored(columns: int, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        nearest(torch.ones(2, columns), name)


def test_the_spelling_with_a_point() -> None:
    assert weight_format("int1.58") is weight_format("int1_58")
