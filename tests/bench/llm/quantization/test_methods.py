"""Methods that choose codes: GPTQ against its definition, AWQ and the others against rounding to nearest, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.quantization.activations import quantised
from attnlab.bench.llm.quantization.choosing import (
    Chosen,
    column_scale_of,
    known_methods,
    quantisation_method,
    quantise,
)
from attnlab.bench.llm.quantization.coding import known_weight_formats, weight_format
from attnlab.bench.llm.quantization.compensating import damping
from attnlab.bench.llm.quantization.losses import losses_of_rows, output_error, second_moments

ROUNDING = [name for name in known_weight_formats() if name != "sparse_2_4"]


def weight(n: int = 8, k: int = 128, seed: int = 0) -> Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def activations(tokens: int = 400, k: int = 128, seed: int = 1) -> Tensor:
    """Rows whose columns hang together, a few of them large, as in a model."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(k, k, generator=torch.Generator().manual_seed(99)) * k**-0.5 + torch.eye(k)
    x = torch.randn(tokens, k, generator=generator) @ mixing
    x[:, ::37] *= 12.0
    return x


def chosen(format: str, method: str, w: Tensor, x: Tensor | None) -> Chosen:
    return quantise(w, weight_format(format), quantisation_method(method), x)


def loss_of(made: Chosen, w: Tensor, x: Tensor) -> Tensor:
    """Of each row's output."""
    values = made.weight.dequantised()
    return losses_of_rows((values if made.column_scale is None else values / made.column_scale) - w, second_moments(x))


def by_definition(w: Tensor, x: Tensor, format: str, order: list[int], refit: bool) -> Tensor:
    """Codes of GPTQ, one column at a time, with the inverse of what is left of the Hessian, in float64."""
    codec = weight_format(format).codec
    k = w.shape[1]
    size = codec.group(k)
    hessian = x.double().mT @ x.double() / len(x)
    hessian += max(0.01, k / len(x)) * hessian.diagonal().mean() * torch.eye(k, dtype=torch.float64)
    left = w.double().clone()
    steps = [codec.fit(w[:, None, first : first + size]) for first in range(0, k, size)]
    codes = torch.zeros(len(w), k, dtype=torch.int64)
    for at, column in enumerate(order):
        group = column // size
        if refit and column % size == 0:
            steps[group] = codec.fit(left[:, None, column : column + size].float())
        rest = order[at:]
        inverse = torch.linalg.inv(hessian[rest][:, rest])
        code = codec.codes(left[:, column, None, None].float(), steps[group])
        codes[:, column] = code.flatten().long()
        error = (left[:, column] - codec.values(code, steps[group]).flatten().double()) / inverse[0, 0]
        left[:, rest] -= error[:, None] * inverse[0]
    return codes


@pytest.mark.parametrize(
    ("format", "method"), [("int4_g32", "gptq"), ("int8", "gptq"), ("int4_g32_asym", "gptq_act_order")]
)
def test_gptq_is_what_its_definition_says(format: str, method: str) -> None:
    """All but a few codes, which lie half way between two: 160 columns, more than are done at once."""
    w, x = weight(6, 160), activations(300, 160)
    order = list(range(160))
    if method == "gptq_act_order":
        order = torch.argsort(x.square().sum(0), descending=True).tolist()
    expected = by_definition(w, x, format, order, refit=method == "gptq")
    made = chosen(format, method, w, x).weight
    found = weight_format(format).codec.unpack(made.planes, 6, 160)[0].flatten(1).long()
    assert (found != expected).float().mean() < 0.01


@pytest.mark.parametrize("format", ROUNDING)
@pytest.mark.parametrize("method", ["gptq", "gptq_act_order"])
def test_gptq_loses_less_than_nearest_codes_on_other_rows(format: str, method: str) -> None:
    w, x, others = weight(), activations(1000), activations(300, seed=2)
    loss, nearest = (float(loss_of(chosen(format, name, w, x), w, others).sum()) for name in (method, "rtn"))
    assert loss < 0.95 * nearest if not format.startswith("fp8") else loss < 1.02 * nearest


@pytest.mark.parametrize("format", ROUNDING)
def test_awq_never_loses_more_than_nearest_codes_on_its_rows(format: str) -> None:
    w, x = weight(), activations()
    assert float(loss_of(chosen(format, "awq", w, x), w, x).sum()) <= float(
        loss_of(chosen(format, "rtn", w, x), w, x).sum()
    )


def test_awq_helps_where_columns_differ_and_clips_without_a_scale() -> None:
    """Without a layer before, which could divide by a scale, groups are clipped all the same: no row is worse."""
    w, x = weight(), activations()
    w[:, 5] *= 8.0
    nearest = loss_of(chosen("int4_g64", "rtn", w, x), w, x)
    scaled = chosen("int4_g64", "awq", w, x)
    assert scaled.column_scale is not None
    assert float(loss_of(scaled, w, x).sum()) < 0.7 * float(nearest.sum())
    clipped = quantise(w, weight_format("int4_g64"), quantisation_method("awq"), x, torch.ones(128))
    loss = loss_of(clipped, w, x)
    assert (loss <= nearest * (1 + 1e-5)).all()
    assert float(loss.sum()) < 0.95 * float(nearest.sum())


def test_one_column_scale_serves_weights_of_one_input() -> None:
    w, x, format, awq = weight(), activations(), weight_format("int4_g64"), quantisation_method("awq")
    together = column_scale_of([w[:3], w[3:]], format, awq, x)
    alone = quantise(w, format, awq, x).column_scale
    assert together is not None
    assert alone is not None
    assert torch.equal(together, alone)
    assert column_scale_of([w], format, quantisation_method("rtn"), None) is None


@pytest.mark.parametrize("format", ["int8_dynamic", "fp8_e4m3", "fp8_e4m3_row"])
def test_smoothquant_never_errs_more_than_nearest_codes_on_its_rows(format: str) -> None:
    w, x = weight(), activations()
    errors = []
    for method in ("smoothquant", "rtn"):
        made = chosen(format, method, w, x)
        rows = x if made.column_scale is None else x / made.column_scale
        out = quantised(rows, weight_format(format).activations, torch.float32) @ made.weight.dequantised().mT
        errors.append(output_error(out, x @ w.mT))
    assert errors[0] <= errors[1]
    assert format != "int8_dynamic" or errors[0] < 0.7 * errors[1]


def test_wanda_keeps_what_meets_large_activations() -> None:
    w = torch.tensor([[1.0, -4.0, 2.0, 0.5, 1.0, 1.0, 3.0, 2.0]])
    x = torch.ones(16, 8)
    x[:, 0], x[:, 4] = 10.0, -2.5
    assert chosen("sparse_2_4", "wanda", w, x).weight.dequantised().tolist() == [[1, -4, 0, 0, 1, 0, 3, 0]]
    assert chosen("sparse_2_4", "rtn", w, x).weight.dequantised().tolist() == [[0, -4, 2, 0, 0, 0, 3, 2]]


@pytest.mark.parametrize("format", ["int8", "int4_g32", "int4_g64_asym", "int1_58"])
def test_hqq_is_never_worse_in_its_own_measure(format: str) -> None:
    w = weight()
    w[0, 3], w[5, 100] = 9.0, -11.0
    losses = [
        (chosen(format, name, w, None).weight.dequantised() - w).abs().pow(0.7).sum(-1) for name in ("hqq", "rtn")
    ]
    assert (losses[0] <= losses[1] * (1 + 1e-5)).all()
    assert float(losses[0].sum()) < float(losses[1].sum())


def test_rows_and_columns_of_zeros_are_quantised() -> None:
    w, x = weight(), activations()
    w[2], x[:, 7] = 0.0, 0.0
    for method in known_methods():
        for format in ("int4_g64", "int8_dynamic", "nf4", "sparse_2_4"):
            if quantisation_method(method).refuses(weight_format(format)) is None:
                values = chosen(format, method, w, x).weight.dequantised()
                assert values.isfinite().all(), (method, format)
                assert not values[2].any(), (method, format)
    assert chosen("int4_g64", "gptq", w, torch.zeros(32, 128)).weight.dequantised().isfinite().all()


def test_damping_is_columns_a_token_or_a_hundredth() -> None:
    assert [damping(tokens, 1000) for tokens in (500, 4000, 1_000_000)] == [2.0, 0.25, 0.01]


def test_gptq_with_few_rows_loses_little_where_columns_have_nothing_in_common() -> None:
    """With the damping of the paper alone it loses about twice what nearest codes do here."""
    w, (x, others) = weight(), torch.randn(2, 40, 128, generator=torch.Generator().manual_seed(5))
    loss, nearest = (float(loss_of(chosen("int4_g32", name, w, x), w, others).sum()) for name in ("gptq", "rtn"))
    assert loss < 1.25 * nearest


def test_too_few_rows_are_said() -> None:
    notes = chosen("int4_g64", "gptq", weight(), activations(64)).notes
    assert "64 tokens of calibration for 128 columns" in notes[0]
    assert "its damping, 200% of its mean diagonal" in notes[0]
    assert not chosen("int4_g64", "gptq", weight(), activations(128)).notes


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (None, r"gptq needs calibration activations \[T, 128\]; got none"),
        (torch.ones(32, 64), r"activations \[32, 64\]; expected \[T, 128\], the width of the weight"),
        (torch.ones(15, 128), "of 16 tokens or more"),
        (torch.full((32, 128), torch.nan), "NaN or infinite; mend the texts"),
        (torch.full((32, 128), 1e20), r"activations up to 1e\+20; expected at most 1e\+15"),
    ],
)
def test_activations_that_are_no_calibration(x: Tensor | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen("int4_g64", "gptq", weight(), x)


@pytest.mark.parametrize(
    ("method", "format", "said"),
    [
        ("gptq", "sparse_2_4", "leaves numbers out and rounds none; take rtn, by magnitude, or wanda"),
        ("awq", "sparse_2_4", "leaves numbers out"),
        ("wanda", "int4_g64", "take it with sparse_2_4"),
        ("smoothquant", "int4_g64", "nothing to smooth; take awq"),
        ("hqq", "nf4", "take rtn"),
        ("hqq", "mxfp4", "take rtn"),
        ("hqq", "fp8_e4m3", "take rtn"),
    ],
)
def test_methods_that_refuse_a_format(method: str, format: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"method {method} with format {format}: .*{said}"):
        chosen(format, method, weight(), activations())
