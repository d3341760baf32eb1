"""Requests and conversations: what a load may be made of."""

from __future__ import annotations

import pytest

from attnlab.bench.errors import ServiceError
from attnlab.bench.serving.asked import Asked, Message, checked, conversations, joined


def asked(number: int, after: int | None = None, **more: object) -> Asked:
    return Asked(number, messages=(Message("user", f"turn {number}"),), after=after, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"due_s": -1.0}, "due_s"),
        ({"due_s": float("nan")}, "due_s"),
        ({"think_s": float("inf")}, "think_s"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"after": 3}, "after"),
        ({"after": -1}, "after"),
        ({"messages": ()}, "nothing to ask"),
    ],
)
def test_a_request_that_cannot_be_is_refused(fields: dict[str, object], word: str) -> None:
    with pytest.raises(ServiceError, match=f"request 3.*{word}"):
        Asked(3, **{"messages": (Message("user", "hello"),), **fields})  # type: ignore[arg-type]


def test_a_load_numbers_its_requests_in_order() -> None:
    assert len(checked([asked(0), asked(1)])) == 2
    with pytest.raises(ServiceError, match="number 1 at place 0"):
        checked([asked(1)])
    with pytest.raises(ServiceError, match="at least one"):
        checked([])


def test_two_requests_cannot_follow_one_answer() -> None:
    with pytest.raises(ServiceError, match="1 and 2 that both follow 0"):
        checked([asked(0), asked(1, after=0), asked(2, after=0)])


def test_ids_alone_cannot_carry_an_answer() -> None:
    alone = Asked(1, prompt_ids=(1, 2), after=0)
    with pytest.raises(ServiceError, match="carries=False"):
        checked([asked(0), alone])
    checked([asked(0), Asked(1, prompt_ids=(1, 2), after=0, carries=False)])


def test_conversations_are_chains_of_turns() -> None:
    chains = conversations(checked([asked(0), asked(1), asked(2, after=0), asked(3), asked(4, after=2)]))
    assert [[one.number for one in chain] for chain in chains] == [[0, 2, 4], [1], [3]]


def test_a_turn_carries_what_was_said_before_it() -> None:
    first = asked(0)
    second = joined(asked(1, after=0), first, "hi")
    third = joined(asked(2, after=1), second, "well")
    assert [(m.role, m.text) for m in third.messages] == [
        ("user", "turn 0"),
        ("assistant", "hi"),
        ("user", "turn 1"),
        ("assistant", "well"),
        ("user", "turn 2"),
    ]
    texts = joined(Asked(1, prompt=" B", after=0, prompt_tokens=3), Asked(0, prompt="A"), " a")
    assert (texts.prompt, texts.prompt_tokens) == ("A a B", None)


def test_a_turn_that_carries_nothing_stays_as_it_is() -> None:
    turn = asked(1, after=0, carries=False)
    assert joined(turn, asked(0), "hi") is turn
