"""What is read through an index is what the folders say: the table, histories, comparisons, the newest run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnlab.bench import load
from attnlab.bench.analysis import sides
from attnlab.bench.analysis.compare import compare, recorded_differences
from attnlab.bench.analysis.frame import frame
from attnlab.bench.analysis.history.lines import benchmark
from attnlab.bench.analysis.history.points import HistoryPoint
from attnlab.bench.analysis.history.sources import Source, StoredRuns, opened_source
from attnlab.bench.analysis.index import newest as newest_module
from attnlab.bench.analysis.index.newest import newest_run
from attnlab.bench.analysis.index.opening import opened
from attnlab.bench.analysis.index.outlines import outlined_runs
from attnlab.bench.analysis.index.sketches import outline_of
from attnlab.bench.analysis.index.table import frame_of
from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.contract.metric import Metric
from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import StoreWarning
from attnlab.bench.store.records import INTERLEAVED, Measurement, Outcome
from attnlab.bench.store.run_folder import StoredRun, latest, read_run, read_runs
from tests.helpers.histories import environment, measured, stored, upgraded, write

RESULTS = Path(__file__).parents[4] / "results"

names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
numbers = st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none() | names
cases = st.dictionaries(names | st.sampled_from(["device", "Device", "q_len", "arrivals"]), numbers, max_size=4)
times = st.none() | st.floats(1e-3, 1e12)
measurements = st.builds(
    measured,
    times,
    implementation=st.sampled_from(["naive", "mine"]) | names,
    case_id=st.sampled_from(["A", "B"]) | names,
    clock=st.sampled_from(["wall", "cuda_events"]),
    case=cases,
    reason=st.none() | names,
    flags=st.lists(names, max_size=2).map(tuple),
    files=st.dictionaries(names, names, max_size=2),
    operations=st.none() | st.integers(0, 10**29),
    bytes_moved=st.none() | st.integers(0, 10**29),
)


def wrong(m: Measurement) -> Measurement:
    return m.fail("reason", outcome=Outcome.WRONG_VALUES)


runs = st.lists(st.lists(measurements | measurements.map(wrong), max_size=4), min_size=1, max_size=4)


@given(runs)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_runs(tmp_path_factory: pytest.TempPathFactory, drawn: list[list[Measurement]]) -> None:
    """Or none are read through it: of numbers that JSON or a column cannot hold."""
    folder = tmp_path_factory.mktemp("results")
    directly = write([stored(number, found) for number, found in enumerate(drawn)], folder)
    told: list[str] = []
    index = opened(folder, told.append)
    assert told == []
    if index is None:
        values = [value for run in directly for m in run.measurements for value in m.case.values()]
        assert any(not isinstance(value, str) and (value is None or not abs(value) < 2**63) for value in values)
        return
    pd.testing.assert_frame_equal(frame_of(index), frame(directly))
    assert outlined_runs(index) == [outline(run) for run in directly]


def outline(run: StoredRun) -> StoredRun:
    return replace(run, measurements=tuple(map(outline_of, latest(run.measurements))))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs of the repository in one folder."""
    folder = tmp_path_factory.mktemp("all")
    for record in RESULTS.rglob("run.json"):
        shutil.copytree(record.parent, folder / record.parent.name)
    return folder


def test_the_stored_runs(everything: Path) -> None:
    index = opened(everything, pytest.fail)
    assert index is not None
    directly = read_runs(everything)
    pd.testing.assert_frame_equal(frame_of(index), frame(directly))
    assert outlined_runs(index) == [outline(run) for run in directly]
    pd.testing.assert_frame_equal(load(everything), frame(directly))


def test_a_benchmark_of_many_runs(everything: Path) -> None:
    index = opened(everything, pytest.fail)
    assert index is not None
    (chosen,) = {m.key for run in read_runs(everything) for m in run.measurements if m.implementation == "flex"} & {
        ("attention", "flex", "Hq9-Hkv3-bf16-causal-smollm2")
    }
    found = [m for run in outlined_runs(index, [chosen]) for m in run.measurements]
    assert {m.key for m in found} == {chosen}
    assert outlined_runs(index, [])[0].measurements == ()


@pytest.fixture
def timeline(tmp_path: Path) -> Path:
    """Twenty runs with a change, a run of another time zone, one with the id of another, and a miss."""
    write(upgraded(), tmp_path / "results")
    odd = stored(30, [wrong(measured(1e6)), measured(2e6, "naive")], environment(threads=1))
    zone = replace(odd.run, run_id="zone", started="2026-01-05T23:00:00+11:00")
    write([odd, replace(odd, run=zone)], tmp_path / "results")
    shutil.copytree(tmp_path / "results" / "zone", tmp_path / "results" / "zz")
    return tmp_path / "results"


def test_a_history(timeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: tuple[list[str], list[str]] = ([], [])
    indexed = opened_source(timeline, said[0].append, said[0].append)
    assert not isinstance(indexed, StoredRuns)
    direct = StoredRuns(read_runs(timeline), said[1].append)
    assert indexed.runs == direct.runs
    assert indexed.benchmarks() == direct.benchmarks()
    for chosen in (direct.benchmarks(), direct.benchmarks()[:1]):
        assert list(map(benchmark, indexed.of(chosen))) == list(map(benchmark, direct.of(chosen)))
    assert said[0] == said[1]
    assert any("is run zone as" in text for text in said[0])


def test_a_comparison(timeline: Path, tmp_path: Path) -> None:
    head = write(upgraded(5, 0, 1.3), tmp_path / "head")
    base = sides.side_of(str(timeline), pytest.fail, pytest.fail)
    directly = read_runs(timeline)
    assert base != directly[:0]
    assert compare(base, head) == compare(directly, head)
    assert recorded_differences(base, head) == recorded_differences(directly, head)


def test_runs_with_paced_cases_are_read_whole(tmp_path: Path) -> None:
    paced = measured(1e6, case={"arrivals": "poisson"})
    write([stored(0, [paced]), stored(1, [measured(1e6)])], tmp_path)
    first, second = sides.side_of(str(tmp_path), pytest.fail, pytest.fail)
    assert first.measurements[0].phases_ns == paced.phases_ns
    assert (first, second) == tuple(read_runs(tmp_path))


def test_runs_that_took_turns_are_read_whole(tmp_path: Path) -> None:
    written = write([stored(0, [measured(1e6)], extra={INTERLEAVED: "x"}), stored(1, [measured(1e6)])], tmp_path)
    first, second = sides.side_of(str(tmp_path), pytest.fail, pytest.fail)
    assert first == written[0]
    assert second == outline(written[1])


def test_only_what_an_operator_has(tmp_path: Path) -> None:
    other = replace(measured(1e6), operator="linear")
    write([stored(0, [measured(1e6), other]), stored(1, [other])], tmp_path)
    found = sides.side_of(str(tmp_path), pytest.fail, pytest.fail, {"linear"})
    assert [[m.operator for m in run.measurements] for run in found] == [["linear"], ["linear"]]


def test_the_newest_run_is_found_without_reading_the_others(
    results: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_runs(results)[-1]
    assert newest_run(results, told.append) == expected
    opened(results, told.append)
    records: list[str] = []
    monkeypatch.setattr(newest_module, "read_record", lambda folder: records.append(folder.name))
    assert newest_run(results, told.append) == expected
    assert records == told == []


def test_the_newest_run_that_can_be_read(results: Path, told: list[str]) -> None:
    (results / "schema-1" / "run.json").write_text("{")
    newest = read_runs(results, lambda text: None)[-1].path
    (newest / "run.json").write_text("{")
    directly: list[str] = []
    assert newest_run(results, told.append) == read_runs(results, directly.append)[-1]
    assert told == directly
    assert newest_run(results / "schema-2", pytest.fail) == read_run(results / "schema-2")


def test_a_table_tells_once_what_it_leaves_out(results: Path) -> None:
    (results / "schema-1" / "run.json").write_text("{")
    lines = (results / "schema-6" / "measurements.jsonl").read_text().splitlines()
    (results / "schema-6" / "measurements.jsonl").write_text("\n".join([lines[0], *(["{"] * 7), *lines[1:]]))
    said: list[list[str]] = []
    for _ in range(2):
        with pytest.warns(StoreWarning) as caught:
            table = load(results)
        said.append([str(warning.message) for warning in caught])
    assert said[0] == said[1]
    assert len(said[0]) == 1 + 5 + 1
    assert said[0][1].endswith("; left out")
    assert "measurements.jsonl: 2 more lines that cannot be read, left out" in said[0][-1]
    assert len(table) == len(frame(read_runs(results, lambda text: None)))


def test_a_metric_of_a_plugin_is_worked_out_from_the_runs(results: Path) -> None:
    mine = Metric("mine", "mine", "ns", "lower", "Mine.", "1", lambda row: 1.0)
    registry.metrics.add("mine", mine, "plugin")
    try:
        table = load(results)
        assert "mine" in [metric.name for metric in known_metrics()]
        assert set(table.mine.dropna()) == {1.0}
        assert not (results / ".index").exists()
    finally:
        registry.metrics.discard("mine")


@pytest.mark.parametrize("metric", [None, "ttft_ns", "setup_ns", "peak_memory_bytes", "output_tok_per_s"])
def test_a_history_of_any_metric(everything: Path, metric: str | None) -> None:
    told: list[str] = []
    indexed = opened_source(everything, told.append, told.append)
    direct = StoredRuns(read_runs(everything), told.append)
    assert not isinstance(indexed, StoredRuns)

    def values(source: Source) -> list[list[float | str]]:
        found = source.of(source.benchmarks(), metric)
        return [[one.value if isinstance(one, HistoryPoint) else one.reason for one in runs.found] for runs in found]

    assert values(indexed) == values(direct)
    assert any(isinstance(one, float) for some in values(direct) for one in some)
