"""Each format by hand: codes, scales, error of rounding, bits; and the edges that make a scale zero."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import UnknownName
from attnlab.bench.llm.caches import Codec, format_of, known_formats
from attnlab.bench.llm.codes import pack, unpack

FORMATS = tuple(known_formats())


def tokens(count: int = 64, width: int = 64, seed: int = 0) -> Tensor:
    """[1, T, 2, D]"""
    return torch.randn(1, count, 2, width, generator=torch.Generator().manual_seed(seed))


def through(codec: Codec, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Encoded, stored in the planes' dtypes, and decoded."""
    valid = torch.ones(x.shape[:2], dtype=torch.bool)
    fixed = codec.calibrate(x, valid)
    planes = fixed | codec.encode(x, valid, fixed)
    for spec in codec.planes(x.shape[-1], dtype):
        planes[spec.name] = planes[spec.name].to(spec.dtype)
        if spec.each == "group":
            planes[spec.name] = planes[spec.name].repeat_interleave(codec.group, 1)
    return codec.decode(planes)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("same", 32),
        ("int8_token", 8.5),
        ("int8_channel", 8.25),
        ("fp8_e4m3", 8),
        ("fp8_e4m3_token", 8.5),
        ("int4_g32", 5),
    ],
)
def test_bits_of_a_value_count_scales_and_minima(name: str, bits: float) -> None:
    assert format_of(name).bits_a_value(64, torch.float32) == bits


def test_int8_by_token_by_hand() -> None:
    x = torch.tensor([[[[127.0, -63.5, 0.4, 0.0]]], [[[0.0, 0.0, 0.0, 0.0]]]])
    codec = format_of("int8_token").keys
    planes = codec.encode(x, torch.ones(2, 1, dtype=torch.bool), {})
    assert planes["data"].tolist() == [[[[127, -64, 0, 0]]], [[[0, 0, 0, 0]]]]  # halves to even
    assert planes["scale"].flatten().tolist() == [1.0, 0.0]


def test_int8_by_channel_saturates_beyond_what_calibrated_it() -> None:
    codec = format_of("int8_channel").keys
    valid = torch.ones(1, 1, dtype=torch.bool)
    fixed = codec.calibrate(torch.tensor([[[[127.0, 1.27]]]]), valid)
    codes = codec.encode(torch.tensor([[[[300.0, -0.64]]]]), valid, fixed)["data"]
    assert codes.flatten().tolist() == [127, -64]


def test_calibration_looks_at_tokens_only() -> None:
    x = torch.tensor([[[[1.0]], [[1000.0]]]])
    valid = torch.tensor([[True, False]])
    for name in ("int8_channel", "fp8_e4m3"):
        assert float(format_of(name).keys.calibrate(x, valid)["scale"].max()) <= 1.0


def test_int4_values_by_hand() -> None:
    x = torch.linspace(-3.0, 4.5, 16).repeat_interleave(2)[None, None, None]  # sixteen steps of 0.5
    codec = format_of("int4_g32").values
    planes = codec.encode(x, torch.ones(1, 1, dtype=torch.bool), {})
    assert (float(planes["scale"]), float(planes["minimum"])) == (0.5, -3.0)
    assert unpack(planes["data"]).flatten().tolist() == [code for code in range(16) for _ in range(2)]
    assert torch.equal(codec.decode(planes), x)


def test_int4_keys_share_a_scale_by_channel_over_the_tokens_that_are_there() -> None:
    x = torch.zeros(1, 32, 1, 32)
    x[0, :3, 0, 0] = torch.tensor([0.0, 7.5, 15.0])
    x[0, 3:] = 1e4  # no tokens
    codec = format_of("int4_g32").keys
    planes = codec.encode(x, torch.arange(32)[None] < 3, {})
    assert float(planes["scale"][0, 0, 0, 0]) == 1.0
    assert unpack(planes["data"])[0, :3, 0, 0].tolist() == [0, 8, 15]
    assert float(planes["scale"][0, 0, 0, 1:].abs().max()) == 0.0


def test_packing_puts_channels_c_and_c_plus_16_of_32_into_a_byte() -> None:
    codes = (torch.arange(64) % 16).to(torch.uint8)
    packed = pack(codes)
    assert packed.shape == (32,)
    assert int(packed[1]) == (int(codes[17]) << 4) + int(codes[1])
    assert int(packed[16 + 2]) == (int(codes[32 + 18]) << 4) + int(codes[32 + 2])
    assert torch.equal(unpack(packed), codes)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("side", ["keys", "values"])
def test_rounding_errs_by_half_a_step_at_most(name: str, side: str) -> None:
    x = tokens()
    codec: Codec = getattr(format_of(name), side)
    error = (through(codec, x) - x).abs()
    spread = x.amax() - x.amin()
    step = {"same": 0.0, "int4_g32": spread / 15}.get(name, spread / 2 / 127)
    if name.startswith("fp8"):
        assert bool((error <= x.abs() / 16 + spread / 448 / 64).all())
    else:
        assert float(error.max()) <= step / 2 * 1.01 + 1e-6


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("side", ["keys", "values"])
def test_zeros_and_constants_come_back(name: str, side: str) -> None:
    codec: Codec = getattr(format_of(name), side)
    assert torch.equal(through(codec, torch.zeros(1, 32, 2, 32)), torch.zeros(1, 32, 2, 32))
    assert torch.allclose(through(codec, torch.full((1, 32, 2, 32), 0.75)), torch.tensor(0.75), rtol=1e-3)


def test_outlier_channels_hurt_keys_by_token_more_than_by_channel() -> None:
    """Why keys have scales by channel."""
    x = tokens()
    x[..., 5] *= 50
    others = torch.arange(64) != 5

    def lost(name: str) -> float:
        return float((through(format_of(name).keys, x) - x)[..., others].square().mean().sqrt())

    assert lost("int8_token") > 5 * lost("int8_channel")


def test_a_format_that_is_none_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown cache format 'int8_tokens'; did you mean 'int8_token'"):
        format_of("int8_tokens")
