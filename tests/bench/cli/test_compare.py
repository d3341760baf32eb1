"""`attnlab compare` on stored runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).parents[3] / "results"


@pytest.fixture
def run() -> Path:
    """A run of the project's own, of the quick suite."""
    return next(path.parent for path in sorted(RUN.glob("*-quick/run.json")))


def test_one_run_a_side(cli: Callable[..., Any], run: Path) -> None:
    done = cli("compare", run, run)
    assert done.code == 0
    assert "no verdict" in done.out
    assert "these runs did not take turns" in done.out
    assert "1.00×" in done.out
    assert "incomparable" in done.out, "what could not run has no ratio"


def test_several_runs_a_side(cli: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    for side in ("base", "head"):
        for n in range(3):
            shutil.copytree(run, tmp_path / side / f"run-{n}")
    done = cli("compare", "base", "head", "--json")
    assert done.code == 0
    found = {(c["operator"], c["implementation"], c["case_id"]): c for c in json.loads(done.out)}
    told = [c for c in found.values() if c["verdict"] != "incomparable"]
    assert {c["verdict"] for c in told} == {None}, "runs that did not take turns have none"
    assert {(c["base_spread"], c["head_spread"], c["units"]) for c in told} == {(1.0, 1.0, 3)}
    assert len(told) > 20


@pytest.mark.parametrize("target", ["0", "-1", "nan", "5"])
def test_a_target_that_is_no_share(target: str, cli: Callable[..., Any], run: Path) -> None:
    done = cli("compare", run, run, "--target", target)
    assert done.code == 2
    assert "expected a share above 0 and below 1" in done.err


def test_no_run(cli: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    done = cli("compare", run, tmp_path / "none")
    assert done.code == 2
    assert "none" in done.err


def test_damaged_lines_are_told(cli: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "damaged")
    with (tmp_path / "damaged" / "measurements.jsonl").open("a") as file:
        file.write("{broken\n")
    done = cli("compare", run, tmp_path / "damaged")
    assert done.code == 0
    assert "measurements.jsonl:" in done.err


def test_nothing_comparable_has_an_exit_code_of_its_own(cli: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    path = tmp_path / "other" / "run.json"
    path.write_text(path.read_text().replace('"threads": 2', '"threads": 64'))
    done = cli("compare", run, tmp_path / "other")
    assert done.code == 3
    assert "different numbers of threads" in done.out


@pytest.fixture
def elsewhere(run: Path, tmp_path: Path) -> Path:
    """The same run, as though another machine had taken it."""
    shutil.copytree(run, tmp_path / "elsewhere")
    path = tmp_path / "elsewhere" / "run.json"
    record = json.loads(path.read_text())
    record["environment"]["processor"] = record["environment"]["device"]["name"] = "Another Processor"
    path.write_text(json.dumps(record))
    return path.parent


def test_two_machines_show_both_columns_and_their_ratio(cli: Callable[..., Any], run: Path, elsewhere: Path) -> None:
    done = cli("compare", run, elsewhere)
    assert done.code == 0, done.err
    said = done.out.splitlines()
    assert said[0] == "Two machines: a ratio here is of the machines, and there is no verdict."
    assert said[2].startswith("  head: Another Processor, 2 threads; clock wall, warm caches")
    row = next(line for line in said if line.startswith("attention/sdpa_flash "))
    _, verdict, base, head, ratio = re.split(" {2,}", row)
    assert (verdict, base, ratio) == ("two machines", head, "1.00×")
    assert "same" not in done.out
    assert "did not take turns" not in done.out


def test_what_was_recorded_otherwise_is_told_once(cli: Callable[..., Any], run: Path, elsewhere: Path) -> None:
    said = cli("compare", run, elsewhere).out
    assert said.count("ecorded otherwise") == 1
    assert said.count("processor Intel(R) Xeon(R) Processor → Another Processor") == 1
    assert "ecorded otherwise" not in cli("compare", run, run).out
