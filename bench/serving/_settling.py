"""Out of what the processes of a client saw, one log: times since the load began, tokens counted, no key in a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.serving._asking import Course
from attnlab.bench.serving._driving import Done
from attnlab.bench.serving.asked import Asked
from attnlab.bench.serving.counting import Count, counted
from attnlab.bench.serving.load import Load
from attnlab.bench.serving.log import Arrivals, Served, ServedLog, Window
from attnlab.bench.serving.secret import Key
from attnlab.bench.text import one_line

NAME_LENGTH = 200  # characters of what a server calls its model, and of a finish reason


@dataclass(frozen=True)
class Terms:
    """What is known of a load beside what was seen of it."""

    asked: Sequence[Asked]
    load: Load
    count: Count | None
    key: Key | None


def settled(terms: Terms, begun_ns: int, parts: Sequence[Done]) -> ServedLog:
    """The log of a load of which these are the parts; each request stands in it once."""
    courses: dict[int, Course] = {}
    for part in parts:
        for number, course in part.courses.items():
            assert number not in courses, number
            courses[number] = course
    requests = tuple(_served(courses[number], begun_ns, terms) for number in sorted(courses))
    return ServedLog(
        requests=requests,
        begun_ns=begun_ns,
        ended_ns=max([part.ended_ns for part in parts], default=begun_ns) - begun_ns,
        loop_lag_ns=tuple(lag for part in parts for lag in part.lags_ns),
        unsent=tuple(one.number for one in terms.asked if one.number not in courses),
        window=_window(requests, terms.load),
        interrupted=any(part.interrupted for part in parts),
        processes=len(parts),
    )


def _served(course: Course, begun_ns: int, terms: Terms) -> Served:
    answer = course.answer

    def since(at_ns: int | None) -> int | None:
        return None if at_ns is None else at_ns - begun_ns

    def cleaned(text: str) -> str:
        return text if terms.key is None else terms.key.out_of_answer(text)

    tokens, by, split_by = counted(answer, terms.count)
    prompt = None if answer.usage is None else answer.usage.prompt
    ended_ns = course.ended_ns if course.ended_ns is not None else course.begun_ns
    return Served(
        number=course.number,
        due_ns=course.due_ns - begun_ns,
        begun_ns=course.begun_ns - begun_ns,
        ended_ns=ended_ns - begun_ns,
        sent_ns=since(course.steps.sent_ns),
        connected_ns=since(course.steps.connected_ns),
        connecting_ns=course.steps.connecting_ns,
        headers_ns=since(course.headers_ns),
        arrivals=Arrivals(
            tuple(at_ns - begun_ns for at_ns in answer.times_ns),
            tuple(answer.sizes_bytes),
            tuple(answer.kinds),
            tokens,
        ),
        text=cleaned(answer.text("text")),
        reasoning=cleaned(answer.text("reasoning")),
        tool=cleaned(answer.text("tool")),
        finish_reason=answer.finish_reason and one_line(cleaned(answer.finish_reason), NAME_LENGTH),
        usage=answer.usage,
        counted_by=by,
        split_by=split_by,
        ids=tuple(answer.ids) if answer.ids else None,
        model=answer.model and one_line(cleaned(answer.model), NAME_LENGTH),
        done=answer.done,
        streamed=answer.streamed,
        status=course.status,
        attempts=max(1, course.attempts),
        retried=tuple(course.retried),
        failure=course.failure,
        prompt_tokens=course.prompt_tokens if prompt is None else prompt,
        process=course.process,
    )


def _window(requests: Sequence[Served], load: Load) -> Window | None:
    """From the end of the warm-up to when the last request was due: after that the load falls."""
    begin_ns = round(units.seconds_to_ns(load.warm_up_s))
    if load.warm_up_requests:
        ends = sorted(one.ended_ns for one in requests)
        if len(ends) < load.warm_up_requests:
            return None
        begin_ns = max(begin_ns, ends[load.warm_up_requests - 1])
    end_ns = max((one.due_ns for one in requests), default=-1)
    return Window(begin_ns, end_ns) if begin_ns <= end_ns else None
