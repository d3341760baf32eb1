"""Functions as implementations: what they are called with, and what they are called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from attnlab.bench import Operator, Registry, UsageError, discover, implements
from attnlab.bench.notebook.functions import implementation

INPUTS = SimpleNamespace(q=1, k=2, v=3, mask="mask", packed=None, scale=0.5)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return discover()


@pytest.fixture(scope="module")
def attention(registry: Registry) -> Operator[Any, Any]:
    return registry.operators.get("attention")


def by_name(q: Any, k: Any, v: Any, scale: float = 1.0, dropout: float = 0.0) -> Any:
    """Its summary.

    And more.
    """
    return q, k, v, scale, dropout


class WithMethod:
    def __call__(self, q: Any, v: Any) -> Any:
        return q, v


@pytest.mark.parametrize(
    ("function", "returned"),
    [
        (lambda inputs: inputs.scale, 0.5),
        (lambda x: x.scale, 0.5),
        (lambda *everything: len(everything), 1),
        (lambda q: q, 1),
        (lambda q, k, v: (q, k, v), (1, 2, 3)),
        (lambda v, q: (q, v), (1, 3)),
        (lambda q, *, scale: (q, scale), (1, 0.5)),
        (lambda q, dropout=0.0, k=None: (q, dropout, k), (1, 0.0, 2)),
        (by_name, (1, 2, 3, 0.5, 0.0)),
        (functools.partial(by_name, dropout=0.1), (1, 2, 3, 0.5, 0.1)),
        (functools.partial(by_name, 7), (7, 2, 3, 0.5, 0.0)),
        (WithMethod(), (1, 3)),
    ],
)
def test_a_function_gets_the_inputs_that_it_asks_for(
    function: Callable[..., Any], returned: object, attention: Operator[Any, Any], registry: Registry
) -> None:
    assert implementation(function, attention, registry).run(INPUTS, None) == returned


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (by_name, "by_name"),
        (functools.partial(by_name, scale=1), "by_name"),
        (lambda inputs: inputs, "lambda"),
        (WithMethod(), "WithMethod"),
    ],
)
def test_it_is_called_as_it_is(
    function: Callable[..., Any], name: str, attention: Operator[Any, Any], registry: Registry
) -> None:
    made = implementation(function, attention, registry)
    assert (made.operator, made.name, made.module) == ("attention", name, __name__)
    if name == "by_name":
        assert (made.summary, made.source) == ("Its summary.", __file__)


def test_a_name_that_another_has_is_marked(attention: Operator[Any, Any], registry: Registry) -> None:
    def naive(inputs: Any) -> Any:
        return inputs

    first = implementation(naive, attention, registry)
    assert first.name == "naive-here"
    assert implementation(naive, attention, registry.with_implementations([first])).name == "naive-here2"
    assert "naive-here" not in registry.implementations("attention")
    assert implementation(naive, attention, registry, "other").name == "other"


def test_what_was_registered_is_what_it_was_registered_as(attention: Operator[Any, Any]) -> None:
    own = Registry()
    own.operators = discover().operators

    @implements("attention", name="mine", static_output=True, into=own)
    def function(inputs: Any) -> Any:
        return inputs

    @implements("attention", name="long", into=own)
    class Long:
        def run(self, inputs: Any, state: Any) -> Any:
            return inputs

    assert implementation(function, attention, own) is own.implementations("attention").get("mine")
    assert implementation(Long, attention, own) is own.implementations("attention").get("long")


def test_a_class_is_the_long_form(attention: Operator[Any, Any], registry: Registry) -> None:
    class Mine:
        def prepare(self, case: Any, inputs: Any) -> str:
            return "state"

        def run(self, inputs: Any, state: Any) -> Any:
            return state

    made = implementation(Mine, attention, registry)
    assert made.run(INPUTS, made.prepare(None, INPUTS)) == "state"


async def later(inputs: Any) -> Any:
    return inputs


def items(q: Any) -> Iterator[Any]:
    yield q


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            lambda a, b: a,
            r"lambda has the parameters \(a, b\); expected one, the inputs, or some of q, k, v",
        ),
        (lambda: 1, r"lambda has the parameters \(none\)"),
        (lambda q, other: q, r"\(q, other\); expected one"),
        (
            torch._C._nn.scaled_dot_product_attention,
            "of scaled_dot_product_attention cannot be read; wrap it",
        ),
        (later, "later is an async function, whose work is done where it is awaited"),
        (items, "items is a generator function, whose work is done where it is iterated"),
        (type("Empty", (), {}), r"class Empty without run\(inputs, state\)"),
        (3, "got a int; expected a function of attention's inputs, or the name of an implementation"),
    ],
)
def test_what_cannot_be_called_is_told(
    function: Any, said: str, attention: Operator[Any, Any], registry: Registry
) -> None:
    with pytest.raises(UsageError, match=said):
        implementation(function, attention, registry)


@pytest.mark.parametrize("name", ["naive", "<b>", "", 3])
def test_a_name_that_is_none_or_taken_is_refused(name: Any, attention: Operator[Any, Any], registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"got name=.*expected letters, digits, _ or -"):
        implementation(lambda inputs: inputs, attention, registry, name)


def test_what_torch_compiled_is_checked_as_such(attention: Operator[Any, Any], registry: Registry) -> None:
    assert implementation(torch.compile(by_name), attention, registry).compiled
    assert not implementation(by_name, attention, registry).compiled


def test_a_file_is_known_by_its_path(attention: Operator[Any, Any], registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text("def kernel(q, k, v):\n    return q\n")
    held: dict[str, Any] = {"__name__": "kernel"}
    exec(compile((tmp_path / "kernel.py").read_text(), tmp_path / "kernel.py", "exec"), held)
    assert implementation(held["kernel"], attention, registry).source == str(tmp_path / "kernel.py")
