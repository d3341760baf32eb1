"""The kernels in C for weights in codes: every variant right for every form, shape and stride, and what they refuse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.quantization.activations import activation_codes
from attnlab.bench.llm.quantization.choosing import quantisation_method, quantise
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.llm.quantization.weight import QuantizedWeight
from attnlab.bench.measuring.fingerprint import sources
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.kernels.cpu.quantized_rows import FORMS, dequantised_rows, quantized_function, quantized_rows
from attnlab.kernels.cpu.row_numbers import VARIANTS, NoCompiler, target, variants

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
has_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
SHAPES = {"int8": ((1, 1), (5, 31), (33, 130)), "int8_dynamic": ((1, 1), (9, 63), (33, 130))}
ZEN4 = "flags\t\t: fpu avx avx2 fma f16c bmi1 bmi2 movbe avx512f avx512bw avx512cd avx512dq avx512vl avx512_vnni\n"


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def stored(n: int, k: int, form: str) -> QuantizedWeight:
    return quantise(numbers(n, k) * k**-0.5, weight_format(form), quantisation_method("rtn")).weight


def product(x: Tensor, weight: QuantizedWeight) -> Tensor:
    """In float64, of x's codes where the format has them."""
    wide = x.double()
    if weight.format.activations != "same":
        codes, scale = activation_codes(x, weight.format.activations)
        wide = codes.double() * scale.double()
    return wide @ weight.dequantised(torch.float64).T


@has_compiler
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("form", "rows", "dtype"),
    [("int8", 3, BF16), ("int8_dynamic", 2, FP32), ("int4_g32_asym", 1, FP32), ("int4_g64", 8, FP16)],
)
def test_agrees_with_float64(form: str, rows: int, dtype: torch.dtype, variant: str) -> None:
    if variant not in variants():
        with pytest.raises(ValueError, match="expected one that this processor has"):
            quantized_rows(rows, dtype, form, variant)
        return
    call = quantized_rows(rows, dtype, form, variant)
    for n, k in SHAPES.get(form, ((1, 64), (7, 192), (33, 576))):
        weight = stored(n, k, form)
        x, bias = numbers(rows, k + 3).to(dtype)[:, :k], numbers(n).to(dtype)
        for added in (None, bias):
            exact = product(x, weight) + (0 if added is None else added.double())
            allowed = torch.finfo(dtype).eps * exact.abs() + 1e-5
            assert bool(((call(x, weight.planes, added).double() - exact).abs() <= allowed).all()), (n, k)


@has_compiler
@pytest.mark.parametrize(
    ("form", "dtype", "variant"),
    [("int8", FP16, variants()[0]), ("int4_g128", BF16, "plain"), ("int4_g32_asym", FP32, variants()[0])],
)
def test_what_codes_stand_for_is_written_out_as_the_format_has_it(form: str, dtype: torch.dtype, variant: str) -> None:
    weight = stored(9, 128, form)
    written = dequantised_rows(dtype, form, variant)(weight.planes, torch.empty(9, 128, dtype=dtype))
    assert torch.equal(written, weight.dequantised(dtype))


@has_compiler
def test_steps_of_any_size_are_read_exactly() -> None:
    """Scales that float16 has few bits of, and the largest."""
    for variant in variants():
        weight = stored(4, 64, "int4_g32_asym")
        weight.planes["scale"].copy_(torch.tensor([[6e-8, 6.1e-5], [65504.0, -65504.0], [0.0, -1e-7], [3e-5, 1.0]]))
        written = dequantised_rows(FP32, "int4_g32_asym", variant)(weight.planes, torch.empty(4, 64))
        assert torch.equal(written, weight.dequantised())
        exact = product(torch.ones(1, 64), weight)
        assert torch.allclose(
            quantized_rows(1, FP32, "int4_g32_asym", variant)(torch.ones(1, 64), weight.planes).double(), exact
        )


@has_compiler
def test_codes_of_activations_are_those_of_the_rule() -> None:
    """Halves to even, the largest and its opposite, a row of zeros: by the unit weight x comes out as it is coded."""
    x = torch.tensor([[127.0, -127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 63.5], [0.0] * 8])
    unit = {"codes": torch.eye(8, dtype=torch.int8), "scale": torch.ones(8, 1)}
    codes, scale = activation_codes(x, "int8_token")
    for variant in variants():
        assert torch.equal(quantized_rows(2, FP32, "int8_dynamic", variant)(x, unit), codes.float() * scale)


@has_compiler
def test_sums_of_the_largest_codes_are_exact() -> None:
    k = 131_072
    planes = {"codes": torch.full((2, k), -127, dtype=torch.int8), "scale": torch.ones(2, 1)}
    for variant in variants():
        out = quantized_rows(2, FP32, "int8_dynamic", variant)(torch.full((2, k), 127.0), planes)
        assert out.tolist() == [[-127.0 * 127.0 * k] * 2] * 2


@has_compiler
@pytest.mark.parametrize(
    ("form", "change", "said"),
    [
        ("int4_g32", {"scale": torch.ones(3, 2)}, r"plane scale \[3, 2\] of torch.float32.*float16"),
        ("int4_g32", {"scale": torch.ones(3, 1).half()}, r"plane scale \[3, 1\]"),
        ("int4_g32", {"codes": torch.zeros(3, 24, dtype=torch.uint8)}, "48 columns in int4_g32; expected a multiple"),
        ("int4_g32_asym", {}, "plane minimum none"),
        ("int4_g32", {"codes": torch.zeros(32, 3, dtype=torch.uint8).T}, "contiguous; copy it"),
        ("int8_dynamic", {"codes": torch.zeros(1, 131_073, dtype=torch.int8)}, "at most 131072"),
        ("int4_g32", {"codes": torch.zeros(1, 262_160, dtype=torch.uint8)}, "at most 524288"),
    ],
    ids=["dtype", "shape", "tail", "minimum", "order", "wide", "wide steps"],
)
def test_planes_that_do_not_fit_are_refused(form: str, change: dict[str, Tensor], said: str) -> None:
    planes = {**stored(3, 64, "int4_g32").planes, **change}
    with pytest.raises(ValueError, match=said):
        quantized_rows(1, FP32, form)(torch.ones(1, 64), planes)


@has_compiler
def test_rows_that_do_not_fit_are_refused() -> None:
    planes = stored(3, 64, "int4_g32").planes
    call = quantized_rows(1, FP32, "int4_g32")
    for x, bias in ((torch.ones(2, 64), None), (torch.ones(1, 64).half(), None), (torch.ones(1, 64), torch.ones(4))):
        with pytest.raises(ValueError, match="cast or copy"):
            call(x, planes, bias)
    with pytest.raises(ValueError, match="to fill"):
        dequantised_rows(FP32, "int4_g32")(planes, torch.empty(3, 65))


def test_widths_that_are_not_served_are_told_before_anything_is_drawn() -> None:
    for name in ("native", "by_rows"):
        made = discover().implementations("linear").get(name)
        assert made.supports(LinearCase(n=16, k=2**22, format="int4_g32")) == (
            "K=4194304 in int4_g32 is not served: 524288 at most"
        )
        assert made.supports(LinearCase(n=16, k=2**22, format="int8")) is None


def test_rows_dtypes_and_forms_that_are_not_served() -> None:
    for rows, dtype, form in ((0, FP32, "int8"), (9, FP32, "int8"), (1, torch.float64, "int8"), (1, FP32, "nf4")):
        with pytest.raises(ValueError, match="expected 1 to 8 of"):
            quantized_rows(rows, dtype, form)


def test_a_processor_has_the_variants_whose_instructions_it_has() -> None:
    assert variants(ZEN4) == tuple(VARIANTS)
    assert variants(ZEN4.replace(" avx512_vnni", "")) == ("avx512", "avx2", "plain")
    assert variants(ZEN4.replace(" avx512bw", "")) == ("avx2", "plain")
    assert variants(ZEN4.replace(" fma", "")) == variants("Features\t: asimd\n") == variants("") == ("plain",)
    assert target("plain") == ()


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    quantized_rows.cache_clear()
    quantized_function.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoCompiler, match="no-such-compiler was not found"):
        quantized_rows(7, FP32, "int8")


def test_implementations_serve_what_the_kernels_do_and_have_their_sources_in_the_fingerprint() -> None:
    made = discover().implementations("linear").get("native")
    for form in FORMS:
        assert made.supports(LinearCase(format=form)) is None
    assert made.supports(LinearCase(format="nf4")) is not None
    found = {path.name for path in sources(Path(made.source), made.built_from)}
    assert {"quantized_rows.c", "linear_rows.c", "row_numbers.c"} <= found
