"""What a `linear` case says of its format and method, and cases that take a layer of SmolLM2 as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attnlab.bench.errors import ImpossibleCase, ModelWarning
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.quantization import captured_linear
from attnlab.bench.llm.quantization.captured_linear import CapturedLinear
from attnlab.bench.ops.linear import inputs, losses
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.contract import LINEAR
from attnlab.bench.ops.linear.inputs import make_inputs

CPU = torch.device("cpu")


def facts_of(**axes: object) -> dict[str, float]:
    return {fact.quantity: fact.value for fact in LINEAR.facts(LinearCase.build({"n": 24, "k": 128, **axes}), 0, CPU)}


def test_a_weight_in_the_dtype_has_nothing_to_say() -> None:
    assert facts_of() == {}


def test_bits_and_error_by_hand() -> None:
    """Of int8 a step is a 127th of a row's largest number, and errors are even within it."""
    facts = facts_of(format="int8", dtype="float32")
    assert facts["weight_bits"] == 8 + 32 / 128
    largest = inputs.weight_and_bias(LinearCase(n=24, k=128))[0].abs().amax(1)
    expected = float((largest.square().mean() / 127**2 / 12).sqrt() / 128**-0.5)
    assert facts["format_error"] == pytest.approx(expected, rel=0.1)


def test_fewer_bits_lose_more() -> None:
    errors = [facts_of(format=name)["format_error"] for name in ("int8", "int4_g32", "int4_g128", "int1_58")]
    assert errors == sorted(errors)


def test_too_few_calibration_rows_are_said() -> None:
    """Of 512 rows that are drawn."""
    case = LinearCase.build({"n": 16, "k": 576, "format": "int4_g64", "method": "gptq"})
    with pytest.warns(ModelWarning, match="gptq: 512 tokens of calibration for 576 columns: .* 112% of its mean"):
        make_inputs(case, "drawn", 0, CPU)


AXES = {"n": 576, "k": 1536, "inputs": "smollm2:13:down", "format": "int4_g64"}


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> CapturedLinear:
    """A small stand-in: reading half of the model takes too long here."""
    generator = torch.Generator().manual_seed(0)
    made = CapturedLinear(*(torch.randn(rows, 1536, generator=generator) for rows in (576, 32, 20)))
    for module in (inputs, losses):
        monkeypatch.setattr(module, "captured_linear", lambda layer, projection: made)
    return made


def test_a_captured_layer_gives_weight_and_rows(captured: CapturedLinear) -> None:
    case = LinearCase.build({**AXES, "m": 50, "dtype": "float32", "format": "same"})
    assert case.captured == (13, "down")
    assert LinearCase.parse(case.id) == case
    made = make_inputs(case, "drawn", 3, CPU)
    assert torch.equal(made.weight, captured.weight)
    assert all(any(torch.equal(row, held) for held in captured.held_out) for row in made.x)
    assert not torch.equal(made.x, make_inputs(case, "drawn", 4, CPU).x)
    assert torch.equal(captured.weight, make_inputs(case, "drawn", 4, CPU).weight)
    make_inputs(case, "needles", 1, CPU)
    assert torch.equal(made.weight, captured.weight)


def test_methods_see_the_calibration_rows_of_a_captured_layer(captured: CapturedLinear) -> None:
    case = LinearCase.build({**AXES, "method": "awq"})
    rows = inputs.calibration_rows(case)
    assert rows is captured.calibration
    assert inputs.calibration_rows(LinearCase.build(AXES)) is None


def test_a_method_loses_less_on_rows_that_are_held_out(captured: CapturedLinear) -> None:
    for x in (captured.calibration, captured.held_out):
        x[:, 100:110] *= 20.0
    smoothed, plain = (
        LINEAR.facts(LinearCase.build({**AXES, "format": "int8_dynamic", "method": method}), 0, CPU)[0].value
        for method in ("smoothquant", "rtn")
    )
    assert smoothed < 0.7 * plain


def test_real_activations_of_the_first_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of one layer are read in moments; they are kept, and read back."""
    monkeypatch.setattr(captured_linear, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(captured_linear, "CALIBRATION_TOKENS", 512)
    monkeypatch.setattr(captured_linear, "TOKENS_A_TEXT", 64)
    captured_linear._activations.cache_clear()
    first = captured_linear.captured_linear(0, "key")
    assert torch.equal(first.weight, load_model("smollm2_135m").layers[0].key)
    assert first.calibration.shape == (512, 576)
    assert first.held_out.shape == (128, 576)
    captured_linear._activations.cache_clear()
    again = captured_linear.captured_linear(0, "key")
    assert torch.equal(again.held_out, first.held_out)
    captured_linear._activations.cache_clear()


@pytest.mark.parametrize(
    "axes",
    [
        {**AXES, "n": 1536},
        {**AXES, "inputs": "smollm2:30:down"},
        {**AXES, "bias": True},
        {**AXES, "inputs": "smollm2:3:head"},
        {**AXES, "inputs": "smollm2"},
    ],
)
def test_layers_that_are_not_there(axes: dict[str, object]) -> None:
    with pytest.raises(ImpossibleCase, match="expected"):
        LinearCase.build(axes)


def test_rows_of_another_draw_are_divided_by_the_scales_of_columns_too() -> None:
    case = LinearCase(m=4, n=16, k=64, dtype="float32", format="int4_g32", method="awq", inputs="outliers")
    first, second = (make_inputs(case, "drawn", seed, CPU) for seed in (0, 1))
    assert LINEAR.redrawn is not None
    again = LINEAR.redrawn(case, first, 1)
    assert torch.equal(again.x, second.x)
    plain = make_inputs(replace(case, method="rtn"), "drawn", 1, CPU)
    assert not torch.equal(plain.x, second.x)
