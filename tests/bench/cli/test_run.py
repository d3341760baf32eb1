"""`attnlab run`: what is measured, shown and stored, with an operator that a plugin brings."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import StoredRun, read_run


@dataclass(frozen=True)
class Toys:
    """The suite `toys` of the plugin, run as a process of its own."""

    ended: subprocess.CompletedProcess[str]
    cwd: Path

    @property
    def stored(self) -> StoredRun:
        (folder,) = (self.cwd / "out").iterdir()
        return read_run(folder)


@pytest.fixture(scope="module")
def toys(attnlab, helpers: Path, tmp_path_factory: pytest.TempPathFactory) -> Toys:
    cwd = tmp_path_factory.mktemp("home")
    plugin = helpers / "toy_operator.py"
    ended = attnlab("run", "toys", "--plugin", plugin, "--out", "out", "-a", "n=4,8", cwd=cwd)
    return Toys(ended, cwd)


def test_it_ends_well(toys: Toys) -> None:
    assert toys.ended.returncode == 0, toys.ended.stderr
    assert [path.name for path in toys.cwd.iterdir()] == ["out"], "nothing is written elsewhere"


def test_everything_is_measured_case_by_case(toys: Toys) -> None:
    measured = [(m.case_id, m.implementation, m.outcome) for m in toys.stored.measurements]
    assert measured == [(n, i, Outcome.PASSED) for n in ("N4", "N8") for i in ("plus", "times")]


def test_each_implementation_has_one_process(toys: Toys) -> None:
    processes = {m.implementation: set() for m in toys.stored.measurements}
    for m in toys.stored.measurements:
        processes[m.implementation] |= {launch.process for launch in m.launches}
    assert {len(pids) for pids in processes.values()} == {1}
    assert processes["plus"] != processes["times"]


def test_the_run_says_how_it_was_taken(toys: Toys, helpers: Path) -> None:
    run = toys.stored.run
    assert run.suite == "toys"
    assert run.run_id == toys.stored.path.name
    assert run.command == f"attnlab run toys --plugin {helpers}/toy_operator.py --out out -a n=4,8"
    assert run.plugins == (f"{helpers}/toy_operator.py",)
    assert run.effort == {"target": 0.5, "sampling_limit_s": 0.02, "warmup_limit_s": 0.02, "turns": 0}
    (bench,) = run.benches
    assert (bench.operator, bench.implementations, bench.baseline) == ("toy", ("plus", "times"), "plus")
    assert bench.cases == ("N4", "N8"), "the command line's axis replaced the suite's"
    assert run.environment.threads == 1
    assert run.environment.device.kind == "cpu"
    assert run.environment.packages["torch"]
    assert run.ceilings.bandwidth == 1e10


def test_wall_and_processor_time_are_stored(toys: Toys) -> None:
    for m in toys.stored.measurements:
        assert m.timing.clock == "wall"
        assert len(m.values("latency", "wall")) == m.timing.samples
        assert m.values("latency", "cpu_time")


def test_a_line_for_each_where_there_is_no_terminal(toys: Toys) -> None:
    what, took, memory, *lines = toys.ended.stderr.splitlines()
    assert what == "toys: 4 measurements, of 2 implementations on 2 cases"
    assert took.startswith("time: about ")
    assert memory.startswith("memory: up to ")
    assert len(lines) == 4
    assert re.fullmatch(r"\[1/4\] toy/plus N4: passed, [\d.]+ .s; about \d+ s left", lines[0])
    assert re.fullmatch(r"\[4/4\] toy/times N8: passed, [\d.]+ .s", lines[3])
    assert all(line.isprintable() for line in toys.ended.stderr.splitlines()), "no control codes"


def test_it_ends_with_a_table_and_what_to_do_next(toys: Toys) -> None:
    out = toys.ended.stdout
    assert "toy  N4" in out
    assert "plus" in out
    folder = toys.stored.path.relative_to(toys.cwd)
    assert "4 measured in " in out
    assert f"Run: {folder}\nReport: attnlab report {folder}" in out


def test_a_report_of_a_plugins_operator(toys: Toys, cli, helpers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toys.cwd)
    ended = cli("report", "out", "--out", "page", "--plugin", helpers / "toy_operator.py", "--json")
    assert ended.code == 0, ended.err
    written = [Path(name) for name in json.loads(ended.out)]
    assert {path.suffix for path in written} >= {".html", ".md", ".csv"}
    for path in written:
        assert (toys.cwd / path).stat().st_size > 0
    csv = next(path for path in written if path.suffix == ".csv")
    assert "calls_per_s" in (toys.cwd / csv).read_text(), "the plugin's metric is a column"


def test_json_is_the_only_output_and_faults_give_exit_code_1(cli, helpers: Path) -> None:
    ended = cli(
        "run",
        "toy",
        "--plugin",
        helpers / "misbehaving.py",
        "--impl",
        "misbehaving",
        "--case",
        "N107",
        "--case",
        "N8",
        "--quick",
        "--json",
    )
    assert ended.code == 1
    assert ended.err == ""
    told = json.loads(ended.out)
    assert {outcome: count for outcome, count in told["outcomes"].items() if count} == {"passed": 1, "failed": 1}
    stored = read_run(Path(told["run"]))
    assert [m.case_id for m in stored.measurements] == ["N107", "N8"]
    assert Path(told["run"]).parent == Path("results")


def test_what_cannot_run_here_is_stored_with_its_reason(cli) -> None:
    ended = cli("run", "attention", "--impl", "flash_attn,flashinfer", "--device", "cpu", "-a", "q_len=8,16", "--json")
    assert ended.code == 3, "nothing was measured"
    assert "attnlab: nothing could be measured of attention " in ended.err
    assert "flash_attn: needs an NVIDIA GPU" in ended.err
    stored = read_run(Path(json.loads(ended.out)["run"]))
    assert [m.outcome for m in stored.measurements] == [Outcome.UNAVAILABLE] * 4
    assert {m.reason for m in stored.measurements} == {"needs an NVIDIA GPU"}
    assert all(m.operations for m in stored.measurements)
    assert all(m.median_ns is None for m in stored.measurements)


def test_a_time_limit_ends_a_case(cli, helpers: Path) -> None:
    ended = cli(
        "run",
        "toy",
        "--plugin",
        helpers / "misbehaving.py",
        "--impl",
        "misbehaving",
        "--case",
        "N101",
        "--time-limit",
        "0.5",
        "--json",
    )
    assert ended.code == 1
    (m,) = read_run(Path(json.loads(ended.out)["run"])).measurements
    assert m.outcome is Outcome.TIMED_OUT
    assert "took longer than 0.5 s" in m.reason


def test_a_bench_left_out_is_told(cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[[bench]]\noperator = "attention"\ncases = ["packed3+4-bf16"]\n'
        '[[bench]]\noperator = "attention"\ncases = ["Sq64-bf16"]\n'
    )
    ended = cli("run", "mine.toml", "-a", "q_len=8", "--impl", "flash_attn", "--device", "cpu")
    assert ended.code == 3
    assert "attnlab: a bench of the suite is left out: got packed=3+4" in ended.err


def test_an_interrupted_run_says_how_to_go_on(cli, helpers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attnlab.bench.measuring.runner import Runner

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "run", interrupted)
    ended = cli("run", "attention", "--impl", "naive")
    assert ended.code == 130
    (folder,) = Path("results").iterdir()
    assert f"attnlab: go on with: attnlab run attention --impl naive --resume {folder}" in ended.err
    assert "attnlab: interrupted; what was measured is kept" in ended.err


TWO_TABLES = """
[effort]
warmup_limit_s = 0.02
sampling_limit_s = 0.02
[[bench]]
operator = "toy"
implementations = ["times"]
cases = ["N4"]
[[bench]]
operator = "attention"
implementations = ["flash_attn"{more}]
cases = ["Sq8-bf16"]
"""


@pytest.mark.parametrize(("more", "code"), [("", 3), (', "naive"', 0)])
def test_a_table_of_which_nothing_could_be_measured(more: str, code: int, cli, helpers: Path, tmp_path: Path) -> None:
    """A table that has one implementation here is measured, whatever else it lacks."""
    (tmp_path / "two.toml").write_text(TWO_TABLES.format(more=more))
    ended = cli("run", "two.toml", "--plugin", helpers / "toy_operator.py", "--device", "cpu")
    assert ended.code == code, ended.err
    assert ("nothing could be measured of attention Sq8-bf16" in ended.err) == (code == 3)
