"""Help is there at once, without torch; every command is small and documented."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench import cli
from attnlab.bench.cli import build_parser

ROOT = Path(__file__).parents[3]
MOST_FLAGS = {
    "gate": 21,
    "profile": 15,
    "run": 21,
    "serve": 19,
    "tune": 12,
}
"""What is gated, how, what may be lost: an option a kind. A run may be planned (for nodes too), take turns and try
again; so may a search. A server is asked for its model, its engine and its limits. A profile takes a run's choice of
cases, and a gate's of how a side is built."""
HELP_CPU_S = 0.5
HEAVY = {"torch", "numpy", "scipy", "pandas", "matplotlib", "triton", "rich", "duckdb", "pyarrow", "vl_convert"}
COMMANDS = cli.COMMANDS.names()


def parsers() -> dict[str, argparse.ArgumentParser]:
    actions = build_parser()._actions
    return dict(next(a for a in actions if isinstance(a, argparse._SubParsersAction)).choices)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids="-".join
)
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom attnlab.bench.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert end.code == 0\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


@pytest.mark.parametrize(
    "line",
    [
        "run --no-such",
        "run quik",
        "tune attention --impl tild",
        "run my.toml",
        "run attention --impl naiv",
        "run attention -a q_len",
        "run attention -a q_lne=5",
        "check attention --impl naiv",
        "check attention -a q_lne=5",
        "run attention --time-limit 0",
        "list atention",
        "report --format nonsense",
        "report nowhere",
        "compare nowhere nowhere",
        "run attention --quick --turns 3",
        "run quick --shard 5/4",
        "run quick --resume",
        "history nothing nowhere",
        "gate --suite nosuch --base HEAD",
        "results nosuch",
        "results show nowhere",
        "results compact nowhere",
    ],
)
def test_a_typing_error_imports_no_torch(line: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom attnlab.bench.cli import main\n"
        f"try: code = main({line.split()!r})\nexcept SystemExit as end: code = end.code\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr


def test_help_takes_less_than_half_a_second_of_processor_time() -> None:
    """The least of three, for a busy machine can double it; it takes about a fifth of a second."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "attnlab.bench", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < HELP_CPU_S


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_at_most_ten_flags(name: str) -> None:
    flags = [action for action in parsers()[name]._actions if action.option_strings and action.dest != "help"]
    assert len(flags) <= MOST_FLAGS.get(name, 10)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_and_command_says_what_it_is_for(name: str) -> None:
    parser = parsers()[name]
    assert parser.description
    assert all(action.help for action in parser._actions)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"attnlab {name}" in (ROOT / "README.md").read_text()


def test_the_script_is_what_the_package_declares() -> None:
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert declared == {"attnlab": "attnlab.bench.cli:run_as_script"}


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`attnlab --help | true` and such."""
    code = (
        "import sys\nfrom attnlab.bench import cli\n"
        "from attnlab.bench.cli import list as command\n"
        "def execute(options):\n    print('x' * 100_000)\n    return 0\n"
        "command.execute = execute\n"
        "sys.argv[1:] = ['list']\ncli.run_as_script()"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.close()
    assert writer.stderr is not None
    assert writer.stderr.read() == ""
    assert writer.wait() == 0
