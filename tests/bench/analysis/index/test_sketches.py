"""Rows that are made of one measurement after another are those that are made of the whole run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.analysis.columns import of_row
from attnlab.bench.analysis.index.sketches import Sketches
from attnlab.bench.analysis.metrics import figured_of, known_metrics, own_metrics
from attnlab.bench.contract.metric import Row
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Burst, Measurement, RunRecord
from attnlab.bench.store.run_folder import MEASUREMENTS_FILE, read_lines, read_run

ROOT = Path(__file__).parents[4]
TOPS = (ROOT / "results", ROOT / "tests" / "bench" / "store" / "fixtures")
FOLDERS = [record.parent for top in TOPS for record in sorted(top.rglob("run.json"))]
Change = Callable[[Measurement], Measurement]


def by_columns(row: Row, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (of_row(row) | values).items() if value is not None}


def assert_alike(run: RunRecord, folder: Path) -> Sequence[dict[str, Any]]:
    """What is sketched of a folder's lines is what figures of the whole run are, to the last bit."""
    metrics = own_metrics()
    sketches, whole = Sketches(run, metrics), []
    for line in read_lines(folder):
        held = line.held()
        assert isinstance(held, Measurement)
        sketches.add(line, held)
        whole.append(held)
    expected = [by_columns(row, values) for row, values in figured_of(run, whole, metrics)]
    found = [{name: value for name, value in values.items() if value is not None} for _, values in sketches.rows()]
    assert repr([sorted(row.items()) for row in found]) == repr([sorted(row.items()) for row in expected])
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_stored_runs(folder: Path) -> None:
    found = assert_alike(read_run(folder).run, folder)
    assert any({"latency_ns", "ttft_ns"} & row.keys() for row in found)


def other_clock(m: Measurement) -> Measurement:
    """Timed by a clock that the others of its case do not have, beside one that they do."""
    if m.timing is None or m.implementation != "sdpa_flash":
        return m
    return replace(m, timing=replace(m.timing, clock="cuda_event"))


def other_calls(m: Measurement) -> Measurement:
    return replace(m, timing=replace(m.timing, calls_a_sample=7)) if m.timing and m.implementation == "naive" else m


def paced(m: Measurement) -> Measurement:
    return replace(m, case=m.case | {"arrivals": "poisson"})


def with_doubt(m: Measurement) -> Measurement:
    return replace(m, flags=("faster than the measured ceiling, it was said", *m.flags, *m.flags))


def unending(m: Measurement) -> Measurement:
    """Numbers of a log that cannot be."""
    launches = [replace(launch, bursts=tuple(map(_spoilt, launch.bursts))) for launch in m.launches]
    return replace(m, launches=tuple(launches))


def _spoilt(burst: Burst) -> Burst:
    odd = {"event_time": -1.0, "decode_pass": 0.0}
    series = [replace(s, values=(odd[s.quantity], *s.values[1:])) if s.quantity in odd else s for s in burst.series]
    return replace(burst, series=tuple(series))


@pytest.mark.parametrize("change", [other_clock, other_calls, paced, with_doubt, unending])
@pytest.mark.parametrize("name", ["20261122-081015-quick", "20261126-160740-generate-quick"])
def test_what_is_restated_beside_others(tmp_path: Path, name: str, change: Change) -> None:
    stored = read_run(ROOT / "results" / name)
    changed = [replace(change(m), schema_version=6) for m in stored.measurements]
    lines = [json.dumps(encode(m)) for m in (*changed, *changed[:3])]  # some measured again
    (tmp_path / MEASUREMENTS_FILE).write_text("\n".join(lines))
    assert_alike(stored.run, tmp_path)


def test_only_a_metric_that_says_so_asks_for_the_baseline() -> None:
    stored = read_run(ROOT / "results" / "20261122-081015-quick")
    passed = next(m for m in stored.measurements if m.median_ns)
    faster = replace(passed, median_ns=math.nextafter(passed.median_ns or 0, 0) / 2)
    asks = []
    for metric in known_metrics():
        alone, beside = (metric.value(Row(stored.run, passed, baseline)) for baseline in (None, faster))
        asks += [metric.name] if alone != beside else []
        assert metric.of_baseline == (alone != beside)
        assert not (metric.of_baseline and metric.needs), "what is asked beside others has no samples"
    assert asks == ["speedup"]
