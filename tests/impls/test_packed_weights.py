"""A weight is packed once for however many numbers of rows, and again when it was written to."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.errors import Unavailable
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.inputs import LinearInputs
from attnlab.impls.linear._cpu_products import PackedWeights, Product


def product(packed: PackedWeights, weight: torch.Tensor, rows: int) -> Product:
    case = LinearCase(m=rows, n=weight.shape[0], k=weight.shape[1], dtype="float32")
    try:
        return packed.product(case, LinearInputs(torch.zeros(rows, weight.shape[1]), weight, None))
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_one_copy_serves_every_number_of_rows() -> None:
    packed, weight = PackedWeights(), torch.randn(64, 32)
    made = [product(packed, weight, rows) for rows in (16, 64)]
    assert len(packed) == 1
    for multiply in made:
        x = torch.randn(48, 32)
        torch.testing.assert_close(multiply(x), x @ weight.T)


def test_a_weight_that_was_written_to_is_packed_anew() -> None:
    packed, weight, x = PackedWeights(), torch.randn(64, 32), torch.randn(16, 32)
    product(packed, weight, 16)
    weight.mul_(2)
    torch.testing.assert_close(product(packed, weight, 16)(x), x @ weight.T)


def test_a_copy_goes_with_its_weight() -> None:
    packed, weight = PackedWeights(), torch.randn(64, 32)
    product(packed, weight, 16)
    del weight
    assert len(packed) == 0
