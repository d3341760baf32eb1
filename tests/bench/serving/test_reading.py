"""What chunks mean, by recorded streams of each kind; and how many tokens each is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from attnlab.bench.serving.counting import Counted, counted
from attnlab.bench.serving.endpoint import Part, Usage
from attnlab.bench.serving.reading import AnswerFailed, Reading
from attnlab.bench.serving.service import Limits

from .streams import DONE, PLAIN, ROLE, Chat, delta, event, read, usage


def tokens(stream: Sequence[bytes], count: object = None) -> Counted:
    answer, failure = read(stream)
    assert failure is None
    return counted(answer, count)  # type: ignore[arg-type]


def test_a_plain_stream() -> None:
    answer, failure = read(PLAIN)
    assert failure is None
    assert answer.kinds == ["role", "text", "text", "other", "usage", "done"]
    assert answer.times_ns == [10, 20, 30, 40, 50, 60]
    assert (answer.text("text"), answer.finish_reason, answer.model, answer.done) == ("Hello", "length", "m", True)
    assert answer.usage == Usage(9, 2)
    assert counted(answer) == ((0, 1, 2, 2, 2, 2), "usage", "one_each")


def test_an_empty_first_chunk_is_no_token() -> None:
    answer, _ = read([delta(content=""), delta(content="a", finish="stop"), DONE])
    assert answer.kinds == ["role", "text", "done"]
    assert counted(answer) == ((0, 1, 1), "chunks", "one_each")


class Early(Chat):
    """An endpoint that tells of a token before anything of the answer is there."""

    def read_event(self, data: str) -> Part:
        part = super().read_event(data)
        return part._replace(kind="text", tokens=1) if part.kind == "role" else part


def test_a_number_of_tokens_before_anything_is_seen_is_none() -> None:
    reading = Reading(Early(), Limits(), 16)
    for place, data in enumerate([ROLE, delta(content="a"), delta(content="b", finish="length"), usage(9, 2), DONE], 1):
        reading.feed(data, 10 * place)
    assert reading.answer.kinds[0] == "role"
    assert counted(reading.answer).tokens == (0, 1, 2, 2, 2)


def test_a_role_that_brings_text_is_a_token() -> None:
    answer, _ = read([delta(role="assistant", content="a"), delta("stop"), DONE])
    assert answer.kinds[0] == "text"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_comes_before_the_answer_and_is_counted(name: str) -> None:
    stream = [ROLE, delta(**{name: "hm"}), delta(**{name: "m"}), delta(content="yes"), delta("stop"), usage(5, 3), DONE]
    answer, failure = read(stream)
    assert failure is None
    assert answer.kinds == ["role", "reasoning", "reasoning", "text", "other", "usage", "done"]
    assert (answer.text("reasoning"), answer.text("text")) == ("hmm", "yes")
    assert counted(answer).tokens == (0, 1, 2, 3, 3, 3, 3)


def test_an_event_may_have_reasoning_and_text() -> None:
    answer, _ = read([delta(reasoning="a", content="b", finish="stop"), DONE])
    assert (answer.kinds[0], answer.pieces[0]) == ("text", "ab")


def test_calls_of_tools_are_pieces() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "look", "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": '{"x": 1}'}}
    answer, _ = read([ROLE, delta(tool_calls=[call]), delta(tool_calls=[rest]), delta("tool_calls"), DONE])
    assert answer.kinds == ["role", "tool", "tool", "other", "done"]
    assert (answer.text("tool"), answer.text("text")) == ('look{"x": 1}', "")
    assert answer.finish_reason == "tool_calls"


def test_comments_are_signs_of_life() -> None:
    answer, failure = read([b": keep-alive\n\n", ROLE, b": OPENROUTER PROCESSING\n\n", *PLAIN[1:], b"data:\n\n"])
    assert failure is None
    assert answer.kinds == ["keep_alive", "role", "keep_alive", "text", "text", "other", "usage", "done", "keep_alive"]
    assert counted(answer).tokens == (0, 0, 0, 1, 2, 2, 2, 2, 2)


def test_a_chunk_of_bytes_may_hold_several_events_and_half_of_one() -> None:
    whole = b"".join(PLAIN)
    one, _ = read([whole])
    assert set(one.times_ns) == {10}
    cut = whole.index(b"lo") + 1
    two, _ = read([whole[:cut], whole[cut:]])
    assert two.kinds == one.kinds
    assert two.times_ns == [10, 10, 20, 20, 20, 20], "an event is there when its last byte is"


def test_a_character_parted_by_the_network_is_whole() -> None:
    data = delta(content="😀é")
    for cut in range(data.index("😀".encode()) + 1, len(data) - 10):
        answer, failure = read([data[:cut], data[cut:], delta("stop"), DONE])
        assert failure is None
        assert (answer.text("text"), answer.times_ns[0]) == ("😀é", 20)


def test_a_character_of_several_tokens_leaves_chunks_empty() -> None:
    """A server that holds back half a character sends an empty piece, which is a token where the numbers fit."""
    stream = [ROLE, delta(content="a"), delta(content=""), delta(content="é"), delta("length"), usage(1, 3), DONE]
    assert tokens(stream) == ((0, 1, 2, 3, 3, 3, 3), "usage", "one_each")
    assert tokens([*stream[:-2], usage(1, 4), DONE]) == ((0, 1, 2, 3, 4, 4, 4), "usage", "one_each")
    assert tokens([*stream[:-2], usage(1, 2), DONE]) == ((0, 1, 1, 2, 2, 2, 2), "usage", "one_each")
    with_ids = [
        ROLE,
        delta(ids=[5], content="a"),
        delta(ids=[6], content=""),
        delta(ids=[7], content="é", finish="length"),
    ]
    assert tokens([*with_ids, usage(1, 3), DONE]).tokens == (0, 1, 2, 3, 3, 3)


def test_several_tokens_in_a_chunk_are_told_by_ids() -> None:
    stream = [ROLE, delta(ids=[1, 2, 3], content="abc"), delta("length", ids=[4], content="d"), usage(1, 4), DONE]
    answer, _ = read(stream)
    assert answer.ids == [1, 2, 3, 4]
    assert counted(answer) == ((0, 3, 4, 4, 4), "usage", "ids")
    assert tokens([*stream[:-2], DONE]) == ((0, 3, 4, 4), "ids", "ids")


def test_ids_that_not_all_pieces_have_are_none() -> None:
    answer, _ = read([delta(ids=[1], content="a"), delta(content="b", finish="stop"), usage(1, 2), DONE])
    assert answer.ids is None
    assert counted(answer).tokens == (1, 2, 2, 2)


def test_several_tokens_in_a_chunk_are_spread_by_characters() -> None:
    stream = [
        ROLE,
        delta(content="a"),
        delta(content="bcdefghi"),
        delta(content="j"),
        delta("length"),
        usage(1, 10),
        DONE,
    ]
    assert tokens(stream) == ((0, 1, 9, 10, 10, 10, 10), "usage", "characters")


def test_the_callers_tokenizer_spreads_and_counts() -> None:
    stream = [ROLE, delta(content="a b"), delta(content=" cccccccccc"), delta("length")]

    def count(text: str) -> int:
        return len(text.split())

    assert tokens([*stream, usage(1, 6), DONE], count) == ((0, 4, 6, 6, 6, 6), "usage", "tokenizer")
    assert tokens([*stream, DONE], count) == ((0, 2, 3, 3, 3), "tokenizer", "tokenizer")
    assert tokens([*stream, DONE]) == ((0, 1, 2, 2, 2), "chunks", "one_each")


def test_the_token_that_ends_a_text_is_counted_where_it_shows() -> None:
    stream = [ROLE, delta(content="a"), delta(content="b"), delta("stop"), usage(1, 3), DONE]
    assert tokens(stream) == ((0, 1, 2, 3, 3, 3), "usage", "one_each")


def test_fewer_tokens_than_pieces_still_begin_with_one() -> None:
    stream = [ROLE, *(delta(content=c) for c in "abcd"), delta("stop"), usage(1, 2), DONE]
    counts = tokens(stream).tokens
    assert (counts[1], counts[-1]) == (1, 2)
    assert list(counts) == sorted(counts)


def test_a_usage_of_zero_beside_a_text_is_none() -> None:
    assert tokens([delta(content="a"), delta("stop"), usage(3, 0), DONE]) == ((1, 1, 1, 1), "chunks", "one_each")


def test_an_answer_without_a_text_has_the_token_that_ended_it() -> None:
    assert tokens([ROLE, delta("stop"), usage(3, 1), DONE]) == ((0, 1, 1, 1), "usage", "one_each")
    assert tokens([ROLE, delta("stop"), DONE]) == ((0, 0, 0), "chunks", "one_each")


def test_usage_in_every_chunk_is_the_last_one() -> None:
    running = [
        event(
            {"choices": [{"index": 0, "delta": {"content": c}}], "usage": {"prompt_tokens": 4, "completion_tokens": n}}
        )
        for n, c in enumerate("ab", 1)
    ]
    answer, failure = read([*running, delta("length"), usage(4, 2, cached=3), DONE])
    assert failure is None
    assert answer.usage == Usage(4, 2, 3)
    assert counted(answer).tokens == (1, 2, 2, 2, 2)


def test_timings_of_a_server_are_kept() -> None:
    last = {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "timings": {"prompt_ms": 1.5, "prompt_n": 3},
    }
    answer, _ = read([delta(content="a"), event(last), DONE])
    assert answer.usage is not None
    assert answer.usage.timings == {"prompt_ns": 1_500_000.0}


def test_a_missing_mark_of_the_end_is_no_failure_after_a_finish_reason() -> None:
    answer, failure = read(PLAIN[:-1])
    assert failure is None
    assert not answer.done


def test_a_mark_of_the_end_will_do_without_a_finish_reason() -> None:
    answer, failure = read([ROLE, delta(content="a"), DONE])
    assert (failure, answer.finish_reason) == (None, None)


@pytest.mark.parametrize("upto", range(3))
def test_a_stream_that_ends_too_soon_is_cut(upto: int) -> None:
    answer, failure = read(PLAIN[:upto] if upto else [b""])
    assert failure is not None
    assert failure.startswith(f"cut: the stream ended after {max(0, upto - 1)} pieces")
    assert len(answer.kinds) == upto, "what came is kept"


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "abort"])
def test_finish_reasons_are_kept_as_they_are(reason: str) -> None:
    assert read([delta(content="a"), delta(reason), DONE])[0].finish_reason == reason


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (event({"error": {"message": "out of pages", "type": "overloaded"}}), "out of pages (overloaded)"),
        (event({"error": "out of pages", "error_type": "overloaded"}), "out of pages (overloaded)"),
        (event({"object": "error", "message": "out of pages", "code": 500}), "out of pages (500)"),
        (event({"detail": "out of pages"}), "out of pages"),
        (b'event: error\ndata: {"error": {"message": "out of pages"}}\n\n', "out of pages"),
        (b'error: {"message": "out of pages"}\n\n', "out of pages"),
    ],
)
def test_an_error_in_mid_stream_is_the_servers(told: bytes, words: str) -> None:
    answer, failure = read([ROLE, delta(content="a"), told, delta(content="b"), DONE])
    assert failure is not None
    assert failure.startswith("server: the server told an error in mid-stream: ")
    assert words in failure
    assert answer.kinds == ["role", "text", "error"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (event("<html>"), "no JSON"),
        (event('{"choices": '), "no JSON"),
        (event("[1]"), "expected a JSON object"),
        (event({"choices": [3]}), "list of objects"),
        (event({"choices": [{"delta": 3}]}), "an object as `delta`"),
        (event({"hello": 1}), "expected `choices`"),
        (event("[" * 100_000), "no JSON"),
    ],
)
def test_events_of_another_form_are_unreadable(told: bytes, words: str) -> None:
    _, failure = read([ROLE, told])
    assert failure is not None
    assert failure.startswith("unreadable: got ")
    assert words in failure
    assert len(failure) < 500


def test_bytes_that_are_no_utf8_fail_the_request() -> None:
    _, failure = read([ROLE, delta(content="a").replace(b'"a"', b'"\xff"')])
    assert failure is not None
    assert failure.startswith("encoding: got 1 byte 0xff")


def test_another_answer_to_the_same_request_is_not_counted() -> None:
    other = event({"choices": [{"index": 1, "delta": {"content": "zz"}}]})
    assert read([ROLE, other, *PLAIN[1:]])[0].text("text") == "Hello"


def test_what_comes_after_the_end_is_nothing() -> None:
    answer, failure = read([*PLAIN, delta(content="more"), event("garbage")])
    assert failure is None
    assert (answer.text("text"), answer.kinds[-2:]) == ("Hello", ["other", "other"])


def test_a_stream_that_never_ends_is_told() -> None:
    _, failure = read([delta(content="a")] * 1000, max_tokens=4)
    assert failure is not None
    assert failure.startswith("endless: got more than 96 pieces")


def test_an_answer_beyond_the_bound_is_told() -> None:
    _, failure = read([b": x\n\n" * 100] * 30, limits=Limits(answer_bytes=4096))
    assert failure is not None
    assert failure.startswith("too_large: ")


def test_a_fault_of_the_endpoint_is_told_as_the_clients() -> None:
    class Broken(Chat):
        def read_event(self, data: str) -> Part:
            raise KeyError("choices")

    with pytest.raises(AnswerFailed, match=r"client: the endpoint's read_event raised KeyError"):
        Reading(Broken(), Limits(), 4).feed(ROLE, 1)


def whole(body: object) -> Reading:
    reading = Reading(Chat(), Limits(), 4)
    reading.whole(json.dumps(body).encode(), 70)
    reading.end()
    return reading


def test_an_answer_that_was_not_streamed_is_one_arrival() -> None:
    message = {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}
    found = {
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}},
    }
    answer = whole(found).answer
    assert (answer.text("text"), answer.text("reasoning"), answer.streamed) == ("Hello", "hm", False)
    assert (answer.times_ns, answer.usage) == ([70], Usage(9, 4, None, 2))
    assert counted(answer) == ((4,), "usage", "characters")
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    asked = whole({"choices": [{"message": call, "finish_reason": "tool_calls"}]}).answer
    assert (asked.text("tool"), asked.text("text"), asked.kinds) == ("f{}", "", ["tool"])


@pytest.mark.parametrize("body", ["hello", {"error": {"message": "no such model"}}, {"choices": []}])
def test_a_whole_answer_of_another_form_is_unreadable(body: object) -> None:
    with pytest.raises(AnswerFailed, match="unreadable: "):
        whole(body)
