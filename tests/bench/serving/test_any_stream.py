"""Whatever a server sends: it is an answer or a failure with words, and tokens rise to their number."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnlab.bench.serving.counting import counted
from attnlab.bench.serving.endpoint import PIECES, Part, Usage
from attnlab.bench.serving.reading import Answer

from .streams import PLAIN, delta, event, read, usage

TEXTS = st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXTS, x, max_size=3), max_leaves=6)
NAMES = ("role", "content", "reasoning", "reasoning_content", "tool_calls", "refusal")
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": VALUES,
        "delta": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3) | VALUES,
        "finish_reason": VALUES,
        "token_ids": VALUES,
    },
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICES, max_size=2) | VALUES,
        "usage": st.dictionaries(st.sampled_from(["completion_tokens", "prompt_tokens_details"]), VALUES) | VALUES,
        "timings": st.dictionaries(st.sampled_from(["a_ms", "b_s", "c"]), VALUES) | VALUES,
        "error": VALUES,
        "detail": VALUES,
        "object": VALUES,
        "model": VALUES,
    },
)


def is_sound(stream: list[bytes]) -> None:
    answer, failure = read(stream)
    assert failure is None or failure.partition(":")[0] in {"cut", "server", "unreadable", "encoding", "too_large"}
    tokens = counted(answer).tokens
    columns = (answer.times_ns, answer.sizes_bytes, answer.kinds, answer.pieces, answer.said, tokens)
    assert len({len(column) for column in columns}) == 1
    assert list(tokens) == sorted(tokens)


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENTS, max_size=4))
@example([{"choices": [{"delta": {"content": ["x", 3]}}]}])
@example([{"choices": [{"delta": {"tool_calls": [None, {"function": 3}]}}]}])
def test_json_of_any_form_is_read_or_told(events: list[object]) -> None:
    is_sound([event(one) for one in events])


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_bytes_that_went_wrong_are_read_or_told(data: st.DataObject) -> None:
    stream = bytearray(b"".join(PLAIN))
    for _ in range(data.draw(st.integers(0, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(stream)))
    is_sound([bytes(stream[:cut]), bytes(stream[cut : data.draw(st.integers(cut, len(stream)))])])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["text", "reasoning", "tool", "other"]), TEXTS, st.none() | st.integers(0, 4))),
    st.none() | st.integers(0, 40),
    st.booleans(),
    st.booleans(),
)
def test_tokens_rise_to_what_usage_says(
    events: list[tuple[str, str, int | None]], completion: int | None, ends: bool, tokenizer: bool
) -> None:
    answer = Answer()
    for kind, text, said in events:
        piece = text if kind in PIECES else ""
        answer.add(Part(kind, piece, tokens=said if piece else None), 1, 1)  # type: ignore[arg-type]
    if ends:
        answer.add(Part("other", finish_reason="stop", usage=Usage(completion=completion)), 1, 1)
    tokens, by, _ = counted(answer, (lambda text: len(text) // 2) if tokenizer else None)
    pieces = sum(map(bool, answer.pieces))
    assert list(tokens) == sorted(tokens)
    assert len(tokens) == len(answer.pieces)
    if ends and completion:
        assert (tokens[-1], by) == (completion, "usage")
        first = next((n for n, piece in enumerate(answer.pieces) if piece), None)
        assert first is None or tokens[first] >= 1 or answer.said[first] == 0, "a text begins with a token"
    elif by == "chunks":
        assert (tokens[-1] if tokens else 0) == pieces


def test_a_stream_of_this_kind_is_sound() -> None:
    is_sound([*PLAIN[:3], delta("stop"), usage(1, 2)])
