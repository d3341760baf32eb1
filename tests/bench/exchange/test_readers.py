"""Each format as its tool documents it: what is read of it, and that what it lacks stays unknown."""

from __future__ import annotations

import array
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.exchange.importing import import_file
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.store.run_folder import StoredRun, read_run
from tests.helpers import foreign_files

Import = Callable[..., StoredRun]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """The run that is made of a file's values, read back from its folder."""

    def made(data: Any, name: str = "file.json", form: str = "auto") -> StoredRun:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        stored = read_run(import_file(path, tmp_path / "results", form).folder)
        assert stored.damages == ()
        return stored

    return made


def by_name(stored: StoredRun) -> dict[str, Measurement]:
    return {f"{m.implementation} {m.case_id}": m for m in stored.measurements}


def figures(stored: StoredRun, row: int = 0) -> dict[str, Any]:
    one = rows_of(stored.run, stored.measurements)[row]
    return {metric.name: value for metric in known_metrics() if (value := metric.value(one)) is not None}


def test_pytest_benchmark(imported: Import) -> None:
    stored = imported(foreign_files.pytest_benchmark())
    small, large = stored.measurements
    assert small.key == ("pytest-benchmark:tests/test_sort.py", "test_sort", "n=10")
    assert small.outcome is Outcome.UNCHECKED
    assert small.case == {"n": 10}
    assert small.values("latency", "perf_counter") == pytest.approx([1e3, 2e3, 4e3])
    assert small.median_ns == pytest.approx(2e3)
    assert (large.median_ns, large.launches) == (pytest.approx(5e3), ()), "no samples were kept"
    assert small.timing is not None
    assert (small.timing.clock, small.timing.calls_a_sample, small.timing.samples) == ("perf_counter", 10, 3)
    assert (small.timing.warmup_calls, small.timing.copies, small.timing.cache) == (None, None, "unknown")
    run = stored.run
    assert run.imported is not None
    assert (run.imported.tool, run.imported.version, run.imported.file) == ("pytest-benchmark", "5.3.1", "file.json")
    assert run.started == "2026-01-31T12:00:00+00:00"
    assert (run.seed, run.environment.threads, run.environment.memory_bytes) == (None, None, None)
    assert (run.environment.processor, run.environment.cores) == ("Some CPU", 8)
    assert (run.environment.revision, run.environment.dirty) == ("0123abcd", True)
    assert math.isnan(run.ceilings.bandwidth)


def test_groups_of_pytest_benchmark_are_told_apart(imported: Import) -> None:
    data = foreign_files.pytest_benchmark()
    data["benchmarks"][1]["group"] = "sorting"
    assert {m.operator for m in imported(data).measurements} == {
        "pytest-benchmark:tests/test_sort.py",
        "pytest-benchmark:sorting",
    }


def test_google_benchmark(imported: Import) -> None:
    stored = imported(foreign_files.google_benchmark())
    found = by_name(stored)
    fill = found["BM_fill<int> arg0=1024-threads=2"]
    assert fill.operator == "google-benchmark:bench_fill"
    assert fill.values("latency", "real_time") == [10e3, 14e3], "repetitions, not their aggregates"
    assert fill.timing is not None
    assert fill.timing.calls_a_sample == 1000
    assert fill.reported == {"cpu_time_ns": 9e3, "gb_per_s": 3.0}
    only = found["BM_only default"]
    assert (only.median_ns, only.launches) == (3e6, ())
    assert only.timing is not None
    assert only.timing.samples == 2
    broken, skipped = found["BM_broken default"], found["BM_skipped default"]
    assert (broken.outcome, broken.reason) == (Outcome.FAILED, "no such file")
    assert (skipped.outcome, skipped.reason) == (Outcome.UNAVAILABLE, "not here")
    assert stored.run.started == "2026-01-31T12:00:00+01:00"
    assert stored.run.environment.load_average == 0.5


def test_rows_of_google_benchmark_that_do_not_say_what_they_are(imported: Import) -> None:
    data = foreign_files.google_benchmark()
    data["benchmarks"] = [
        {"name": f"BM_old{end}", "iterations": 3, "real_time": 7.0, "cpu_time": 7.0, "time_unit": "ns"}
        for end in ("_mean", "_median", "_stddev")
    ]
    (old,) = imported(data).measurements
    assert (old.implementation, old.median_ns) == ("BM_old", 7.0)


def test_a_debug_build_is_flagged(imported: Import) -> None:
    data = foreign_files.google_benchmark()
    data["context"]["library_build_type"] = "debug"
    assert "its library was built for debugging" in imported(data).measurements[0].flags


def test_asv(imported: Import, tmp_path: Path) -> None:
    (tmp_path / "res" / "host").mkdir(parents=True)
    (tmp_path / "res" / "benchmarks.json").write_text(json.dumps(foreign_files.ASV_BENCHMARKS))
    stored = imported(foreign_files.asv(), "res/host/1d6e-env.json")
    found = by_name(stored)
    first = found["time_sort n=10-kind=a"]
    assert (first.operator, first.case) == ("asv:bench.Sort", {"n": 10, "kind": "a"})
    assert first.values("latency") == pytest.approx([1e3, 2e3, 3e3])
    without = found["time_sort n=1000-kind=a"]
    assert (without.median_ns, without.launches) == (pytest.approx(8e3), ())
    assert without.timing is not None
    assert without.timing.samples == 2
    assert found["time_sort n=10-kind=b"].outcome is Outcome.UNAVAILABLE
    assert found["time_sort n=1000-kind=b"].outcome is Outcome.FAILED
    memory = found["peakmem_list default"]
    assert (memory.outcome, memory.median_ns) == (Outcome.UNCHECKED, None)
    assert memory.untimed == "it measures no time, but 2.80781e+07 bytes"
    e = stored.run.environment
    assert (e.cores, e.memory_bytes, e.packages, e.python) == (2, 1000000, {"numpy": "2.0"}, "3.11")
    assert stored.run.imported is not None
    assert stored.run.imported.version is None, "the file does not say"


def test_asv_without_its_list_of_benchmarks(imported: Import) -> None:
    data = foreign_files.asv()
    data["results"]["bench.track_size"] = [[3.5], []]
    stored = imported(data)
    assert "time_sort param0=10-param1=a" in by_name(stored)
    assert stored.run.imported is not None
    (told,) = stored.run.imported.left_out
    assert told.startswith("bench.track_size: its unit is not known")


def test_nvbench(imported: Import) -> None:
    stored = imported(foreign_files.nvbench())
    mean, median, skipped = stored.measurements
    assert mean.key == ("nvbench:copy", "copy", "T=I32-Elements=1024")
    assert mean.case == {"T": "I32", "Elements": 1024}
    assert mean.values("latency") == pytest.approx([1250.0])
    assert mean.timing is not None
    assert (mean.timing.samples, mean.timing.calls_a_sample, mean.timing.cache) == (1, 12, "cold")
    assert any("the mean of all calls" in flag for flag in mean.flags), "a mean is no median"
    assert mean.reported == {"gb_per_s": pytest.approx(3000.0)}
    assert (median.median_ns, median.launches) == (pytest.approx(2000.0), ())
    assert (skipped.outcome, skipped.reason) == (Outcome.UNAVAILABLE, "skipped: too large")
    device = stored.run.environment.device
    assert (device.name, device.capability, device.multiprocessors) == ("NVIDIA H100", (9, 0), 132)
    assert any("the time is that of the import" in flag for flag in mean.flags), "nvbench writes no date"


def sampled(named: str, size: int = 3) -> dict[str, Any]:
    data = foreign_files.nvbench()
    values = [("filename", "string", named), ("size", "int64", str(size))]
    data["benchmarks"][0]["states"][0]["summaries"].append(
        {
            "tag": "nv/json/bin:nv/cold/sample_times",
            "data": [{"name": name, "type": kind, "value": value} for name, kind, value in values],
        }
    )
    return data


def test_samples_of_nvbench_that_lie_beside_it(imported: Import, tmp_path: Path) -> None:
    (tmp_path / "file.json-bin").mkdir()
    (tmp_path / "file.json-bin" / "0.bin").write_bytes(array.array("f", [1e-6, 2e-6, 4e-6]).tobytes())
    stored = imported(sampled("file.json-bin/0.bin"))
    assert stored.measurements[0].values("latency") == pytest.approx([1e3, 2e3, 4e3])


@pytest.mark.parametrize(
    ("named", "size", "told"),
    [
        ("file.json-bin/9.bin", 3, "its samples are not beside it"),
        ("/etc/hostname", 3, "its samples are not beside it"),
        ("../outside.bin", 3, "its samples are not beside it"),
        ("cut.bin", 3, "holds 8 bytes, not 3 samples"),
    ],
)
def test_samples_of_nvbench_that_are_not_there(
    imported: Import, tmp_path: Path, named: str, size: int, told: str
) -> None:
    (tmp_path / "cut.bin").write_bytes(array.array("f", [1e-6, 2e-6]).tobytes())
    (tmp_path.parent / "outside.bin").write_bytes(array.array("f", [1e-6, 2e-6, 3e-6]).tobytes())
    stored = imported(sampled(named, size))
    assert stored.run.imported is not None
    assert told in stored.run.imported.left_out[0]
    assert stored.measurements[0].values("latency") == pytest.approx([1250.0]), "the mean stands"


def test_devices_of_nvbench_are_told_apart(imported: Import) -> None:
    data = foreign_files.nvbench()
    data["devices"].append({**data["devices"][0], "id": 1, "name": "NVIDIA A100"})
    data["benchmarks"][0]["states"][1]["device"] = 1
    stored = imported(data)
    assert stored.run.environment.device.name == "NVIDIA H100 and NVIDIA A100"
    assert [m.case["device"] for m in stored.measurements] == ["NVIDIA H100", "NVIDIA A100", "NVIDIA H100"]


def test_vllm_with_the_log_of_each_request(imported: Import) -> None:
    stored = imported(foreign_files.vllm())
    (served,) = stored.measurements
    assert served.operator == "vllm:serve"
    assert served.case == {"model": "meta-llama/Llama-3.1-8B", "arrivals": "4 a second", "prompts": 3}
    assert (served.median_ns, served.outcome) == (None, Outcome.UNCHECKED)
    found = figures(stored)
    assert found["ttft_ns"] == pytest.approx(150e6), "of the log: 100 ms and 200 ms"
    assert found["itl_ns"] == pytest.approx(20e6)
    assert found["failed_requests"] == 1
    assert found["output_tok_per_s"] == pytest.approx(5 / 0.46)
    assert found["offered_per_s"] == pytest.approx(4.0)


def test_requests_of_vllm_arrive_when_they_are_due(imported: Import) -> None:
    """What a request waits for a place in the client is part of its time."""
    data = foreign_files.vllm() | {"queue_times": [0.0, 0.1, 0.0], "max_concurrency": 1}
    stored = imported(data)
    assert figures(stored)["ttft_ns"] == pytest.approx(200e6), "100 ms, and 100 ms of waiting beside 200 ms"
    assert stored.measurements[0].case["concurrency"] == 1


def test_vllm_without_details(imported: Import) -> None:
    stored = imported(foreign_files.vllm(detailed=False))
    found = figures(stored)
    assert found == {
        "ttft_ns": 150e6,
        "itl_ns": 20e6,
        "itl_p99_ns": 29e6,
        "tpot_ns": 20e6,
        "output_tok_per_s": 2.5,
        "answered_per_s": 1.0,
        "failed_requests": 1.0,
    }
    assert stored.measurements[0].launches == ()


def test_pieces_of_several_tokens_make_no_log(imported: Import) -> None:
    data = foreign_files.vllm() | {"output_lens": [6, 2, 0]}
    stored = imported(data)
    assert figures(stored)["ttft_ns"] == 150e6, "as vLLM worked it out"
    assert stored.run.imported is not None
    assert "6 tokens came in 3 pieces" in stored.run.imported.left_out[0]


def test_runs_that_vllm_appended_are_read_line_by_line(imported: Import) -> None:
    runs = [foreign_files.vllm(detailed=False) | {"request_rate": rate} for rate in (1.0, "inf")]
    stored = imported("\n".join(map(json.dumps, runs)) + '\n{"date": "2026')
    assert [m.case["arrivals"] for m in stored.measurements] == ["1 a second", "all at once"]
    assert stored.run.imported is not None
    assert stored.run.imported.left_out[0].startswith("line 3: ")


def test_guidellm(imported: Import) -> None:
    stored = imported(foreign_files.guidellm())
    (served,) = stored.measurements
    assert (served.operator, served.implementation) == ("guidellm:serve", "openai_http")
    assert served.case == {"model": "mock", "arrivals": "constant, 2 a second", "prompts": 3}
    assert figures(stored) == {
        "ttft_ns": 40e6,
        "ttft_p95_ns": 60e6,
        "tpot_ns": 10e6,  # what GuideLLM calls inter-token latency is a mean of a request
        "output_tok_per_s": 28.0,
        "answered_per_s": pytest.approx(2 / 0.75),
        "failed_requests": 1.0,
    }
    assert stored.run.imported is not None
    assert stored.run.imported.version == "0.8.1"
    assert "the first and the last token alone" in stored.run.imported.left_out[0]


def test_aiperf_alone(imported: Import) -> None:
    told, _ = foreign_files.aiperf()
    stored = imported(told)
    (served,) = stored.measurements
    assert (served.operator, served.implementation, served.launches) == ("aiperf:serve", "chat", ())
    assert served.case == {"model": "mock", "arrivals": "concurrency", "concurrency": 2, "prompts": 2.0}
    found = figures(stored)
    assert (found["ttft_ns"], found["tpot_ns"], found["goodput_per_s"]) == (50e6, 10e6, 2.0)
    assert "itl_ns" not in found


def test_aiperf_with_its_records(imported: Import, tmp_path: Path) -> None:
    told, records = foreign_files.aiperf()
    lines = "".join(f"{json.dumps(record)}\n" for record in records)
    (tmp_path / "profile_export.jsonl").write_text(lines, encoding="utf-8")
    found = figures(imported(told))
    assert found["ttft_ns"] == pytest.approx(51e6), "a millisecond from when its sending was asked for"
    assert found["itl_ns"] == pytest.approx(10e6)
    assert found["output_tok_per_s"] == pytest.approx(8 / 0.191)


def test_chunks_of_aiperf_that_hold_several_tokens_make_no_log(imported: Import, tmp_path: Path) -> None:
    told, records = foreign_files.aiperf(pieces=3)
    (tmp_path / "profile_export.jsonl").write_text(json.dumps(records[0]), encoding="utf-8")
    stored = imported(told)
    assert figures(stored)["ttft_ns"] == 50e6, "as AIPerf worked it out"
    assert stored.run.imported is not None
    assert "4 tokens came in 3 pieces" in stored.run.imported.left_out[0]
