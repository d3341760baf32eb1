"""The contract of perplexity: ids that stay, costs by hand, cases that cannot be, draws, and figures of quality."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attnlab.bench import PerplexityCase
from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, NORMAL_DRAW
from attnlab.bench.errors import ImpossibleCase, UnknownName
from attnlab.bench.llm.captured.texts import token_ids
from attnlab.bench.ops.perplexity.check import furthest, logs_of, nudged
from attnlab.bench.ops.perplexity.contract import PERPLEXITY, draw_windows, facts, make_inputs, redrawn

CPU = torch.device("cpu")

FROZEN: dict[str, dict[str, object]] = {
    "prose-fp32": {},
    "toy-random-W64-S16-n4-B2-bf16": {
        "model": "toy",
        "text": "random",
        "window": 64,
        "stride": 16,
        "windows": 4,
        "batch": 2,
        "dtype": "bfloat16",
    },
    "code-W256-n16-int8_channel-fp32-w_int4_g32": {
        "text": "code",
        "window": 256,
        "windows": 16,
        "cache": "int8_channel",
        "weights": "int4_g32",
    },
    "prompts-W128-fp32-w_int4_g64.rtn+int8": {"text": "prompts", "window": 128, "weights": "int4_g64:rtn+int8"},
    "prose-fp32-w_q4_1": {"weights": "q4_1"},
}


@pytest.mark.parametrize(("id", "axes"), FROZEN.items())
def test_ids_stay_what_they_are(id: str, axes: dict[str, object]) -> None:
    case = PerplexityCase.build(axes)
    assert case.id == id.replace(".rtn", "")  # the default of a method is left out
    assert PerplexityCase.parse(id) == case


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"window": 1}, "expected 2 or more"),
        ({"window": 64, "stride": 65}, "expected at most the window"),
        ({"window": 10_000}, "expected at most 8192, the context"),
        ({"windows": 10}, "take 5120 tokens of prose; it has 4707"),
        ({"model": "toy"}, "has random weights and no tokenizer; expected random"),
        ({"model": "toy", "text": "random", "weights": "q4_1"}, "whose file holds such"),
        ({"model": "toy", "text": "random", "cache": "int4_g32"}, "head size of 16"),
        ({"weights": "int4_g128"}, "K=576 is no multiple"),
        ({"weights": "@gone.toml"}, "there is no file gone.toml; expected one that assigns formats"),
        ({"weights": "@gone/mix.toml"}, "gone/mix.toml: cannot be read"),
    ],
)
def test_cases_that_cannot_be(axes: dict[str, object], told: str) -> None:
    with pytest.raises(ImpossibleCase, match=told):
        PerplexityCase.build(axes)


def test_unknown_formats_suggest_others() -> None:
    with pytest.raises(UnknownName, match="int4_g32"):
        PerplexityCase(weights="int4_g31")


def test_costs_by_hand() -> None:
    case = PerplexityCase(model="toy", text="random", window=9, stride=4, batch=2, weights="int8")
    projections = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128
    pairs = sum(range(1, 9))
    layers = 3 * (2 * projections * 8 + 4 * 16 * 4 * pairs)
    assert PERPLEXITY.operations(case) == 2 * (layers + 4 * 2 * 64 * 512)
    rows = 2 * 64 + 2 * 32 + 2 * 128 + 64
    weights = 3 * (projections + 4 * rows + 2 * 4 * 64) + 4 * 64 + 4 * 512 * 64  # norms and head in the dtype
    assert PERPLEXITY.bytes_moved(case) == weights + 2 * 9 * 8 + 2 * 4 * 4
    assert PERPLEXITY.plain_bytes(case) == 2 * 4 * 512 * 4


def test_the_first_token_of_all_is_not_scored() -> None:
    assert PerplexityCase(window=64).scored == 63
    assert PerplexityCase(window=64, stride=16).scored == 16


def test_draws_are_pieces_of_the_text_and_needles_repeat_themselves() -> None:
    case = PerplexityCase(window=32, batch=2, windows=2)
    text = token_ids("prose")
    drawn = draw_windows(case, NORMAL_DRAW, 7)
    (start,) = (int(n) for n in (text.unfold(0, 32, 1) == drawn[0]).all(1).nonzero())
    assert torch.equal(drawn[1], text[start + 32 : start + 64])
    assert not torch.equal(drawn, draw_windows(case, NORMAL_DRAW, 8))
    needles = draw_windows(PerplexityCase(window=33, windows=2), NEEDLE_DRAW, 7)
    assert torch.equal(needles[0, :16], needles[0, 17:])


def test_a_redraw_shares_the_model() -> None:
    case = PerplexityCase(model="toy", text="random", window=16, windows=2)
    inputs = make_inputs(case, NORMAL_DRAW, 1, CPU)
    again = redrawn(case, inputs, 2)
    assert again.weights is inputs.weights
    assert torch.equal(again.ids, make_inputs(case, NORMAL_DRAW, 2, CPU).ids)


def figures(**axes: object) -> dict[str, float]:
    case = PerplexityCase.build({"model": "toy", "text": "random", "window": 40, "windows": 3, **axes})
    return {fact.quantity: fact.value for fact in facts(case, 5, CPU)}


def test_nothing_quantised_loses_nothing() -> None:
    plain = figures()
    assert plain["kl_mean"] == plain["ppl_difference"] == plain["rms_probability_change"] == 0.0
    assert plain["same_top"] == 1.0
    assert (plain["weight_bits"], plain["cache_bits"]) == (32.0, 32.0)


def test_fewer_bits_lose_more_and_both_kinds_add_up() -> None:
    int8, int4 = figures(weights="int8"), figures(weights="int4_g32")
    cache, both = figures(cache="int8_token"), figures(weights="int4_g32", cache="int8_token")
    assert 0 < int8["kl_mean"] < int4["kl_mean"]
    assert 0 < cache["kl_mean"] < int4["kl_mean"]
    assert both["kl_mean"] == pytest.approx(int4["kl_mean"] + cache["kl_mean"], rel=0.5)
    assert both["weight_bits"] == int4["weight_bits"] < int8["weight_bits"]
    assert both["cache_bits"] == 8 + 32 / 16
    assert int4["kl_mean"] < int4["kl_p99"] <= int4["kl_p999"]
    assert int4["ppl_difference_low"] < int4["ppl_difference"] < int4["ppl_difference_high"]


def test_figures_hang_on_no_seed_and_no_batch() -> None:
    case = PerplexityCase(model="toy", text="random", window=64, windows=3, weights="int8")
    other = PerplexityCase(model="toy", text="random", window=64, windows=3, weights="int8", batch=2)
    assert facts(case, 1, CPU) == facts(other, 2, CPU)


def test_an_assignment_is_a_file_of_the_case(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_text('format = "int8"\n[layers]\n"1" = "int4_g32"\n')
    case = PerplexityCase(model="toy", text="random", window=64, windows=2, weights=f"@{path}")
    assert case.files() == {"weights": path}
    assert PerplexityCase.parse(case.id) == case
    bits = {fact.quantity: fact.value for fact in facts(case, 0, CPU)}["weight_bits"]
    assert figures(weights="int4_g32")["weight_bits"] < bits < figures(weights="int8")["weight_bits"]
    other = tmp_path / "other.toml"
    other.write_text('format = "int8"\n[layers]\n"3" = "int4_g32"\n')
    with pytest.raises(ImpossibleCase, match="toy has layers 0 to 2"):
        PerplexityCase(model="toy", text="random", weights=f"@{other}")


def test_the_furthest_reading_of_each_place() -> None:
    """Of the last place most readings agree, and the one that is right is not the furthest."""
    readings = [torch.tensor([0.0, 1.0, 5.0]), torch.tensor([0.2, 1.0, 5.1]), torch.tensor([0.1, 4.0, 1.0])]
    assert furthest(readings, torch.tensor([0.1, 1.0, 1.0])).tolist() == pytest.approx([0.0, 4.0, 5.1])


@pytest.mark.parametrize(
    ("case_id", "seed", "luck"),
    [
        ("toy-random-W64-n4-fp32-w_int8_dynamic", 16, 102),
        ("toy-random-W64-n4-fp32-w_int8_dynamic", 17, 102),
        ("toy-random-W64-n4-fp32-w_int8_dynamic", 19, 100),
        ("toy-random-W64-n4-fp8_e4m3_token-fp32", 5, 100),
        ("toy-random-W64-n4-fp8_e4m3_token-fp32", 19, 101),
    ],
)
def test_an_honest_pass_whose_codes_fall_otherwise_is_right(case_id: str, seed: int, luck: int) -> None:
    """Each was an alarm while the furthest reading was that from the mean of few."""
    case = PERPLEXITY.case_type.parse(case_id)
    inputs = make_inputs(case, "drawn", seed, CPU)
    honest = logs_of(case, inputs, case.torch_dtype, nudged(luck)).float()
    assert all(deviation.within for deviation in PERPLEXITY.check.expect(case, inputs).judge((honest,)))


def test_nudges_are_half_a_step_and_come_again() -> None:
    x = torch.full((4, 64), 3.0)
    first, again, other = (nudged(seed)(x) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert set((first / 3.0 - 1).flatten().tolist()) <= {0.0, -(2.0**-24), 2.0**-23}
    assert float((first != x).float().mean()) > 0
