"""What returns before its work is done, and what does not."""

from __future__ import annotations

import asyncio
import functools
import itertools
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from attnlab.bench import Registry, implements
from attnlab.bench.contract.unfinished import unfinished_function, unfinished_result
from attnlab.bench.errors import PluginError


async def coroutine(*_: Any) -> int:
    return 1


async def stream(*_: Any) -> AsyncIterator[int]:
    yield 1


def items(*_: Any) -> Iterator[int]:
    yield 1


@functools.wraps(coroutine)
def finished(*_: Any) -> int:
    return asyncio.run(coroutine())


class Asynchronous:
    async def __call__(self, *_: Any) -> int:
        return 1

    async def method(self) -> int:
        return 1


class Awaitable:
    def __await__(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    ("function", "kind", "advice"),
    [
        (coroutine, "an async function", "lambda: asyncio.run(f())"),
        (functools.partial(functools.partial(coroutine, 1), 2), "an async function", "asyncio.run"),
        (Asynchronous(), "an async function", "asyncio.run"),
        (functools.partial(Asynchronous()), "an async function", "asyncio.run"),
        (Asynchronous().method, "an async function", "asyncio.run"),
        (stream, "an async generator function", "async for"),
        (items, "a generator function", "lambda: list(f())"),
    ],
)
def test_what_is_declared_is_known_before_it_is_called(function: Any, kind: str, advice: str) -> None:
    told = unfinished_function(function)
    assert told is not None
    assert told.startswith(f"is {kind}, whose work is done where it is ")
    assert advice in told


@pytest.mark.parametrize("function", [finished, functools.partial(finished), abs, Awaitable, Asynchronous, lambda: 1])
def test_what_does_its_work_is_told_apart_from_what_it_wraps(function: Any) -> None:
    assert unfinished_function(function) is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (coroutine, "returns a coroutine, whose work is done where it is awaited"),
        (Awaitable, "returns a Awaitable, whose work is done where it is awaited"),
        (stream, "returns a async_generator, whose work is done where it is iterated by async for"),
        (items, "returns a generator, whose work is done where it is iterated"),
        (lambda: map(abs, [1]), "returns a map, whose work is done where it is iterated"),
        (lambda: itertools.count(), "returns a count, whose work is done where it is iterated"),
        (Future, "returns a Future, whose work is done where it is waited for"),
    ],
)
def test_what_is_returned_is_looked_at(call: Callable[[], Any], said: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a coroutine that nobody awaits warns where it is collected
        told = unfinished_result(call())
    assert told is not None
    assert told.startswith(said)


def test_what_is_done_is_a_result() -> None:
    done: Future[int] = Future()
    done.set_result(1)
    for result in (None, 1, [1], iter([1]), {1: 2}, done):
        assert unfinished_result(result) is None


@pytest.mark.parametrize("target", [coroutine, stream, items, functools.partial(coroutine)])
def test_such_a_function_is_no_implementation(target: Any) -> None:
    with pytest.raises(PluginError, match=r"^implementation 'mine' of toy: is an? .*whose work is done where"):
        implements("toy", name="mine", into=Registry())(target)


@pytest.mark.parametrize("method", ["run", "prepare", "supports"])
def test_nor_is_a_class_with_such_a_method(method: str) -> None:
    made = type("Mine", (), {"run": lambda self, inputs, state: inputs, method: coroutine})
    with pytest.raises(PluginError, match=f"implementation 'mine' of toy: {method} is an async function"):
        implements("toy", name="mine", into=Registry())(made)
