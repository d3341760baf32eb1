"""Which configurations are tried on a case, in what order, and which are left out beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.contract.space import Configuration, Space, Value, label, variant
from attnlab.bench.errors import AttnlabError, PluginError
from attnlab.bench.stats.racing import Rule
from attnlab.bench.store.machine import Device
from attnlab.bench.store.tuning import LeftOut, TunedCase
from attnlab.bench.text import one_line, reason_of
from attnlab.bench.tuning.limits import beyond

T = TypeVar("T")
Misfits = Callable[[Mapping[str, Configuration]], Mapping[str, str]]


def tuned_case(
    made: Implementation, space: Space, case: Case, device: Device, alpha: float, misfits: Misfits = lambda others: {}
) -> TunedCase:
    """The search on a case: the built-in configuration and those that fit, the nearest to it first.

    misfits: why some of the others cannot run, by name, of those that nothing else leaves out. Raises PluginError where
    a function of the space fails, or the built-in configuration is none of it.
    """

    def asked(what: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except AttnlabError:
            raise
        except Exception as error:  # of the implementation's author
            raise PluginError(
                f"the search space of {made.key} fails in {what} for {case.id}: {reason_of(error)}"
            ) from error

    default = dict(asked("default", lambda: space.default(case)))
    if list(default) != list(space.axes):
        expected = ", ".join(space.axes)
        raise PluginError(f"the search space of {made.key} has the default {label(default)}; expected {expected}")
    exact, sizes = asked("shape", lambda: space.shape(case))
    candidates, left_out = {variant(made.name, default): default}, []
    for one in _nearest_first(space, default):
        reason = asked("unfit", partial(space.unfit, case, one))
        reason = reason or beyond(asked("least", partial(space.least, case, one)), device)
        if reason is not None:
            left_out.append(LeftOut(one, one_line(reason)))
        else:
            candidates[variant(made.name, one)] = one
    others = {name: one for name, one in candidates.items() if one is not default}
    for name, reason in misfits(others).items():
        left_out.append(LeftOut(candidates.pop(name), one_line(reason)))
    return TunedCase(
        case.id,
        variant(made.name, default),
        candidates,
        tuple(left_out),
        dict(exact),
        dict(sizes),
        Rule(len(candidates) - 1, alpha).rounds,
    )


def variants(made: Implementation, cases: Mapping[str, TunedCase]) -> Iterator[Implementation]:
    """An implementation for each candidate of any case."""
    seen: set[str] = set()
    for case in cases.values():
        for name, configuration in case.candidates.items():
            if name not in seen:
                seen.add(name)
                yield made.configured(configuration)


def _nearest_first(space: Space, default: Configuration) -> list[dict[str, Value]]:
    """All but the built-in one: good ones are mostly near to it, and the sooner they are met the more are stopped."""

    def distance(one: Configuration) -> int:
        return sum(abs(_place(space, name, one[name]) - _place(space, name, default[name])) for name in space.axes)

    return sorted((one for one in space.candidates() if one != default), key=distance)


def _place(space: Space, name: str, value: Any) -> int:
    """Where a value stands among those of its axis; the default may be none of them."""
    values = space.axes[name]
    if value in values:
        return values.index(value)
    return sum(isinstance(other, int) and isinstance(value, int) and other < value for other in values)
