"""A worker's end of the pipes: lines of JSON both ways, whatever a plugin makes of `json` meanwhile."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from attnlab.bench.measuring.channel import Channel


def channel(*requests: Any) -> tuple[Channel, io.StringIO]:
    answers = io.StringIO()
    return Channel(io.StringIO("".join(f"{json.dumps(one)}\n" for one in requests)), answers), answers


def said(answers: io.StringIO) -> list[Any]:
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_an_order_then_requests_until_they_end() -> None:
    worker, answers = channel({"order": 1}, ["open", "N8"], ["finish", "N8"])
    assert worker.read() == {"order": 1}
    for verb, case_id in worker.requests():
        worker.send("measurement", f"{verb} {case_id}")
    assert said(answers) == [["measurement", "open N8"], ["measurement", "finish N8"]]


def test_what_is_asked_is_answered_amid_requests() -> None:
    worker, answers = channel(["measure", "N8"], True, ["measure", "N9"])
    requests = worker.requests()
    assert next(requests) == ["measure", "N8"]
    assert worker.ask("mark", 3) is True
    assert list(requests) == [["measure", "N9"]]
    assert said(answers) == [["mark", 3]]


def test_a_plugin_that_changes_json_changes_nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, answers = channel(["burst", 4])
    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", lambda text: ["burst", 1])
        patch.setattr(json, "dumps", lambda value: "[]")
        assert list(worker.requests()) == [["burst", 4]]
        worker.send("burst", 4)
    assert said(answers) == [["burst", 4]]


def test_what_breaks_it_is_told_and_ends_it() -> None:
    worker, answers = channel()
    with pytest.raises(SystemExit), worker.telling_why_it_is_broken():
        raise ValueError("no kernel without its driver")
    ((kind, (reason, detail)),) = said(answers)
    assert (kind, reason) == ("broken", "ValueError: no kernel without its driver")
    assert "Traceback" in detail
