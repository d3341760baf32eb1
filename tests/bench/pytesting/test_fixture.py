"""The fixture `attnlab_bench` in a user's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from attnlab.bench.machine import clocks
from attnlab.bench.profilers.profiles import read_profile
from attnlab.bench.store.machine import Ceilings, PublishedPeaks

TIMES_NS = (1000.0, 1200.0, 800.0)


@dataclass(frozen=True)
class User:
    """Writes a test file, runs it, and reads what pytest-benchmark wrote."""

    sessions: Any
    clock: Any

    def run(self, source: str, *arguments: str) -> pytest.RunResult:
        self.sessions.pytester.makepyfile(test_mine=f"import pytest, torch\n{source}")
        result: pytest.RunResult = self.sessions.run("test_mine.py", "--benchmark-json=out.json", *arguments)
        return result

    def benchmarks(self, source: str, *arguments: str) -> dict[str, Any]:
        self.run(source, *arguments)
        found = json.loads((self.sessions.pytester.path / "out.json").read_text())
        return {benchmark["name"]: benchmark for benchmark in found["benchmarks"]}


@pytest.fixture
def user(sessions: Any, fake_clock: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> User:
    clock = fake_clock(TIMES_NS, "pretend")
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (clock, fake_clock([7.0], "beside")))
    return User(sessions, clock)


def test_a_benchmark_takes_three_lines(user: User) -> None:
    found = user.benchmarks(
        "@pytest.mark.attnlab(target=0.5)\n"
        "def test_sum(attnlab_bench):\n"
        "    assert attnlab_bench(sum, [1, 2], start=3) == 6\n"
    )["test_sum"]
    data, told = found["stats"]["data"], [time / 1e9 for burst in user.clock.told for time in burst]
    assert data == told[-len(data) :], "all bursts after the warm-up's"
    assert (found["options"]["timer"], found["extra_info"]["clock"]) == ("pretend", "pretend")
    assert found["extra_info"]["stopped"] in ("target", "limit of samples"), "calls take no time here"
    assert "gb_per_s" not in found["extra_info"], "nobody said what a call moves"


def test_costs_give_rates_and_shares_of_the_speed_of_light(user: User) -> None:
    """The ceilings of tests: 1e10 B/s and 1e11 FLOP/s."""
    source = (
        "@pytest.mark.attnlab(bytes=8, operations=4e2, limit_s=0.01)\n"
        "def test_add(attnlab_bench):\n    attnlab_bench(torch.add, torch.ones(2), torch.ones(2))\n"
    )
    told = user.benchmarks(source)["test_add"]["extra_info"]
    median_ns = told["latency_ns"]
    assert told["gb_per_s"] == pytest.approx(8 / median_ns)
    assert told["tflop_per_s"] == pytest.approx(0.4 / median_ns)
    assert told["share_of_ceiling"] == pytest.approx(4 / median_ns), "400 FLOP at 1e11 a second take 4 ns"
    assert told["bound"] == "compute"
    assert user.clock.bytes_a_call == 8


def test_costs_may_follow_from_what_the_test_makes(user: User) -> None:
    source = (
        "@pytest.mark.benchmark(group='mine')\n"
        "@pytest.mark.parametrize('n', [10, 20])\n"
        "def test_sum(attnlab_bench, n):\n    attnlab_bench.set(operations=n)(sum, range(n))\n"
    )
    found = user.benchmarks(source)
    assert [found[f"test_sum[{n}]"]["extra_info"]["operations"] for n in (10, 20)] == [10, 20]
    assert found["test_sum[10]"]["group"] == "mine", "a marker of pytest-benchmark's own still holds"


def test_a_marker_near_the_test_wins_over_one_of_its_class(user: User) -> None:
    source = (
        "@pytest.mark.attnlab(bytes=1, operations=2)\n"
        "class TestIt:\n"
        "    @pytest.mark.attnlab(operations=3)\n"
        "    def test_it(self, attnlab_bench):\n        attnlab_bench(int)\n"
    )
    told = user.benchmarks(source)["test_it"]["extra_info"]
    assert (told["bytes_moved"], told["operations"]) == (1, 3)


def test_a_clock_may_be_named(user: User) -> None:
    source = "@pytest.mark.attnlab(clock='beside')\ndef test_it(attnlab_bench):\n    attnlab_bench(int)\n"
    found = user.benchmarks(source)["test_it"]
    assert set(found["stats"]["data"]) == {7e-9}
    assert user.clock.told == []


def test_a_test_that_fails_has_no_time(user: User) -> None:
    source = (
        "def test_wrong(attnlab_bench):\n    assert attnlab_bench(sum, [1]) == 2\n"
        "def test_raises(attnlab_bench):\n    attnlab_bench(lambda: 1 / 0)\n"
        "@pytest.mark.xfail\ndef test_awaited(attnlab_bench):\n    assert attnlab_bench(sum, [1]) == 2\n"
        "def test_right(attnlab_bench):\n    assert attnlab_bench(sum, [1]) == 1\n"
    )
    assert set(user.benchmarks(source)) == {"test_right"}
    result = user.run(source)
    result.assert_outcomes(passed=1, failed=2, xfailed=1, warnings=0)
    result.stdout.fnmatch_lines(["*assert 1 == 2", "*ZeroDivisionError: division by zero"])


@pytest.mark.parametrize("how", [("--benchmark-disable",), ("-p", "no:benchmark")])
def test_without_pytest_benchmark_the_callable_runs_once(user: User, how: tuple[str, ...]) -> None:
    user.sessions.pytester.makepyfile(
        test_mine="calls = []\n"
        "def test_it(attnlab_bench):\n    assert attnlab_bench(lambda x: calls.append(x) or x, 3) == 3\n"
        "    assert calls == [3]\n"
    )
    result = user.sessions.run("test_mine.py", *how)
    result.assert_outcomes(passed=1, warnings=0)
    result.stdout.fnmatch_lines(["not timed [[]1[]]: pytest-benchmark is *"])
    assert user.clock.told == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("byte=3", "marker attnlab: unknown argument 'byte'; did you mean 'bytes'?"),
        ("3", "marker attnlab: got 3 without a name; expected bytes=…*"),
        ("target=2", "marker attnlab: got target=2; expected a share between 0 and 1"),
        ("bytes=0.5", "marker attnlab: got bytes=0.5; expected a whole number above zero"),
        ("operations='many'", "marker attnlab: got operations='many'; expected a whole number above zero"),
        ("limit_s=float('nan')", "marker attnlab: got limit_s=nan; expected a number above zero"),
        ("limit_s=True", "marker attnlab: got limit_s=True; expected a number above zero"),
        ("device='tpu'", "marker attnlab: got device='tpu'; expected cpu or cuda"),
        ("dtype=['float32']", "marker attnlab: got dtype=*; expected float32 or float16 or bfloat16"),
        ("clock=7", "marker attnlab: got clock=7; expected a clock's name, such as wall"),
        ("clock='pretence'", "marker attnlab: unknown clock 'pretence'; did you mean 'pretend'?"),
    ],
)
def test_a_wrong_marker_is_told_in_a_line(user: User, arguments: str, words: str) -> None:
    result = user.run(f"@pytest.mark.attnlab({arguments})\ndef test_it(attnlab_bench):\n    attnlab_bench(int)\n")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([words])
    result.stdout.no_fnmatch_line("*During handling*")
    result.stdout.no_fnmatch_line("*never used*")


def test_other_misuse_is_told_in_a_line(user: User) -> None:
    result = user.run(
        "def test_twice(attnlab_bench):\n    attnlab_bench(int)\n    attnlab_bench(int)\n"
        "def test_set(attnlab_bench):\n    attnlab_bench.set(bits=3)\n"
        "def test_both(attnlab_bench, benchmark):\n    benchmark(int)\n"
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "attnlab_bench was called twice; *",
            "marker attnlab: unknown argument 'bits'; *",
            "*benchmark by attnlab_bench alone",
        ]
    )


def test_a_rate_that_cannot_be_fails_the_test(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cold caches, and 8 bytes at 1 byte a second: what was timed is not what was claimed."""
    user.clock.cache = "cold"
    sheet = PublishedPeaks(1.0, {"float32": 1.0})
    monkeypatch.setattr(
        "attnlab.bench.machine.ceilings.load_or_measure",
        lambda device: Ceilings(device.name, 1, 1.0, {"float32": 1.0}, sheet, 0.0),
    )
    source = "@pytest.mark.attnlab(bytes=8, dtype='float32')\ndef test_it(attnlab_bench):\n    attnlab_bench(int)\n"
    result = user.run(source)
    result.assert_outcomes(failed=1, warnings=0)
    result.stdout.fnmatch_lines(["faster than light: took * where the published peaks allow no less than *"])


@pytest.mark.gpu
def test_calls_on_a_gpu_are_timed_by_its_clocks(sessions: Any) -> None:
    sessions.pytester.makepyfile(
        test_mine="import torch\n"
        "def test_it(attnlab_bench):\n"
        "    x = torch.ones(1 << 20, device='cuda')\n"
        "    attnlab_bench.set(bytes=2 * x.nbytes, limit_s=0.5)(torch.neg, x)\n"
    )
    sessions.run("test_mine.py", "--benchmark-json=out.json").assert_outcomes(passed=1)
    (found,) = json.loads((sessions.pytester.path / "out.json").read_text())["benchmarks"]
    assert found["extra_info"]["clock"].startswith("cuda_")
    assert found["extra_info"]["cache"] == "cold"
    assert 0 < found["extra_info"]["share_of_published"] < 1.05


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("async def f():\n    return 1\n", "is an async function*awaited*such as lambda: asyncio.run(f())*"),
        ("def f():\n    yield 1\n", "is a generator function*iterated*such as lambda: list(f())*"),
        ("f = lambda: map(abs, [1])\n", "returns a map*iterated*"),
    ],
)
def test_work_that_is_put_off_is_not_timed(user: User, function: str, said: str) -> None:
    result = user.run(f"{function}\ndef test_it(attnlab_bench):\n    attnlab_bench(f)\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*attnlab_bench got a function that {said}"])
    result.stdout.no_fnmatch_line("*never awaited*")


@pytest.mark.parametrize(
    "call",
    [
        "lambda: asyncio.run(answer())",
        "lambda: runner.run(answer())",
        "lambda: list(tokens())",
        "lambda: next(tokens())",
        "lambda: asyncio.run(collect(stream()))",
        "lambda: pool.submit(abs, 1).result()",
    ],
)
def test_what_is_advised_is_timed(user: User, call: str) -> None:
    source = (
        "import asyncio, concurrent.futures\n"
        "async def answer():\n    await asyncio.sleep(0)\n    return 1\n"
        "def tokens():\n    yield 1\n"
        "async def stream():\n    yield 1\n"
        "async def collect(items):\n    return [item async for item in items]\n"
        "runner, pool = asyncio.Runner(), concurrent.futures.ThreadPoolExecutor(1)\n"
        f"def test_it(attnlab_bench):\n    assert attnlab_bench({call}) in (1, [1])\n"
    )
    assert list(user.benchmarks(source)) == ["test_it"]


PROFILED = """
def add(x):
    return x + x


def test_add(attnlab_bench):
    assert attnlab_bench(add, torch.ones(8)).sum() == {sum}
"""


@pytest.mark.parametrize("passes", [True, False])
def test_the_call_of_a_test_is_taken_apart(passes: bool, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what passed its test is kept."""
    monkeypatch.setattr("attnlab.bench.profilers.samples.SAMPLED_S", 0.05)
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    result = user.run(PROFILED.format(sum=16 if passes else 17), "--attnlab-profile", "taken")
    if not passes:
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["profile: none of test_mine.py::test_add, which did not pass"])
        assert not (user.sessions.pytester.path / "taken").exists()
        return
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["profile: taken/*-test_add/index.html"])
    (folder,) = (user.sessions.pytester.path / "taken").iterdir()
    (case,) = read_profile(folder).cases
    torch_found = case.record("torch")
    assert torch_found is not None
    assert [part.source for part in torch_found.parts if part.name == "aten::add"] == ["test_mine.py:4"]
    assert {use.tool for use in case.tools if use.record is None} >= {"proton", "ncu", "perf"}
    assert case.call_ns in TIMES_NS
    assert (folder / "raw" / "torch" / "trace.json.gz").is_file()
