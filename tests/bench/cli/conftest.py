"""Runs the command line in this process, from an empty folder, as a user would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from attnlab.bench.cli import main
from attnlab.bench.contract.plugins import try_out


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


TRY_OUT = cache(try_out)


@pytest.fixture
def trials_shared(monkeypatch: pytest.MonkeyPatch, helpers: Path) -> None:
    """A plugin that is one of the tests' helpers is tried in a process of its own once, not by each command again."""

    def share(plugins: Sequence[str]) -> str | None:
        ours = all(Path(plugin).parent == helpers for plugin in plugins)
        return TRY_OUT(tuple(plugins)) if ours else try_out(plugins)

    monkeypatch.setattr("attnlab.bench.contract.plugins.try_out", share)


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ceilings_cache: Path,
    plugins_forgotten: None,
    trials_shared: None,
) -> Iterator[Callable[..., Ended]]:
    """Runs `attnlab …` in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(ceilings_cache))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the variable is read at torch's import, which lies behind us

    def run(*arguments: str | Path) -> Ended:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = end.code if isinstance(end.code, int) else 1
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    yield run
    torch.set_num_threads(threads)
