"""The benchmark of reading, on a few measurements."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from attnlab.bench.store.run_folder import read_run

ROOT = Path(__file__).parents[3]
FIXTURE = Path(__file__).parent / "fixtures" / "schema-5"


@pytest.fixture(scope="module")
def store_scale() -> ModuleType:
    return benchmark("store_scale")


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_run_grows_by_what_is_stored(store_scale: ModuleType, tmp_path: Path) -> None:
    stored = read_run(FIXTURE).measurements
    grown = read_run(store_scale.grown([FIXTURE], 2 * len(stored) + 1, tmp_path / "grown"))
    assert grown.damages == ()
    assert len(grown.measurements) == 2 * len(stored) + 1
    for measurement in stored:
        assert grown.measurements.count(measurement) in (2, 3)


def test_every_way_reads_all(store_scale: ModuleType, tmp_path: Path) -> None:
    ways = store_scale.ways(store_scale.grown([FIXTURE], 7, tmp_path / "grown"))
    made = {name: way() for name, way in ways.items()}
    assert len(made[store_scale.JSON]) == 7
    assert made["decoded"] == made["decoded strictly"] == list(made["read"].measurements)


def test_a_ratio_is_of_one_round(store_scale: ModuleType) -> None:
    alone = store_scale.Reading("alone", 10, (1e3, 2e3, 4e3))
    row = store_scale.row(store_scale.Reading("mine", 10, (2e3, 6e3, 4e3)), alone)
    assert row == "| 10 | mine | 250,000 | 4.00 µs | 2.00× (1.00× to 3.00×) |"


def test_a_folder_grows_by_runs_that_every_way_reads(tmp_path: Path) -> None:
    module = benchmark("store_index")
    folder = module.grown(200, tmp_path / "results")
    runs = [read_run(path) for path in sorted(folder.iterdir())]
    assert [len(run.measurements) for run in runs] == [100, 100]
    assert all(run.damages == () for run in runs)
    assert module.floor(folder) == 200
    assert len(module.WAYS["`load`"](folder)) == len(module.WAYS["runs read one by one, as a table"](folder)) == 200
    assert module.WAYS["newest run of all"](folder) == module.WAYS["that run alone"](folder) == runs[-1]
