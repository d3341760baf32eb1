"""A user's function as an implementation: of all inputs as one, or of some of them by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any

from attnlab.bench.contract.discovery import LONGEST_NAME, NAME
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import Implementation, Registry, implementation_of
from attnlab.bench.contract.unfinished import unfinished_function
from attnlab.bench.errors import PluginError, UsageError
from attnlab.bench.text import one_line

HERE = "here"  # ends the name of a function whose own name a registered implementation has
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

Function = Callable[..., Any]


def implementation(
    function: Function | type, operator: Operator[Any, Any], registry: Registry, name: str | None = None
) -> Implementation:
    """What `@implements` would make of a function or class; of one that it decorated, what it made.

    Raises UsageError on what cannot be called, is asynchronous, or has parameters that cannot be filled.
    """
    if name is None:
        for made in registry.implementations(operator.name):
            if _made_of(made, function):
                return made
    if not callable(function):
        raise UsageError(
            f"got a {type(function).__name__}; expected a function of {operator.name}'s inputs, or the name of an "
            f"implementation"
        )
    chosen = _name(function, operator.name, registry, name)
    if inspect.isclass(function):
        target: Any = function
    else:
        unfinished = unfinished_function(function)
        if unfinished is not None:
            raise UsageError(f"{chosen} {unfinished}")
        target = _of_inputs(function, operator, chosen)
    compiled = hasattr(function, "_torchdynamo_orig_callable")
    try:
        return implementation_of(target, operator.name, chosen, _file(function), compiled=compiled)
    except PluginError as error:
        raise UsageError(str(error)) from None


def _made_of(made: Implementation, function: object) -> bool:
    """Whether it was registered from this function or class."""
    run: Any = made.run
    return any(arg is function for arg in getattr(run, "args", ())) or type(getattr(run, "__self__", None)) is function


def _of_inputs(function: Function, operator: Operator[Any, Any], name: str) -> Function:
    """A function of all inputs as one that calls it as its parameters ask."""
    known = [f.name for f in fields(operator.inputs_type) if f.metadata.get("role") != "guard"]
    try:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in _REST]
    except (TypeError, ValueError):
        raise UsageError(
            f"the parameters of {name} cannot be read; wrap it: lambda {', '.join(known[:3])}: …, or lambda inputs: …"
        ) from None
    required = [p for p in parameters if p.default is p.empty]
    filled = [p for p in parameters if p.name in known]
    if filled and all(p.name in known for p in required):
        run = _by_name(function, parameters, filled)
    elif _takes_one(function):
        run = functools.partial(function)
    else:
        got = ", ".join(p.name for p in parameters) or "none"
        raise UsageError(
            f"{name} has the parameters ({one_line(got, 120)}); expected one, the inputs, or some of "
            f"{', '.join(known)} by these names"
        )

    @functools.wraps(function)
    def of_inputs(inputs: Any) -> Any:
        return run(inputs)

    of_inputs.__module__ = getattr(_written(function), "__module__", None) or "__main__"
    of_inputs.__doc__ = inspect.getdoc(_written(function))
    return of_inputs


def _by_name(function: Function, parameters: list[inspect.Parameter], filled: list[inspect.Parameter]) -> Function:
    """Calls it on the inputs of its parameters' names, in their order where these are its first ones."""
    names = [p.name for p in filled]
    if parameters[: len(filled)] != filled or any(p.kind is p.KEYWORD_ONLY for p in filled):
        return lambda inputs: function(**{name: getattr(inputs, name) for name in names})
    if len(names) == 1:
        return lambda inputs: function(getattr(inputs, names[0]))
    read = attrgetter(*names)
    return lambda inputs: function(*read(inputs))


def _takes_one(function: Function) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True


def _written(function: Any) -> Any:
    """What is written in a file: behind partials, and of an object its class."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") else type(function)


def _file(function: Any) -> str:
    return getattr(getattr(_written(function), "__code__", None), "co_filename", "")


def _name(function: Function, operator: str, registry: Registry, wanted: str | None) -> str:
    """A name that no implementation of the operator has; raises UsageError where the wanted one is none or is taken."""
    known = registry.implementations(operator)
    if wanted is not None:
        if not isinstance(wanted, str) or not NAME.fullmatch(wanted) or wanted in known:
            why = "is that of another" if isinstance(wanted, str) and wanted in known else "is none"
            raise UsageError(f"got name={one_line(repr(wanted), 80)}, which {why}; expected letters, digits, _ or -")
        return wanted
    own = str(getattr(_written(function), "__name__", "function"))
    clean = "".join(c if NAME.fullmatch(f"a{c}") else "_" for c in own).strip("_.+-")
    name = (clean or "function")[: LONGEST_NAME - len(HERE) - 3]
    free = (name, *(f"{name}-{HERE}{number or ''}" for number in ("", *range(2, 99))))
    return next(each for each in free if each not in known)
