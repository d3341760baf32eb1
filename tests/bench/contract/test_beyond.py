"""No share above 100 % stands without a word on what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from attnlab.bench.analysis.metrics import known_metrics, rows_of, with_remarks
from attnlab.bench.contract.beyond import EITHER, IMPOSSIBLE, IN_CACHE, LOW
from attnlab.bench.contract.metric import Row
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.reporters.model.results import columns, result_of
from attnlab.bench.store.machine import Ceilings, Device, Environment, Load, PublishedPeaks
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, RunRecord, Series, TimingRecord

METRICS = {metric.name: metric for metric in known_metrics()}
KIB, MIB = 1 << 10, 1 << 20
BUSY = Load(1.2, 0.0, 200.0, 4, "other processes kept 1.2 cores busy")


def run(cache_bytes: int | None = 32 * MIB, published: PublishedPeaks | None = None, **ceilings: Any) -> RunRecord:
    """10 GB/s copied, 20 GB/s read, 100 GFLOP/s."""
    device = Device("cpu", "Processor", cache_bytes=cache_bytes)
    environment = Environment(
        device, "Processor", 2, (0, 1), 2, 1 << 30, "Linux", "3.12", {}, None, None, {}, None, None
    )
    made = Ceilings("Processor", 2, 1e10, {"float32": 1e11}, published, 0.0, read_bandwidth=2e10)
    return RunRecord("r", "s", "2026-01-02", "attnlab run s", (), environment, replace(made, **ceilings), 0)


def row(record: RunRecord, median_ns: float, bytes_moved: int, operations: int = 0, cache: str = "warm") -> Row:
    timing = TimingRecord("wall", cache, 2, 10, 1e6, True, 3, "target")
    m = Measurement(
        "op",
        "mine",
        {"dtype": "float32"},
        "c",
        Outcome.PASSED,
        timing=timing,
        operations=operations,
        bytes_moved=bytes_moved,
        bytes_written=0,
        median_ns=median_ns,
    )
    return Row(record, m)


def remark(found: Row, metric: str = "share_of_ceiling") -> tuple[str, str]:
    said = METRICS[metric].remark_on(found)
    assert said is not None
    return said.short, said.words


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_up_to_the_ceiling_nothing_is_said(share: float) -> None:
    found = row(run(), 5e4 / share, KIB, operations=5_000_000)
    assert METRICS["share_of_ceiling"].value(found) == pytest.approx(share)
    assert METRICS["share_of_ceiling"].remark_on(found) is None
    assert with_remarks(found).measurement.flags == ()


def test_no_cache_helps_arithmetic() -> None:
    """What is bound by compute passes a rate that was measured low, and never because its data stayed in a cache."""
    found = row(run(), 1e4, KIB, operations=7_150_000)
    assert METRICS["bound"].value(found) == "compute"
    assert remark(found) == (LOW, "the result passes the measured matrix rate: it was measured low (715 % of it)")
    assert METRICS["share_of_ceiling"].text(found) == "715 % (ceiling low)"


def test_what_fits_into_a_cache_stayed_there() -> None:
    found = row(run(), 2e4, MIB)
    assert remark(found) == (
        IN_CACHE,
        "the result passes the measured bandwidth: the data stayed in a cache (262 % of it)",
    )


def test_what_fits_into_no_cache_shows_a_low_ceiling_and_why() -> None:
    large = row(run(load=BUSY), 2e6, 100 * MIB)
    assert remark(large) == (
        LOW,
        "the result passes the measured bandwidth: it was measured low, as other processes kept 1.2 cores busy "
        "(262 % of it)",
    )


@pytest.mark.parametrize(("cache_bytes", "bytes_moved"), [(None, MIB), (32 * MIB, 40 * MIB)])
def test_where_the_cache_is_not_known_either_may_be(cache_bytes: int | None, bytes_moved: int) -> None:
    """Each thread may have a last-level cache of its own."""
    found = row(run(cache_bytes), bytes_moved / 40, bytes_moved)
    assert remark(found)[0] == EITHER
    assert remark(found)[1].startswith(
        "the result passes the measured bandwidth: the data stayed in a cache, or it was"
    )


@pytest.mark.parametrize(
    ("share", "cache", "bytes_moved", "short"),
    [
        (1.04, "cold", MIB, "clock's error"),
        (1.5, "cold", MIB, IMPOSSIBLE),
        (1.5, "hot", MIB, IN_CACHE),
        (1.5, "hot", 100 * MIB, IMPOSSIBLE),
    ],
)
def test_a_data_sheet_is_passed_by_what_cannot_be(share: float, cache: str, bytes_moved: int, short: str) -> None:
    sheet = PublishedPeaks(1e11, {"float32": 1e12})
    found = row(run(published=sheet), bytes_moved / 100 / share, bytes_moved, cache=cache)
    assert METRICS["share_of_published"].value(found) == pytest.approx(share)
    assert remark(found, "share_of_published")[0] == short


def decoding(record: RunRecord, pass_bytes: float, pass_ns: float) -> Row:
    series = tuple(
        Series(f"{kind}_{what}", unit, None, "lower", (value,))
        for kind in ("prefill", "decode")
        for what, unit, value in (("bytes", "B", pass_bytes), ("pass", "ns", pass_ns))
    )
    found = row(record, 1e9, 10**9)
    return Row(record, replace(found.measurement, launches=(Launch(1, (Burst(0.0, series),)),)))


def test_decoding_is_held_against_the_bandwidth_of_reading() -> None:
    found = decoding(run(), 1e9, 6.25e7)  # 16 GB/s: 160 % of the copy's
    assert METRICS["decode_mbu"].value(found) == pytest.approx(0.8)
    assert METRICS["decode_mbu"].remark_on(found) is None
    low = decoding(run(read_bandwidth=None, load=BUSY), 1e9, 6.25e7)
    assert METRICS["decode_mbu"].text(low) == "160 % (ceiling low)"
    flags = with_remarks(low).measurement.flags
    assert [flag.partition(" passes")[0] for flag in flags] == ["decoding", "prefill"]
    assert all("as other processes kept 1.2 cores busy (160 % of it)" in flag for flag in flags)
    small = decoding(run(), MIB, 1e4)
    assert remark(small, "decode_mbu")[0] == IN_CACHE
    sheet = PublishedPeaks(1e10, {})
    assert remark(decoding(run(published=sheet), 1e9, 6.25e7), "decode_mbu_published")[0] == IMPOSSIBLE


def test_what_older_runs_stored_is_said_anew() -> None:
    old = "faster than the measured ceiling: the data stayed in a cache, or the ceiling was measured low"
    found = row(run(), 1e4, KIB, operations=7_150_000)
    stored = replace(found.measurement, flags=("kept", old))
    (shown,) = rows_of(found.run, [stored])
    assert shown.measurement.flags == (
        "kept",
        "the result passes the measured matrix rate: it was measured low (715 % of it)",
    )
    better = replace(found.run, ceilings=replace(found.run.ceilings, rates={"float32": 1e13}))
    (judged,) = rows_of(better, [stored])
    assert judged.measurement.flags == ("kept",), "by a better ceiling there is nothing to say"


def test_cells_of_tables_say_it_too() -> None:
    found = result_of(row(run(), 1e4, KIB, operations=7_150_000), CaseRef("c", "c", None), list(METRICS.values()))
    cells = {column.name: column.text(found) for column in columns(list(METRICS.values()))}
    assert cells["share_of_ceiling"] == found.share("share_of_ceiling") == "715 % (ceiling low)"
    assert found.share("speedup") == "–"


def test_a_remark_that_fails_is_told_and_costs_nothing_else() -> None:
    """A plugin's metric may bring remarks too."""

    def fails(found: Row) -> None:
        raise KeyError("roof")

    broken = replace(METRICS["share_of_ceiling"], name="mine", remark=fails)
    one = row(run(), 1e4, KIB)
    assert broken.remark_on(one) is None
    assert broken.value(one) == METRICS["share_of_ceiling"].value(one)
    assert broken.fault_on(one) == "metric 'mine' fails (KeyError: 'roof')"
