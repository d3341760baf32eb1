"""The standard's cases of event streams, each fed whole and byte by byte."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.bench.serving.sse import Parser, StreamError

MOST = 1 << 20


def parse(data: bytes, step: int | None = None, most: int = MOST) -> list[tuple[str | None, str]]:
    parser = Parser(most)
    chunks = [data] if step is None else [data[n : n + step] for n in range(0, len(data), step)]
    return [(event.data, event.type) for chunk in chunks for event in parser.feed(chunk)]


CASES = {
    "one": (b"data: a\n\n", [("a", "message")]),
    "two lines of data": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("YHOO\n+2\n10", "message")]),
    "comment, id, none": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [(None, "comment"), ("first event", "message"), ("second event", "message"), (" third event", "message")],
    ),
    "empty data": (b"data\n\ndata\ndata\n\ndata:", [("", "message"), ("\n", "message")]),
    "a space or none": (b"data:test\n\ndata: test\n\n", [("test", "message"), ("test", "message")]),
    "cr": (b"data: a\rdata: b\r\rdata: c\r\r", [("a\nb", "message"), ("c", "message")]),
    "crlf": (b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", [("a\nb", "message"), ("c", "message")]),
    "mixed ends": (b"data: a\rdata: b\ndata: c\r\n\ndata: d\n\r", [("a\nb\nc", "message"), ("d", "message")]),
    "named event": (b"event: error\ndata: x\n\ndata: y\n\n", [("x", "error"), ("y", "message")]),
    "event without data": (b"event: ping\n\ndata: y\n\n", [("y", "message")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("a", "message")]),
    "one mark alone": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("b", "message")]),
    "unknown field": (b"foo: 1\ndata: a\nData: b\n data: c\n\n", [("a", "message")]),
    "colon in a value": (b"data: a: b:c\n\n", [("a: b:c", "message")]),
    "no end": (b"data: a\n\ndata: b\n", [("a", "message")]),
    "keep-alive": (b": keep-alive\n\n:\n\ndata: a\n\n", [(None, "comment"), (None, "comment"), ("a", "message")]),
    "characters": ("data: é€😀\n\n".encode(), [("é€😀", "message")]),
    "other ends of lines": ("data: a\u2028b\x0bc\x85d\n\n".encode(), [("a\u2028b\x0bc\x85d", "message")]),
    "nothing": (b"\n\n\r\r\n", []),
}


@pytest.mark.parametrize("step", [None, 1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_the_standards_cases(name: str, step: int | None) -> None:
    data, wanted = CASES[name]
    assert parse(data, step) == wanted


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"data: a", b"data: \xe2\x82\xac", b":c", b"", b"\r", b"\n", b"\r\n", b"id: 1"])),
    st.data(),
)
def test_where_the_network_parts_it_does_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = Parser(MOST)
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [(e.data, e.type) for part in parts for e in parser.feed(part)] == parse(stream)


def test_an_event_is_there_with_the_cr_that_ends_it() -> None:
    """The half of CR LF that is to come is not waited for."""
    parser = Parser(MOST)
    assert [event.data for event in parser.feed(b"data: a\r\n\r")] == ["a"]
    assert parser.feed(b"\n") == []
    assert [event.data for event in parser.feed(b"data: b\n\n")] == ["b"]


def test_sizes_are_those_in_the_stream() -> None:
    events = Parser(MOST).feed(b": c\ndata: a\nid: 7\n\ndata: bc\n\n")
    assert [event.size_bytes for event in events] == [4, 15, 10]


def test_ids_and_waits_are_kept() -> None:
    parser = Parser(MOST)
    parser.feed(b"id: 7\nretry: 250\ndata: a\n\nid: x\0y\nretry: 1.5\nretry: \xd9\xa3\n\n")
    assert (parser.last_id, parser.retry_ms) == ("7", 250)


def test_a_field_named_error_is_told() -> None:
    """llama.cpp wrote errors so, which the standard ignores."""
    (event,) = Parser(MOST).feed(b'error: {"code": 500}\n\n')
    assert (event.data, event.odd) == ("", '{"code": 500}')


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("bad", [b"data: a\xff\n\n", b"data: \xe2\x82\n\n", b": \xc3(\n\n", b"data: \xed\xa0\x80\n\n"])
def test_bytes_that_are_no_utf8_are_told(bad: bytes, step: int | None) -> None:
    with pytest.raises(StreamError, match="no UTF-8 in a line of") as caught:
        parse(bad, step)
    assert caught.value.kind == "encoding"


@pytest.mark.parametrize("step", [None, 7])
def test_an_event_beyond_the_bound_is_told(step: int | None) -> None:
    for large in (b"data: " + b"x" * 300, b"data: x\n" * 40):
        with pytest.raises(StreamError, match="256 B at most") as caught:
            parse(large, step, most=256)
        assert caught.value.kind == "too_large"
    assert len(parse(b"data: x\n\n" * 400, step, most=256)) == 400
    assert len(parse(b": x\n" * 400, step, most=256)) == 400


def test_a_line_in_single_bytes_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        parser, begun = Parser(MOST), time.process_time()
        for _ in range(size):
            parser.feed(b"x")
        return time.process_time() - begun

    seconds(2000)
    assert seconds(40_000) < 60 * max(seconds(2_000), 1e-3)
