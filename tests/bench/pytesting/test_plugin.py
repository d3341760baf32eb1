"""The plugin's edge: what it costs a session that does not ask for it, and what it says to bad input."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]
HEAVY = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "attnlab.bench.contract.registry.discover",
    "attnlab.bench.measuring.runner",
)


@pytest.fixture
def run(plugins_forgotten: None, pytester: pytest.Pytester, helpers: Path) -> Iterator[Run]:
    """`pytest …` in an empty folder, with the plugin that brings `toy`."""
    plugin = helpers / "toy_operator.py"

    def started(*arguments: str | Path) -> pytest.RunResult:
        lightly = ("-p", "no:hypothesispytest", "-p", "no:timeout", "-p", "no:xdist", "-p", "no:cacheprovider")
        return pytester.runpytest_inprocess(*lightly, "--attnlab-plugin", plugin, *arguments)

    return started


def test_pytest_finds_it_by_its_entry_point() -> None:
    """As pytest looks: in every folder of metadata, of which a checkout's own may be old."""
    found = {
        point.value
        for distribution in importlib.metadata.distributions(name="attnlab")
        for point in distribution.entry_points
        if point.group == "pytest11"
    }
    assert found == {"attnlab.bench.pytesting.plugin"}


@pytest.mark.parametrize("ask", [False, True])
def test_a_session_that_does_not_ask_for_it_imports_nothing_heavy(tmp_path: Path, ask: bool) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    code = (
        "import sys, pytest\n"
        f"asked = {['--attnlab', 'quick', '--collect-only'] if ask else []!r}\n"
        "code = pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:hypothesispytest', 'test_it.py', *asked])\n"
        "assert 'attnlab.bench.pytesting.plugin' in sys.modules\n"
        f"print('heavy:', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
        "sys.exit(code)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    heavy = ended.stdout.splitlines()[-1]
    assert ("torch" in heavy) is ask, "the test can tell"
    assert ask or heavy == "heavy: []"


def test_it_says_what_it_offers(run: Run) -> None:
    run("--help").stdout.fnmatch_lines(
        ["attnlab: benchmarks of operators:", "*--attnlab=SUITE *", "*--attnlab-out=FOLDER*"]
    )
    run("--markers").stdout.fnmatch_lines(["@pytest.mark.attnlab(bytes, operations, dtype, target, *"])
    run("--fixtures").stdout.fnmatch_lines(["attnlab_bench*", "*Times a callable by attnlab's clocks*"])


BAD_SUITES = {
    "broken.toml": (
        '[[bench]]\noperator = "toy"\n[bench.axes]\nm = 3\n',
        "broken.toml:4: unknown axis of toy 'm'; known: n",
    ),
    "cut.toml": ("[[bench]\n", "cut.toml:1: not TOML: *"),
    "none.toml": ('[[bench]]\noperator = "toy"\nimplementations = []\n', "none.toml:3: got implementations = *"),
}


@pytest.mark.parametrize("name", BAD_SUITES)
def test_a_broken_suite_is_told_by_file_and_line(run: Run, pytester: pytest.Pytester, name: str) -> None:
    text, words = BAD_SUITES[name]
    (pytester.path / name).write_text(text)
    refused(run("--attnlab", name), f"ERROR: attnlab: {words}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--attnlab=quik",), "attnlab: unknown suite or operator 'quik'; did you mean 'quick'?"),
        (("--attnlab=away.toml",), "attnlab: away.toml: no such suite file; *"),
        (("--attnlab=toy", "--attnlab-plugin=no_such"), "attnlab: plugin 'no_such' does not import: *"),
        (("--attnlab=toy", "--attnlab-device=cuda"), "attnlab: device cuda was asked for, but *"),
        (("--attnlab=toy", "--attnlab-out=test_file"), "attnlab: cannot write to test_file: *"),
        (("--attnlab-out=x",), "--attnlab-out stores the runs of suites; name one with --attnlab SUITE"),
    ],
)
def test_bad_input_is_told_in_one_line(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (pytester.path / "test_file").write_text("")
    refused(run(*arguments), f"ERROR: {words}")


def test_a_suite_of_which_nothing_can_run_here_is_refused(
    run: Run, pytester: pytest.Pytester, helpers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (pytester.path / "far.toml").write_text('[[bench]]\noperator = "toy"\nimplementations = ["elsewhere"]\n')
    refused(
        run("--attnlab=far.toml", "--attnlab-plugin", helpers / "outcomes.py"),
        "ERROR: attnlab: nothing of suite 'far' can run here: elsewhere: needs an NVIDIA GPU",
    )


def test_plugins_of_the_ini_file_lie_beside_it(
    plugins_forgotten: None, pytester: pytest.Pytester, helpers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "toy_operator.py").write_text((helpers / "toy_operator.py").read_text())
    (pytester.path / "toys.toml").write_text((helpers / "toys.toml").read_text())
    pytester.makeini("[pytest]\nattnlab_plugins =\n    ./toy_operator.py\n")
    monkeypatch.chdir(pytester.mkdir("below"))
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest", "--attnlab=toys", "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*toys::toy/plus[[]N4[]]"])


def refused(result: pytest.RunResult, words: str) -> None:
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    assert "Traceback" not in result.stderr.str()
