"""What Nsight Compute and Proton write is read; the texts here were made by hand, after the tools' documentation.

Nsight Compute: "Nsight Compute CLI", pages `raw` and `details` with --csv. Proton: the tree that
`triton.profiler.finalize` writes, as `triton/profiler/viewer.py` reads it.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import torch

from attnlab.bench.errors import MeasurementError
from attnlab.bench.profilers import PROFILERS
from attnlab.bench.profilers.ncu import METRICS, command_of, read_table
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.proton import read_tree
from attnlab.bench.profilers.record import KERNEL, SPAN

HEADS = (
    "dram__bytes_read.sum",
    "gpu__time_duration.sum",
    "launch__registers_per_thread",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "smsp__inst_executed.sum",
)


def table(*rows: tuple[str, ...]) -> str:
    """As `--csv` prints it."""
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)


EMPTY = "==PROF== Connected to process 4711 (/usr/bin/python3.11)\n" + table(
    ("ID", "Process ID", "Kernel Name", *HEADS), ("", "", "", "byte", "ns", "register/thread", "%", "inst")
)
RAW = EMPTY + table(
    ("0", "4711", "attention_kernel", "1,000,000", "3000", "168", "20.0", "5,000"),
    ("1", "4711", "attention_kernel", "3,000,000", "1000", "168", "40.0", "5,000"),
    ("2", "4711", "copy_kernel", "64", "10", "16", "n/a", "8"),
)
PAGE = "Command line profiler metrics"
DETAILS = table(
    (
        "ID",
        "Process ID",
        "Kernel Name",
        "Context",
        "Stream",
        "Section Name",
        "Metric Name",
        "Metric Unit",
        "Metric Value",
    ),
    ("0", "4711", "attention_kernel", "1", "7", PAGE, "gpu__time_duration.sum", "usecond", "3"),
    ("0", "4711", "attention_kernel", "1", "7", PAGE, "dram__bytes_read.sum", "Mbyte", "1.5"),
)


def test_launches_of_a_kernel_are_put_together() -> None:
    found = read_table(RAW)
    assert [(part.name, part.time_ns, part.count) for part in found.kind(KERNEL)] == [
        ("attention_kernel", 4000, 2),
        ("copy_kernel", 10, 1),
    ]
    assert found.figure("bytes read from memory", "attention_kernel") == 4_000_000
    assert found.figure("instructions", "attention_kernel") == 10_000
    assert found.figure("registers", "attention_kernel") == 168
    assert found.figure("occupancy", "attention_kernel") == 25, "weighted by time"
    assert found.figure("occupancy", "copy_kernel") is None


def test_what_is_no_number_and_what_took_no_time_are_not_zero() -> None:
    found = read_table(
        EMPTY + table(("0", "1", "a", "nan", "0", "inf", "50.0", "8"), ("1", "1", "b", "n/a", "nan", "16", "n/a", "8"))
    )
    assert [(part.name, part.time_ns) for part in found.kind(KERNEL)] == [("a", None), ("b", None)]
    assert {(f.name, f.of, f.value) for f in found.figures} == {
        ("occupancy", "a", 50.0),
        ("instructions", "a", 8.0),
        ("registers", "b", 16.0),
        ("instructions", "b", 8.0),
    }


def test_a_metric_a_line_is_read_too_in_any_unit() -> None:
    found = read_table(DETAILS)
    assert found.kind(KERNEL)[0].time_ns == 3000
    assert found.figure("bytes read from memory", "attention_kernel") == 1_500_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "gave no table; got: nothing"),
        ("==ERROR== no", "got: ==ERROR== no"),
        (EMPTY, "no kernel"),
        (table(("Metric Name", "Metric Value"), ("a", "1")), "no kernel"),
    ],
)
def test_an_empty_table_is_no_profile(text: str, why: str) -> None:
    with pytest.raises(MeasurementError, match=why):
        read_table(text)


NCU = """#!/bin/sh
case "$*" in
  *--import*) cat "$NCU_SAYS";;
  *) while [ "$1" != --export ]; do shift; done; {makes}
esac
"""


@pytest.fixture
def gpu_call(monkeypatch: pytest.MonkeyPatch) -> ProfiledCall:
    """Said to be on a GPU, and not to be made here."""
    return ProfiledCall("toy/f", torch.device("cuda"), (lambda: None,), command=("python3", "again.py"))


def put_ncu(folder: Path, monkeypatch: pytest.MonkeyPatch, makes: str) -> None:
    path = folder / "ncu"
    path.write_text(NCU.replace("{makes}", makes))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    (folder / "says.csv").write_text(RAW)
    monkeypatch.setenv("NCU_SAYS", str(folder / "says.csv"))


def test_nsight_compute_is_driven(gpu_call: ProfiledCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_ncu(tmp_path, monkeypatch, 'echo report > "$2"')
    (tmp_path / "raw").mkdir()
    assert PROFILERS.get("ncu").missing(gpu_call) is None
    found = PROFILERS.get("ncu").profile(gpu_call, tmp_path / "raw")
    assert found.figure("registers", "copy_kernel") == 16
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {name for name, _ in found.files}


def test_it_is_asked_for_one_call_with_clocks_left_alone(gpu_call: ProfiledCall, tmp_path: Path) -> None:
    command = command_of(gpu_call, tmp_path)
    assert command[command.index("--clock-control") + 1] == "none"
    assert command[command.index("--profile-from-start") + 1] == "off"
    assert command[-2:] == ["python3", "again.py"]
    assert len({metric.metric for metric in METRICS}) == len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(
    ("makes", "why"),
    [
        ("echo '==ERROR== ERR_NVGPUCTRPERM'", "run as root, or load the driver with NVreg_RestrictProfiling"),
        ("echo 'no CUDA driver' >&2; exit 9", "wrote no report: no CUDA driver"),
        ("exit 9", "it ended with exit code 9"),
    ],
)
def test_where_nsight_compute_may_not_read_it_is_told_who_lets_it(
    gpu_call: ProfiledCall, makes: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ncu(tmp_path, monkeypatch, makes)
    with pytest.raises(MeasurementError, match=why):
        PROFILERS.get("ncu").profile(gpu_call, tmp_path)


def test_without_nsight_compute_it_is_told_how_to_get_it(
    gpu_call: ProfiledCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "install Nsight Compute" in (PROFILERS.get("ncu").missing(gpu_call) or "")


def node(name: str, *children: object, **metrics: float) -> dict[str, object]:
    told = {"count": 1.0} | {{"ns": "time (ns)"}.get(key, key): value for key, value in metrics.items()}
    return {"frame": {"name": name, "type": "function"}, "metrics": told, "children": list(children)}


def test_the_tree_of_proton_is_read(tmp_path: Path) -> None:
    root = node("ROOT", node("attend", node("gemm", ns=600, count=4.0), node("softmax", ns=200)), node("gemm", ns=100))
    (tmp_path / "p.hatchet").write_text(json.dumps([root, {"CUDA": {}}]))
    found = read_tree(tmp_path / "p.hatchet", calls=2)
    assert [(part.name, part.time_ns, part.count) for part in found.kind(KERNEL)] == [
        ("gemm", 350, 2.5),
        ("softmax", 100, 0.5),
    ]
    assert [(span.name, span.total_ns) for span in found.kind(SPAN)] == [("attend", 400)]


@pytest.mark.parametrize("text", ["", "{}", "[]", '[{"children": [{"frame": {}}]}]'])
def test_a_damaged_tree_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.hatchet").write_text(text)
    with pytest.raises(MeasurementError, match="cannot be read as Proton's"):
        read_tree(tmp_path / "p.hatchet", calls=1)


def test_a_tree_without_kernels_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "p.hatchet").write_text(json.dumps([node("ROOT")]))
    with pytest.raises(MeasurementError, match="saw no kernel"):
        read_tree(tmp_path / "p.hatchet", calls=1)
