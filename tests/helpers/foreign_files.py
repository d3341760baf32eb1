"""Files as other tools write them, made by the structure that each documents; tests change what they look at."""

from __future__ import annotations

import math
from typing import Any


def pytest_benchmark() -> dict[str, Any]:
    def bench(name: str, params: dict[str, Any] | None, param: str | None, **stats: Any) -> dict[str, Any]:
        return {
            "group": None,
            "name": name,
            "fullname": f"tests/test_sort.py::{name}",
            "params": params,
            "param": param,
            "extra_info": {},
            "options": {"disable_gc": False, "timer": "perf_counter", "warmup": False},
            "stats": {"min": 1e-6, "mean": 2e-6, "rounds": 3, "iterations": 10, **stats},
        }

    return {
        "machine_info": {
            "node": "host",
            "processor": "x86_64",
            "python_version": "3.11.7",
            "release": "6.1",
            "system": "Linux",
            "cpu": {"brand_raw": "Some CPU", "count": 8},
        },
        "commit_info": {"id": "0123abcd", "dirty": True, "time": None},
        "benchmarks": [
            bench("test_sort[10]", {"n": 10}, "10", median=2e-6, data=[1e-6, 2e-6, 4e-6]),
            bench("test_sort[100]", {"n": 100}, "100", median=5e-6),
        ],
        "datetime": "2026-01-31T12:00:00.123456+00:00",
        "version": "5.3.1",
    }


def google_benchmark() -> dict[str, Any]:
    def row(name: str, kind: str = "iteration", **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "run_name": name,
            "run_type": kind,
            "repetitions": 2,
            "threads": 1,
            "iterations": 1000,
            "time_unit": "us",
            **more,
        }

    fill = "BM_fill<int>/1024/threads:2"
    return {
        "context": {
            "date": "2026-01-31T12:00:00+01:00",
            "host_name": "host",
            "executable": "/home/me/build/bench_fill",
            "num_cpus": 4,
            "mhz_per_cpu": 3000,
            "load_avg": [0.5, 0.4, 0.3],
            "library_version": "v1.9.1",
            "library_build_type": "release",
        },
        "benchmarks": [
            row(fill, real_time=10.0, cpu_time=8.0, bytes_per_second=2e9, repetition_index=0),
            row(fill, real_time=14.0, cpu_time=10.0, bytes_per_second=4e9, repetition_index=1),
            row(fill, "aggregate", aggregate_name="mean", real_time=12.0, cpu_time=9.0),
            row(fill, "aggregate", aggregate_name="cv", real_time=0.2, cpu_time=0.1),
            row("BM_only", "aggregate", aggregate_name="median", real_time=3.0, cpu_time=3.0, time_unit="ms"),
            row("BM_only", "aggregate", aggregate_name="stddev", real_time=0.1, cpu_time=0.1, time_unit="ms"),
            row("BM_broken", error_occurred=True, error_message="no such file", real_time=0.0, cpu_time=0.0),
            row("BM_skipped", skipped=True, skip_message="not here", real_time=0.0, cpu_time=0.0),
        ],
    }


def asv() -> dict[str, Any]:
    return {
        "version": 2,
        "commit_hash": "1d6e075b55fd438984714602727cc08b103e15eb",
        "env_name": "virtualenv-py3.11-numpy",
        "date": 1769860000000,
        "params": {"cpu": "Some CPU", "machine": "host", "num_cpu": "2", "os": "Linux 6.1", "ram": "1000000"},
        "python": "3.11",
        "requirements": {"numpy": "2.0"},
        "env_vars": {},
        "result_columns": [
            "result",
            "params",
            "version",
            "started_at",
            "duration",
            "stats_ci_99_a",
            "stats_ci_99_b",
            "stats_q_25",
            "stats_q_75",
            "stats_number",
            "stats_repeat",
            "samples",
            "profile",
        ],
        "results": {
            "bench.Sort.time_sort": [
                [2e-6, math.nan, 8e-6, None],
                [["10", "1000"], ["'a'", "'b'"]],
                "190c",
                1769860001000,
                1.1,
                *[[0.0, None, 0.0, None]] * 4,
                [5, None, 1, None],
                [3, None, 2, None],
                [[1e-6, 2e-6, 3e-6], None, None, None],
            ],
            "bench.peakmem_list": [[28078080], [], "3548", 1769860002000, 0.2],
        },
        "durations": {},
    }


ASV_BENCHMARKS: dict[str, Any] = {
    "bench.Sort.time_sort": {"param_names": ["n", "kind"], "type": "time", "unit": "seconds"},
    "bench.peakmem_list": {"param_names": [], "type": "peakmemory", "unit": "bytes"},
    "version": 2,
}
"""What lies in `benchmarks.json` beside the machine's folder."""


def nvbench() -> dict[str, Any]:
    def value(name: str, kind: str, what: Any) -> dict[str, Any]:
        return {"name": name, "type": kind, "value": str(what)}

    def summary(tag: str, kind: str, what: Any) -> dict[str, Any]:
        return {"tag": tag, "name": tag, "hint": "", "description": "", "data": [value("value", kind, what)]}

    def state(elements: int, *summaries: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "name": f"Device=0 Elements={elements}",
            "device": 0,
            "type_config_index": 0,
            "axis_values": [value("T", "string", "I32"), value("Elements", "int64", elements)],
            "summaries": list(summaries),
            "is_skipped": False,
            **more,
        }

    cold = "nv/cold/time/gpu"
    return {
        "meta": {"argv": ["bench"], "version": {"json": {"string": "1.0.0"}, "nvbench": {"string": "0.1.0"}}},
        "devices": [
            {
                "id": 0,
                "name": "NVIDIA H100",
                "sm_version": 900,
                "number_of_sms": 132,
                "global_memory_size": 80000000000,
                "l2_cache_size": 50000000,
            }
        ],
        "benchmarks": [
            {
                "name": "copy",
                "index": 0,
                "states": [
                    state(
                        1024,
                        summary("nv/cold/sample_size", "int64", 12),
                        summary(f"{cold}/mean", "float64", 1.25e-6),
                        summary(f"{cold}/stdev/relative", "float64", 0.05),
                        summary("nv/cold/bw/global/bytes_per_second", "float64", 3e12),
                        summary("nv/batch/time/gpu/mean", "float64", 1e-6),
                    ),
                    state(
                        2048,
                        summary("nv/cold/sample_size", "int64", 7),
                        summary(f"{cold}/mean", "float64", 3e-6),
                        summary(f"{cold}/median", "float64", 2e-6),
                    ),
                    state(4096, is_skipped=True, skip_reason="too large"),
                ],
            }
        ],
    }


def vllm(detailed: bool = True) -> dict[str, Any]:
    saved = {
        "date": "20260131-120000",
        "endpoint_type": "openai",
        "backend": "openai",
        "label": None,
        "model_id": "meta-llama/Llama-3.1-8B",
        "tokenizer_id": "meta-llama/Llama-3.1-8B",
        "num_prompts": 3,
        "request_rate": 4.0,
        "burstiness": 1.0,
        "max_concurrency": None,
        "duration": 2.0,
        "completed": 2,
        "failed": 1,
        "total_input_tokens": 20,
        "total_output_tokens": 5,
        "request_throughput": 1.0,
        "request_goodput": None,
        "output_throughput": 2.5,
        "total_token_throughput": 12.5,
        "mean_ttft_ms": 150.0,
        "median_ttft_ms": 150.0,
        "p99_ttft_ms": 199.0,
        "median_tpot_ms": 20.0,
        "median_itl_ms": 20.0,
        "p99_itl_ms": 29.0,
    }
    details = {
        "input_lens": [10, 10, 10],
        "output_lens": [3, 2, 0],
        "start_times": [1000.0, 1000.25, 1000.5],
        "ttfts": [0.1, 0.2, 0.0],
        "itls": [[0.02, 0.03], [0.01], []],
        "generated_texts": ["", "", ""],
        "errors": ["", "", "Bad Gateway"],
    }
    return saved | details if detailed else saved


def guidellm() -> dict[str, Any]:
    """As GuideLLM 0.8.1 writes by `--output kind=json`, without what nothing reads: two answers, and one failure."""

    def spread(p50: float, p95: float, p99: float, mean: float) -> dict[str, Any]:
        return {"successful": {"mean": mean, "median": p50, "percentiles": {"p50": p50, "p95": p95, "p99": p99}}}

    def request(due: float, start: float, first: float | None, last: float | None, end: float, tokens: int) -> Any:
        return {
            "type_": "generative_request_stats",
            "info": {
                "timings": {
                    "targeted_start": 1000 + due,
                    "request_start": 1000 + start,
                    "first_token_iteration": first and 1000 + first,
                    "last_token_iteration": last and 1000 + last,
                    "token_iterations": tokens,
                    "request_end": 1000 + end,
                    "resolve_end": 1000 + end,
                }
            },
            "input_metrics": {"total_tokens": 18, "cached_tokens": None},
            "output_metrics": {"total_tokens": tokens},
        }

    return {
        "metadata": {"version": 2, "guidellm_version": "0.8.1"},
        "config": {"backend": {"kind": "openai_http", "target": "http://127.0.0.1:8000", "model": "mock"}},
        "benchmarks": [
            {
                "type_": "generative_benchmark",
                "config": {"strategy": {"type_": "constant", "rate": 2.0, "max_concurrency": 512}},
                "scheduler_metrics": {"request_start_time": 1000.0, "request_end_time": 1000.75},
                "metrics": {
                    "request_totals": {"successful": 2, "errored": 1, "incomplete": 0, "total": 3},
                    "time_to_first_token_ms": spread(40.0, 60.0, 60.0, 50.0),
                    "inter_token_latency_ms": spread(10.0, 20.0, 20.0, 15.0),
                    "time_per_output_token_ms": spread(16.0, 26.0, 26.0, 20.0),
                    "request_latency": spread(0.15, 0.25, 0.25, 0.2),
                    "output_tokens_per_second": spread(90.0, 100.0, 100.0, 28.0),
                    "requests_per_second": spread(2.0, 4.0, 4.0, 2 / 0.75),
                    "request_goodput": None,
                },
                "requests": {
                    "successful": [
                        request(0.0, 0.0, 0.04, 0.14, 0.15, 11),
                        request(0.49, 0.5, 0.56, 0.74, 0.75, 10),
                    ],
                    "errored": [request(0.1, 0.1, None, None, 0.2, 0)],
                    "incomplete": [],
                },
                "start_time": 1000.0,
                "end_time": 1000.75,
            }
        ],
    }


def aiperf(pieces: int = 4) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """As AIPerf 0.13.0 writes `profile_export_aiperf.json` and, of `pieces` chunks each, `profile_export.jsonl`."""

    def summary(unit: str, **values: float) -> dict[str, Any]:
        return {"unit": unit, **values}

    def record(start_ns: int, first_ms: float, gap_ms: float, tokens: int) -> dict[str, Any]:
        gaps = [gap_ms] * (pieces - 1)
        return {
            "metadata": {
                "credit_issued_ns": start_ns - 1_000_000,
                "request_start_ns": start_ns,
                "request_end_ns": start_ns + int((first_ms + sum(gaps)) * 1e6),
                "benchmark_phase": "profiling",
            },
            "metrics": {
                "time_to_first_token": {"value": first_ms, "unit": "ms"},
                "inter_chunk_latency": {"value": gaps, "unit": "ms"},
                "request_latency": {"value": first_ms + sum(gaps), "unit": "ms"},
                "output_sequence_length": {"value": tokens, "unit": "tokens"},
                "usage_completion_tokens": {"value": tokens, "unit": "tokens"},
                "input_sequence_length": {"value": 9, "unit": "tokens"},
            },
        }

    begun = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00 UTC
    each = 30.0 / 3
    told = {
        "schema_version": "1.4",
        "aiperf_version": "0.13.0",
        "input_config": {
            "models": {"items": [{"name": "mock"}]},
            "endpoint": {"urls": ["http://127.0.0.1:8000"], "type": "chat", "streaming": True},
            "phases": [{"name": "profiling", "type": "concurrency", "concurrency": 2}],
        },
        "time_to_first_token": summary("ms", avg=50.0, p50=50.0, p95=59.0, p99=59.8),
        "inter_token_latency": summary("ms", avg=each, p50=each, p99=each),
        "request_latency": summary("ms", avg=80.0, p50=80.0, p99=89.8),
        "output_token_throughput": summary("tokens/sec", avg=16.0),
        "request_throughput": summary("requests/sec", avg=4.0),
        "goodput": summary("requests/sec", avg=2.0),
        "request_count": summary("requests", avg=2.0),
        "start_time": "2026-01-01T00:00:00.000000",
        "end_time": "2026-01-01T00:00:00.500000",
    }
    return told, [record(begun, 40.0, 10.0, 4), record(begun + 100_000_000, 60.0, 10.0, 4)]
