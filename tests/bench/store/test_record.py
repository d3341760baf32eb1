"""A record is a dataclass to all who use it, and a strict struct to msgspec."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from attnlab.bench.store.record import record
from attnlab.bench.store.records import Measurement, RunRecord, Series


@record
class Part:
    """Something."""

    name: str
    sizes: tuple[float, ...] = ()
    amounts: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.sizes)


@record
class Whole:
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if len(self.parts) > 2:
            raise ValueError("too many")

    @cached_property
    def total(self) -> float:
        return sum(part.total for part in self.parts)


def test_it_is_a_frozen_dataclass() -> None:
    part = Part("a", (1.0, 2.0))
    assert (part.total, part.amounts, Part.__doc__, Part.__module__) == (3.0, {}, "Something.", __name__)
    assert dataclasses.replace(part, name="b") == Part("b", sizes=(1.0, 2.0))
    assert dataclasses.asdict(Whole((part,))) == {"parts": ({"name": "a", "sizes": (1.0, 2.0), "amounts": {}},)}
    assert [f.name for f in dataclasses.fields(Part)] == ["name", "sizes", "amounts"]
    assert repr(part) == "Part(name='a', sizes=(1.0, 2.0), amounts={})"
    assert Part("a").amounts is not Part("a").amounts
    assert part != Part("a")
    assert copy.deepcopy(part) == part
    with pytest.raises(AttributeError):
        part.name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Part()  # type: ignore[call-arg]


def test_what_it_works_out_once_is_kept() -> None:
    whole = Whole((Part("a", (1.0,)),))
    assert whole.total == 1.0
    assert "total" in vars(whole)
    with pytest.raises(ValueError, match="too many"):
        Whole((Part("a"),) * 3)


def test_it_goes_to_another_process() -> None:
    series = Series("latency", "ns", "wall", "lower", (1.0,))
    assert pickle.loads(pickle.dumps(series)) == series


@pytest.mark.parametrize(
    "text",
    [
        '{"parts":[{"name":"a","colour":1}]}',
        '{"parts":[],"colour":1}',
        '{"parts":[{"name":1}]}',
        '{"parts":[{"sizes":[]}]}',
        '{"parts":[{"name":"a","sizes":[true]}]}',
        '{"parts":[{"name":"a"},{"name":"a"},{"name":"a"}]}',
    ],
)
def test_msgspec_refuses_what_does_not_fit(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Whole)


def test_python_collects_none_of_its_parts() -> None:
    assert not gc.is_tracked(Part("a"))


def parts_of(kind: Any) -> Iterator[type]:
    """The dataclasses that a type is made of."""
    if dataclasses.is_dataclass(kind):
        yield kind  # type: ignore[misc]
        for hint in get_type_hints(kind).values():
            yield from parts_of(hint)
    for argument in get_args(kind):
        yield from parts_of(argument)


@pytest.mark.parametrize("kind", [Measurement, RunRecord])
def test_what_is_stored_is_made_of_records_alone(kind: type) -> None:
    found = set(parts_of(kind))
    assert len(found) > 5
    assert all(issubclass(part, msgspec.Struct) for part in found)
