"""What a pytest session is asked for: its options and its line in the ini file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGINS_INI = "attnlab_plugins"
ALONE = "attnlab_alone"


@dataclass(frozen=True)
class Options:
    """suites: names or paths, as given. out: the folder below which runs are stored; None where they are not.

    gate: the revision that suites are gated against, and thresholds the file for that; None where they are not.
    """

    suites: tuple[str, ...]
    plugins: tuple[str, ...]
    device: str
    out: Path | None
    gate: str | None = None
    thresholds: Path | None = None

    @classmethod
    def from_config(cls, config: pytest.Config) -> Options:
        """Raises pytest.UsageError where an option stands without the one it needs."""
        given = config.option
        suites, out = tuple(dict.fromkeys(given.attnlab)), given.attnlab_out
        if out is not None and not suites:
            raise pytest.UsageError("--attnlab-out stores the runs of suites; name one with --attnlab SUITE")
        if given.attnlab_gate is not None and not suites:
            raise pytest.UsageError("--attnlab-gate gates suites; name one with --attnlab SUITE")
        if given.attnlab_thresholds is not None and given.attnlab_gate is None:
            raise pytest.UsageError("--attnlab-thresholds goes with --attnlab-gate BASE")
        plugins = (*_plugins_of_ini(config), *given.attnlab_plugin)
        return cls(
            suites,
            tuple(dict.fromkeys(plugins)),
            given.attnlab_device,
            None if out is None else Path(out),
            given.attnlab_gate,
            None if given.attnlab_thresholds is None else Path(given.attnlab_thresholds),
        )


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("attnlab", "attnlab: benchmarks of operators")
    group.addoption(
        "--attnlab",
        action="append",
        default=[],
        metavar="SUITE",
        help="collect this suite (a name or a .toml file) or operator as tests; may be repeated",
    )
    group.addoption(
        "--attnlab-plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module, or a path to a .py file, with implementations of your own; may be repeated",
    )
    group.addoption(
        "--attnlab-device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="what suites run on: auto (a GPU where there is one), cpu or cuda",
    )
    group.addoption(
        "--attnlab-out",
        metavar="FOLDER",
        help="store what is measured as a run below this folder, for `attnlab report`",
    )
    group.addoption(
        "--attnlab-gate",
        metavar="BASE",
        help="measure suites in live pairs with this revision, and fail the tests that the working tree slowed",
    )
    group.addoption(
        "--attnlab-thresholds",
        metavar="FILE",
        help="TOML with the gate's targets, as for attnlab gate --thresholds",
    )
    group.addoption(
        "--attnlab-profile",
        nargs="?",
        const="profiles",
        metavar="FOLDER",
        help="take the call of each test with attnlab_bench apart, and write a page below this folder (profiles)",
    )
    parser.addini(PLUGINS_INI, "modules or .py files with implementations, as for --attnlab-plugin", type="linelist")


def suites_alone(config: pytest.Config) -> bool:
    """Whether suites are all that is asked for: the command line names no other test."""
    of_worker = getattr(config, "workerinput", {}).get(ALONE)
    return config.args_source is not pytest.Config.ArgsSource.ARGS if of_worker is None else bool(of_worker)


def command_line(config: pytest.Config) -> str:
    """What repeats this session; xdist's workers know it by its whole."""
    given = getattr(config, "workerinput", {}).get("mainargv", ["pytest", *config.invocation_params.args])
    return shlex.join(["pytest", *map(str, given[1:])])


def _plugins_of_ini(config: pytest.Config) -> list[str]:
    """Files are relative to the ini file, wherever pytest is started."""
    return [
        str(config.rootpath / name) if name.endswith(".py") or "/" in name else name
        for name in config.getini(PLUGINS_INI)
    ]
