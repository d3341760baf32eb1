"""The table of a run: what it shows of an operator, and that it fits where it is shown."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from attnlab.bench import discover, registry
from attnlab.bench.cli._table import lines
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.store.run_folder import read_run
from attnlab.bench.text_table import fitted

RESULTS = Path(__file__).parents[3] / "results"
QUICK, GENERATE = RESULTS / "20261122-081015-quick", RESULTS / "20261126-160740-generate-quick"
RUNS = (QUICK, GENERATE, RESULTS / "h100" / "20261126-151801-decode_attention")


@cache
def shown(run: Path, width: int | None) -> list[str]:
    return list(lines(read_run(run), discover(), width))


def headings(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("implementation")]


def is_id(line: str, ids: set[str]) -> bool:
    """Whether it names one of the cases, with every axis that varies."""
    known = discover().operators
    for operator in map(known.get, known.names()):
        with suppress(ImpossibleCase):
            if operator.case_type.parse(line).id in ids:
                return True
    return False


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
@pytest.mark.parametrize("width", [40, 80])
def test_nothing_is_wider_than_the_terminal(run: Path, width: int) -> None:
    ids = {m.case_id for m in read_run(run).measurements}
    said = [line for line in shown(run, width) if not is_id(line, ids)]
    assert max(map(len, said)) <= width, "but for an id, which is left whole so that it can be copied"


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_at_80_columns_it_is_a_table(run: Path) -> None:
    said = shown(run, 80)
    assert headings(said)
    assert not [line for line in said if line.startswith("  speed-up")]


def test_a_kernels_table() -> None:
    assert re.split(" {2,}", headings(shown(QUICK, None))[0]) == [
        "implementation",
        "latency",
        "95 % interval",
        "speed-up",
        "of measured ceiling",
        "error of budget",
        "flags",
    ]


def test_a_models_table_has_what_is_asked_of_a_model() -> None:
    said = "\n".join(shown(GENERATE, None))
    for wanted in ("TTFT", "ITL", "output, tok/s", "accepted", "goodput, req/s"):
        assert wanted in said
    assert "GB/s" not in said
    assert "FLOP" not in said


def test_at_40_columns_it_is_a_list() -> None:
    said = shown(QUICK, 40)
    at = said.index("sdpa_flash")
    assert said[at + 1 : at + 4] == [
        "  latency              703 µs",
        "  95 % interval        ± 5.26 %",
        "  speed-up             6.52×",
    ]


def test_flags_are_told_once_and_marked_in_each_row() -> None:
    said = shown(QUICK, None)
    words = "a: warm-up ended by its time limit, not because the time was stable"
    assert said.count(words) == 1
    marked = [line for line in said if re.search(r"  a( b)?$", line)]
    flagged = [m for m in read_run(QUICK).measurements if any("warm-up ended" in flag for flag in m.flags)]
    assert len(marked) == len(flagged)


def test_flags_that_differ_in_figures_alone_are_one() -> None:
    said = shown(RESULTS / "h100" / "20261126-151859-generate", None)
    (told,) = (line for line in said if "power limit" in line)
    assert told.startswith("a: the GPU's clocks were held down by its power limit in … of … bursts, … s of it counted")


def test_a_reason_is_told_once() -> None:
    said = shown(QUICK, None)
    (told,) = (line for line in said if line.startswith("attention: flash_attn, "))
    assert told.endswith("unavailable: needs an NVIDIA GPU (6 of 10 cases)")


def test_of_an_operator_that_nothing_here_knows_it_shows_a_kernels_figures() -> None:
    unknowing = Registry()
    for metric in registry.metrics:
        unknowing.metrics.add(metric.name, metric, registry.metrics.module(metric.name))
    of_case = re.compile(r"^attention(?:_backward)?  \S+$")  # without the contract a case is named by its id
    known, found = (
        [line for line in said if not of_case.match(line)]
        for said in (shown(QUICK, None), list(lines(read_run(QUICK), unknowing, None)))
    )
    assert found == known


def test_a_plugins_metric_is_a_column(cli, helpers: Path) -> None:
    plugin = helpers / "toy_operator.py"
    assert cli("run", "toys", "--plugin", plugin, "--out", "out", "-a", "n=4").code == 0
    ended = cli("results", "show", "out", "--plugin", plugin)
    assert ended.code == 0, ended.err
    assert any("calls, 1/s" in line for line in headings(ended.out.splitlines()))


def test_what_is_piped_has_neither_width_nor_colour(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = cli("results", "show", QUICK).out
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    assert cli("results", "show", QUICK).out == wide
    assert "\x1b" not in wide


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (None, ["name   of measured ceiling", "first                 10 %"]),
        (24, ["       of measured", "name       ceiling", "first         10 %"]),
        (15, ["             of", "       measured", "name    ceiling", "first      10 %"]),
        (14, ["first", "  of measured ceiling  10 %"]),
    ],
)
def test_headings_are_broken_only_as_far_as_must_be(width: int | None, told: list[str]) -> None:
    assert list(fitted([["name", "of measured ceiling"], ["first", "10 %"]], {0}, width)) == told


def test_the_table_in_the_readme_is_the_one_that_is_shown() -> None:
    text = (RESULTS.parent / "README.md").read_text()
    block = text.partition("$ attnlab results show results/20261122-081015-quick\n")[2].partition("```")[0]
    before, after = (part.strip("\n").splitlines() for part in block.split("…"))
    said = shown(QUICK, 80)
    assert said[: len(before)] == before
    assert said[said.index(after[0]) :][: len(after)] == after
