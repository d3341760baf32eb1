"""Every format of weights: what is packed comes back, bytes are as stored, errors are within the steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.quantization.activations import activation_codes, quantised
from attnlab.bench.llm.quantization.choosing import quantisation_method, quantise
from attnlab.bench.llm.quantization.coding import WeightFormat, known_weight_formats, weight_format
from attnlab.bench.llm.quantization.weight import joined

FORMATS = list(known_weight_formats())
RTN = quantisation_method("rtn")


def weight(n: int = 6, k: int = 256, seed: int = 0) -> Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def nearest(w: Tensor, format: WeightFormat):
    return quantise(w, format, RTN).weight


@pytest.mark.parametrize("name", FORMATS)
def test_planes_are_as_declared(name: str) -> None:
    format = weight_format(name)
    made = nearest(weight(), format)
    declared = {plane.name: (plane.shape, plane.dtype) for plane in format.codec.planes(6, 256, torch.float32)}
    assert {name: (tuple(plane.shape), plane.dtype) for name, plane in made.planes.items()} == declared
    assert made.nbytes == format.nbytes(6, 256, torch.float32)


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_holds_it_holds_again(name: str) -> None:
    """Values on the grid are their own nearest values with the same steps: nothing moves a second time."""
    codec = weight_format(name).codec
    codes, steps = codec.unpack(nearest(weight(), weight_format(name)).planes, 6, 256)
    values = codec.values(codes, steps)
    assert torch.equal(codec.values(codec.codes(values, steps), steps), values)


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_zeros_stay_zeros(name: str) -> None:
    w = weight()
    w[2] = 0.0
    w[4, :128] = 0.0
    values = nearest(w, weight_format(name)).dequantised()
    assert values.isfinite().all()
    assert not values[2].any()


@pytest.mark.parametrize("name", FORMATS)
def test_joined_rows_are_those_of_the_parts(name: str) -> None:
    parts = [nearest(weight(n, seed=n), weight_format(name)) for n in (2, 5)]
    whole = joined(parts)
    if not weight_format(name).rows_apart:
        assert whole is None
    else:
        assert whole is not None
        assert torch.equal(whole.dequantised(), torch.cat([part.dequantised() for part in parts]))


@pytest.mark.parametrize(("name", "step"), [("int8", 1 / 127), ("int4_g64", 1 / 8), ("int4_g64_asym", 1 / 15)])
def test_an_error_is_half_a_step_at_most(name: str, step: float) -> None:
    w = weight()
    groups = w.unflatten(1, (-1, weight_format(name).codec.group(256)))
    span = groups.amax(-1) - groups.amin(-1) if name.endswith("asym") else groups.abs().amax(-1)
    error = (nearest(w, weight_format(name)).dequantised() - w).abs().unflatten(1, (-1, groups.shape[-1])).amax(-1)
    assert (error <= 0.51 * step * span * (1.0 if name != "int4_g64" else 2.0)).all()


def test_asymmetric_groups_hold_the_packaged_form_exactly() -> None:
    """ggml's Q4_1: codes 0 to 15 over a scale and a minimum in float16."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 16, (4, 8, 32), generator=generator)
    codes[..., 0], codes[..., 1] = 0, 15
    scale = torch.rand(4, 8, 1, generator=generator).half().float()
    minimum = -torch.rand(4, 8, 1, generator=generator).half().float()
    w = (codes * scale + minimum).flatten(1)
    made = nearest(w, weight_format("int4_g32_asym"))
    torch.testing.assert_close(made.dequantised(), w, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("w", "name", "said"),
    [
        (torch.full((2, 64), torch.nan), "int8", "128 numbers are NaN or infinite"),
        (torch.full((2, 64), torch.inf), "int4_g32", "NaN or infinite"),
        (torch.ones(2, 96), "int4_g64", "K=96 is no multiple of a group's 64 columns"),
        (torch.ones(2, 32), "int4_g64", "groups of 64 columns are wider than the weight, which has 32"),
        (torch.ones(64), "int8", r"got a weight \[64\]"),
        (torch.ones(2, 64, dtype=torch.int32), "int8", r"of torch.int32; expected numbers"),
    ],
)
def test_what_cannot_be_stored(w: Tensor, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        quantise(w, weight_format(name), RTN)


def test_codes_of_activations_by_hand() -> None:
    x = torch.tensor([[127.0, -1.5, 2.5, 0.0], [0.0, 0.0, 0.0, 0.0], [-254.0, 1.0, 3.0, 5.0]])
    codes, scale = activation_codes(x, "int8_token")
    assert codes.tolist() == [[127, -2, 2, 0], [0, 0, 0, 0], [-127, 0, 2, 2]]
    assert scale.flatten().tolist() == [1.0, 0.0, 2.0]
    assert quantised(x, "int8_token", torch.float64)[2].tolist() == [-254.0, 0.0, 4.0, 4.0]
    codes, scale = activation_codes(x, "fp8_tensor")
    assert scale.shape == (1, 1)
    assert torch.equal(quantised(x, "same", torch.float32), x)
