"""What other tools make of small streams, worked out by hand from their definitions."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from attnlab.bench.analysis.peers.recorded import LABELS, Event, Figures, Objectives, Recorded, Stream, interpolated

MS = 1e6
TOOLS = ("ours", "vllm", "sglang", "guidellm", "aiperf")
STRICT = Objectives(ttft_ns=60 * MS, tpot_ns=20 * MS)


def tool(name: str) -> ModuleType:
    return importlib.import_module(f"attnlab.bench.analysis.peers.{name}")


def figures(name: str, *streams: Stream, ended_ms: float = 200.0, objectives: Objectives = STRICT) -> Figures:
    found = tool(name).figures(Recorded(streams, ended_ms * MS), objectives)
    assert isinstance(found, Figures)
    return found


def stream(*events: tuple[float, str, int], ended_ms: float = 130.0, told: int | None = 6, **rest: object) -> Stream:
    """(ms, text, tokens by then) of each event, after one that was due at 10 ms, begun at 15 and sent at 20."""
    made = tuple(Event(time * MS, bool(text), tokens) for time, text, tokens in events)
    given: dict[str, object] = {
        "due_ns": 10 * MS,
        "begun_ns": 15 * MS,
        "sent_ns": 20 * MS,
        "prompt_tokens": 5,
        "told_tokens": told,
    }
    return Stream(**{**given, "events": made, "ended_ns": ended_ms * MS, **rest})  # type: ignore[arg-type]


CHAT = stream(  # a role, then two tokens, one, three, and a reason to end without text
    (40.0, "", 0),
    (60.0, "ab", 2),
    (80.0, "c", 3),
    (110.0, "def", 6),
    (120.0, "", 6),
)


@pytest.mark.parametrize("name", TOOLS)
def test_each_tool_says_what_differs(name: str) -> None:
    module = tool(name)
    assert module.TOOL
    assert module.SOURCE
    assert name == "ours" or module.WORDS.keys() == LABELS.keys()


@pytest.mark.parametrize(
    ("name", "expected_ms"),
    [
        ("ours", 50.0),  # from when it was due to the first text
        ("vllm", 25.0),  # from when it was begun to the role
        ("sglang", 45.0),  # to the first text
        ("guidellm", 40.0),  # from its first byte, once connected
        ("aiperf", 45.0),
    ],
)
def test_time_to_first_token(name: str, expected_ms: float) -> None:
    assert figures(name, CHAT).ttft_ns == pytest.approx(expected_ms * MS)


@pytest.mark.parametrize(
    ("name", "expected_ms"),
    [
        ("ours", 10.0),  # a gap of 20 for one token, one of 30 for three: of 20, 10, 10, 10
        ("vllm", 20.0),  # of gaps 20, 20, 30, 10, those about the role and the end included
        ("sglang", 25.0),  # of gaps 20, 30
        ("guidellm", 10.0),  # (110 − 60) / (6 − 1)
        ("aiperf", 10.0),
    ],
)
def test_inter_token_latency(name: str, expected_ms: float) -> None:
    assert figures(name, CHAT).itl_ns == pytest.approx(expected_ms * MS)


@pytest.mark.parametrize(
    ("name", "expected_ms"),
    [
        ("ours", (110 - 60) / (6 - 2)),  # after the first chunk, which has two of the six
        ("vllm", (120 - 40) / 5),
        ("sglang", (130 - 60) / 5),
        ("guidellm", (110 - 20) / 6),  # the first token included
        ("aiperf", (110 - 60) / 5),
    ],
)
def test_time_per_output_token(name: str, expected_ms: float) -> None:
    assert figures(name, CHAT).tpot_ns == pytest.approx(expected_ms * MS)


@pytest.mark.parametrize(
    ("name", "expected_ms"),
    [("ours", 100.0), ("vllm", 105.0), ("sglang", 115.0), ("guidellm", 110.0), ("aiperf", 95.0)],
)
def test_end_to_end(name: str, expected_ms: float) -> None:
    assert figures(name, CHAT).e2e_ns == pytest.approx(expected_ms * MS)


@pytest.mark.parametrize(
    ("name", "answered_ms", "tokens_ms"),
    [
        ("ours", 100.0, 100.0),  # from the first that was due to the last token
        ("vllm", 200.0, 200.0),  # until the load is over
        ("sglang", 200.0, 200.0),
        ("guidellm", 110.0, 110.0),  # from sending to the end of the stream
        ("aiperf", 200.0, 200.0),
    ],
)
def test_rates_are_over_other_times(name: str, answered_ms: float, tokens_ms: float) -> None:
    found = figures(name, CHAT)
    assert found.answered_per_s == pytest.approx(1e3 / answered_ms)
    assert found.output_tok_per_s == pytest.approx(6e3 / tokens_ms)


def test_goodput_hangs_on_whose_latency_is_kept() -> None:
    kept = {name: figures(name, CHAT).goodput_per_s for name in TOOLS}
    assert kept["sglang"] is None
    assert all(kept[name] == figures(name, CHAT).answered_per_s for name in ("ours", "vllm", "guidellm", "aiperf"))
    narrow = Objectives(ttft_ns=30 * MS, tpot_ns=20 * MS)
    assert figures("vllm", CHAT, objectives=narrow).goodput_per_s == pytest.approx(5.0)  # its role came after 25 ms
    assert figures("ours", CHAT, objectives=narrow).goodput_per_s == 0.0
    assert figures("aiperf", CHAT, objectives=narrow).goodput_per_s == 0.0


def test_an_answer_of_one_token() -> None:
    one = stream((60.0, "a", 1), ended_ms=70.0, told=1)
    assert all(figures(name, one).itl_ns is None for name in ("ours", "vllm", "sglang", "aiperf"))
    assert all(figures(name, one).tpot_ns is None for name in ("ours", "vllm", "sglang", "aiperf"))
    good = {name: figures(name, one).goodput_per_s for name in ("ours", "vllm", "aiperf")}
    assert good["ours"] == pytest.approx(20.0)  # no time per token is undefined, and kept
    assert good["vllm"] == pytest.approx(5.0)  # and taken for 0
    assert good["aiperf"] == 0.0  # and not kept


def test_what_failed_is_in_no_latency() -> None:
    failed = stream((300.0, "a", 1), failed=True)
    for name in TOOLS:
        assert figures(name, CHAT, failed).ttft_ns == figures(name, CHAT).ttft_ns
        assert figures(name, failed).ttft_ns is None
        assert not figures(name, failed).output_tok_per_s


def test_lengths_are_by_usage_or_as_they_were_counted() -> None:
    counted = stream((60.0, "a", 1), (80.0, "bc", 3), told=None, own_tokens=2)
    assert figures("vllm", counted).tpot_ns == pytest.approx(10 * MS)
    assert figures("guidellm", counted).itl_ns == pytest.approx(10 * MS)
    assert figures("aiperf", counted).tpot_ns == pytest.approx(20 * MS)  # by its own tokenizer


def test_a_stall_within_an_answer_is_hidden_by_its_mean() -> None:
    """Of 610 gaps of a millisecond, ten are half a second."""
    times = [60.0 + n + 499 * (n // 61) for n in range(610)]
    stalled = stream(*((time, "t", n + 1) for n, time in enumerate(times)), told=610, ended_ms=times[-1])
    found = {name: figures(name, stalled, ended_ms=times[-1]) for name in TOOLS}
    assert found["vllm"].itl_p99_ns == found["sglang"].itl_p99_ns == found["ours"].itl_p99_ns == 500 * MS
    mean_ns = (times[-1] - times[0]) / 609 * MS
    assert found["aiperf"].itl_p99_ns == found["guidellm"].itl_p99_ns == pytest.approx(mean_ns)
    assert mean_ns < 10 * MS


def test_guidellm_weighs_a_request_by_its_tokens() -> None:
    short = stream((60.0, "a", 1), (160.0, "b", 2), told=2)  # 100 ms a token
    assert figures("guidellm", CHAT, short).itl_ns == pytest.approx(10 * MS)
    assert figures("aiperf", CHAT, short).itl_ns == pytest.approx(55 * MS)  # each counts alike


def test_percentiles_between_samples() -> None:
    assert interpolated([], 0.5) is None
    assert interpolated([4.0, 1.0], 0.5) == 2.5
    assert interpolated([1.0, 2.0, 3.0, 5.0], 0.99) == pytest.approx(4.94)
