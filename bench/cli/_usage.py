"""What is wrong with a command line, as far as it is known before torch is imported, which takes seconds."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence

from attnlab.bench.cli import _options
from attnlab.bench.errors import UnknownName, UsageError


def check_run(options: argparse.Namespace) -> None:
    """Raises UsageError on what `attnlab run` cannot be asked."""
    from attnlab.bench.cluster.address import read_address
    from attnlab.bench.contract import outline
    from attnlab.bench.contract.registry import registry
    from attnlab.bench.measuring.forecast.cluster import read_cluster
    from attnlab.bench.measuring.share import read_share
    from attnlab.bench.measuring.suite import find_suite
    from attnlab.bench.measuring.suite_file import MOST_ROUNDS

    if not 0 < options.time_limit < math.inf:
        raise UsageError(f"got --time-limit {options.time_limit:g}; expected seconds above zero")
    if options.turns is not None and not 0 <= options.turns <= MOST_ROUNDS:
        raise UsageError(f"got --turns {options.turns}; expected 0 to {MOST_ROUNDS} rounds")
    if options.quick and options.turns:
        raise UsageError(f"got --turns {options.turns} with --quick, which takes no turns; leave one of them out")
    if options.retry and options.resume is None:
        raise UsageError("got --retry without --resume; name the run of which to measure again what did not pass")
    if options.resume == "" and options.shard is None:
        raise UsageError("got --resume without a run; name its folder (only that of a --shard is found by itself)")
    if options.shard is not None:
        read_share(options.shard)
    if options.on is not None:
        read_address(options.on)
        _check_on(options)
    if options.nodes is not None and not options.plan:
        raise UsageError("got --nodes without --plan; nodes are planned for, never started (to measure on them: --on)")
    if options.nodes is not None:
        read_cluster(options.nodes)
    _options.read_axes(options.axis)
    if options.target.endswith(".toml"):
        find_suite(options.target, registry)
    elif outline.is_all(options.plugin):
        operators = [operator.name for operator in outline.operators()]
        check_name("suite or operator", options.target, [*outline.suites(), *operators])
        if options.target in operators:
            _check_operator(options)


def _check_on(options: argparse.Namespace) -> None:
    """What does not go with `--on`."""
    refused = {
        "--shard": "a cluster is given the whole suite; take --shard where no cluster hands out its parts",
        "--plan": "for what a cluster takes, plan with --nodes",
        "--keep-failures": "what failed lies on the nodes; make one again here, by attnlab check",
    }
    for option, why in refused.items():
        if getattr(options, option.removeprefix("--").replace("-", "_")):
            raise UsageError(f"got --on with {option}: {why}")


def check_check(options: argparse.Namespace) -> None:
    """Raises UsageError on what `attnlab check` cannot be asked of an operator."""
    from attnlab.bench.contract import outline

    if outline.is_all(options.plugin) and options.target in [operator.name for operator in outline.operators()]:
        _check_operator(options)


def _check_operator(options: argparse.Namespace) -> None:
    """Names of implementations and of axes, as `attnlab run` and `attnlab check` take them."""
    from attnlab.bench.contract import outline

    own = [made.name for made in outline.implementations() if made.operator == options.target]
    for name in _options.read_names(options.impl):
        check_name(f"implementation of {options.target}", name, own)
    if axes := _options.read_axes(options.axis):
        known = outline.axes(options.target)
        for name in axes:
            check_name(f"axis of {options.target}", name, known)


def check_tune(options: argparse.Namespace) -> dict[str, tuple[int | str, ...]]:
    """The values that `--only` names; raises UsageError on what `attnlab tune` cannot be asked."""
    from attnlab.bench.contract import outline
    from attnlab.bench.measuring.suite_file import MOST_ROUNDS

    if options.turns is not None and not 0 <= options.turns <= MOST_ROUNDS:
        raise UsageError(f"got --turns {options.turns}; expected 0 to {MOST_ROUNDS} rounds")
    if outline.is_all(options.plugin):
        check_name("operator", options.operator, [operator.name for operator in outline.operators()])
        own = [made.name for made in outline.implementations() if made.operator == options.operator]
        check_name(f"implementation of {options.operator}", options.impl, own)
    return {name: tuple(map(_value, values)) for name, values in _options.read_axes(options.only, "--only").items()}


def _value(text: str) -> int | str:
    return int(text) if text.isascii() and text.lstrip("-").isdigit() else text


def check_formats(names: Iterable[str], plugins: Sequence[str]) -> None:
    """Raises UnknownName on a format of reports that there is not, where no plugin may bring it."""
    from attnlab.bench.contract import outline

    for name in names if outline.is_all(plugins) else ():
        check_name("format", name, outline.formats())


def check_name(kind: str, name: str, known: Sequence[str]) -> None:
    """Raises UnknownName where it is not known."""
    if name not in known:
        raise UnknownName(kind, name, known)
