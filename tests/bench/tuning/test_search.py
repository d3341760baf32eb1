"""A search with made-up times: who is stopped, who meets in fresh processes, what is stored, and how it goes on."""

from __future__ import annotations

import json
import resource
import runpy
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attnlab.bench.analysis.landscape import Landscape, landscapes, paired_logs
from attnlab.bench.errors import StoreError
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.measuring.runner import Hands, Staff
from attnlab.bench.reporters.model.landscapes import found_by_search
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.stats.racing import Rule
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, RunRecord, Series, TimingRecord
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.store.tuning import TunedCase, Tuning, extra_of
from attnlab.bench.tuning.keeping import keep
from attnlab.bench.tuning.search import CaseSearch, ReferenceLost
from attnlab.kernels.configs import stored as reader

BASE_NS = 1e6
SPEEDS = {"1-a": 1.0, "2-a": 0.7, "1-b": 3.0, "2-b": 1.02, "4-a": 0.98, "4-b": 5.0}
DEFAULT = "mine+1-a"


@cache
def made_up_run() -> RunRecord:
    synthetic = runpy.run_path(str(Path(__file__).parents[1] / "reporters" / "synthetic.py"))
    run: RunRecord = synthetic["stored_run"]().run
    return run


def burst(ns: float) -> Burst:
    return Burst(1.7e9, (Series("latency", "ns", "wall", "lower", (ns, ns, 1.01 * ns)),))


def blank(name: str) -> Measurement:
    return Measurement("toy", name, {"n": 8}, "N8", Outcome.PASSED, configuration=name)


@dataclass
class Made:
    """Workers whose bursts take as long as `speeds` say, with some noise; wrong ones do not pass their check."""

    speeds: Mapping[str, float] = field(default_factory=lambda: dict(SPEEDS))
    wrong: tuple[str, ...] = ()
    dying: str = ""
    interrupted_at: int = 10**9
    hired: list[str] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)
    most_alive: int = 0
    bursts: int = 0
    source: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def staff(self) -> Staff:
        return Staff(
            lambda step: Hands(MadeWorker(self, step.implementation), blank(step.implementation)),  # type: ignore[arg-type]
            lambda m: MadeWorker(self, m.implementation),  # type: ignore[arg-type, return-value]
        )


class MadeWorker:
    def __init__(self, of: Made, name: str) -> None:
        self._of, self._name, self._bursts = of, name, []
        of.hired.append(name)

    def start(self) -> None:
        self._of.alive.add(id(self))
        self._of.most_alive = max(self._of.most_alive, len(self._of.alive))

    def wait(self) -> None: ...

    def open(self, case_id: str, measured: Measurement, on_phase: Any = None) -> Measurement:
        if self._name in self._of.wrong:
            return blank(self._name).fail("out is off", outcome=Outcome.WRONG_VALUES)
        return blank(self._name)

    def burst(self, case_id: str, measured: Measurement) -> Measurement:
        self._of.bursts += 1
        if self._of.bursts > self._of.interrupted_at:
            raise KeyboardInterrupt
        if self._name == self._of.dying and len(self._bursts) == 2:
            return blank(self._name).fail("died")
        noise = float(np.exp(0.01 * self._of.source.standard_normal()))
        self._bursts.append(burst(BASE_NS * self._of.speeds[self._name.partition("+")[2]] * noise))
        return replace(blank(self._name), launches=(Launch(1, (self._bursts[-1],)),))

    def finish(self, case_id: str, measured: Measurement, on_phase: Any = None) -> Measurement:
        timing = TimingRecord("wall", "warm", 2, 4, 1e6, True, 3 * len(self._bursts), "number of rounds")
        beside = Burst(1.7e9, (Series("setup", "ns", "wall", "lower", (1.0,)),))
        ns = self._bursts[0].series[0].values[0]
        made = replace(blank(self._name), timing=timing, median_ns=ns)
        return replace(made, launches=(Launch(1, (*self._bursts, beside)),))

    def close(self) -> None:
        self._of.alive.discard(id(self))


def case_of(names: Mapping[str, float] = SPEEDS) -> TunedCase:
    candidates = {f"mine+{name}": dict(zip(("tile", "way"), _values(name), strict=True)) for name in names}
    return TunedCase("N8", DEFAULT, candidates, (), {"kind": "toy"}, {"n": 8}, Rule(len(names) - 1).rounds)


def _values(name: str) -> tuple[int, str]:
    tile, _, way = name.partition("-")
    return int(tile), way


def tuning_of(case: TunedCase, turns: int = 8) -> Tuning:
    return Tuning("toy", "mine", {"tile": (1, 2, 4), "way": ("a", "b")}, (case,), 0.05, 0.05, turns)


@dataclass
class Searched:
    """What a search stored and told."""

    tuning: Tuning
    measurements: list[Measurement] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def append(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    @property
    def stored(self) -> StoredRun:
        run = replace(made_up_run(), extra=extra_of(self.tuning), benches=())
        return StoredRun(Path("somewhere"), run, tuple(self.measurements))

    @property
    def landscape(self) -> Landscape:
        (found,) = landscapes(self.stored)
        return found


Search = Callable[..., Searched]


@pytest.fixture
def search() -> Iterator[Search]:
    def run(made: Made, turns: int = 8, so_far: Searched | None = None) -> Searched:
        tuning = tuning_of(case_of(), turns)
        searched = so_far or Searched(tuning)
        known = {m.key: m for m in searched.measurements}
        CaseSearch(
            tuning,
            tuning.cases[0],
            None,
            made.staff,
            searched,
            searched.told.append,
            list(known.values()),  # type: ignore[arg-type]
        ).run()
        return searched

    return run


def test_the_fastest_wins_by_rounds_of_fresh_processes(search: Search) -> None:
    made = Made()
    found = search(made).landscape
    assert found.winner is not None
    assert found.winner.name == "mine+2-a"
    assert found.winner.fresh is not None
    assert found.winner.fresh.rounds == 8
    assert found.winner.fresh.median == pytest.approx(0.7, rel=0.03)
    assert found.unfinished == 0
    assert made.alive == set(), "every process is ended"
    assert made.most_alive <= 5, "four candidates beside the built-in one"


def test_who_is_hopeless_is_stopped_early(search: Search) -> None:
    found = search(Made()).landscape
    first = Rule(len(SPEEDS) - 1).looks.pairs[0]
    stopped = {one.name: len(paired_logs(one.measured)) for one in found.candidates if one.stopped and one.measured}
    assert stopped.items() >= {("mine+1-b", first), ("mine+4-b", first)}
    assert "mine+2-a" not in stopped
    slow = next(one for one in found.candidates if one.name == "mine+1-b")
    assert slow.measured is not None
    assert any("stopped early" in flag for flag in slow.measured.flags)
    assert slow.over_default is not None
    assert slow.over_default.median == pytest.approx(3.0, rel=0.05)


def test_a_wrong_one_never_wins_however_fast_it_is(search: Search) -> None:
    made = Made({**SPEEDS, "4-a": 0.01}, wrong=("mine+4-a",))
    searched = search(made)
    assert searched.landscape.winner is not None
    assert searched.landscape.winner.name == "mine+2-a"
    assert made.hired.count("mine+4-a") == 1, "it has no part in the rounds of fresh processes"
    assert any("mine+4-a: wrong_values: out is off" in line for line in searched.told)


def test_where_nothing_is_faster_there_is_no_winner(search: Search) -> None:
    found = search(Made({name: max(speed, 1.0) for name, speed in SPEEDS.items()})).landscape
    assert found.winner is None
    assert found.finalists, "those as fast are compared all the same"


def test_without_rounds_there_is_no_winner(search: Search) -> None:
    found = search(Made(), turns=0).landscape
    assert found.winner is None
    assert found.ranked[0].name == "mine+2-a"


def test_who_dies_in_a_heat_costs_the_others_nothing(search: Search) -> None:
    found = search(Made(dying="mine+2-a")).landscape
    dead = next(one for one in found.candidates if one.name == "mine+2-a")
    assert dead.faulty
    assert sum(one.ratio is not None for one in found.candidates) == len(SPEEDS) - 1


def test_what_is_built_in_must_pass(search: Search) -> None:
    with pytest.raises(ReferenceLost, match=r"mine\+1-a on N8: wrong_values: out is off"):
        search(Made(wrong=(DEFAULT,)))


@pytest.mark.parametrize("bursts", [3, 30, 80, 120])
def test_an_interrupted_search_goes_on_and_loses_nothing(search: Search, bursts: int) -> None:
    tuning = tuning_of(case_of())
    so_far = Searched(tuning)
    with pytest.raises(KeyboardInterrupt):
        search(Made(interrupted_at=bursts), so_far=so_far)
    before = {m.key: m for m in so_far.measurements}
    unfinished = so_far.landscape.unfinished
    made = Made()
    found = search(made, so_far=so_far).landscape
    assert found.winner is not None
    assert found.winner.name == "mine+2-a"
    again = [name for name in set(made.hired) if ("toy", name, "N8") in before and not before["toy", name, "N8"].turns]
    assert set(again) <= {DEFAULT, *(one.name for one in found.finalists)}, "what was measured is not raced again"
    assert unfinished > 0 or bursts == 120
    finished = Made()
    search(finished, so_far=so_far)
    assert finished.hired == [], "a search at its end measures nothing"


def test_a_report_has_the_landscape(search: Search) -> None:
    (study,) = found_by_search(search(Made(wrong=("mine+4-a",))).stored, "toy")
    assert plain(study.sentences[0]).startswith("Fastest is tile=2, way=a: 0.7")
    (panel,) = study.plots[0].panels
    assert (panel.rows, panel.columns) == (("a", "b"), ("1", "2", "4"))
    cells = {(int(p.x), int(p.y)): p.label for p in panel.curves[0].points}
    assert set(cells) == {(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)}, "a wrong one has no cell"
    assert cells[1, 0].endswith("★")
    states = {row[0]: row[-1] for row in study.tables[0].rows}
    assert states["tile=2, way=a"] == "winner"
    assert states["tile=4, way=a"] == "wrong_values"
    assert states["tile=1, way=b"] == "stopped early"


def test_a_report_of_another_run_has_none(search: Search) -> None:
    stored = search(Made(), turns=0).stored
    assert found_by_search(StoredRun(stored.path, replace(stored.run, extra={}), stored.measurements), "toy") == ()


def test_what_is_kept_is_what_launchers_read(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = search(Made())
    here = replace(made_up_run().environment, device=describe_device("cpu"), threads=torch.get_num_threads())
    run = replace(searched.stored.run, environment=here)
    path, told = keep([searched.landscape], run, tmp_path)
    assert told == ["toy/mine N8: mine+2-a"]
    assert keep([searched.landscape], run, tmp_path) == (path, told), "it takes the place of what was kept before"
    (entry,) = json.loads(path.read_text())["entries"]
    assert entry["time_over_built_in"]["high"] < 1
    assert entry["built_in"] == {"tile": 1, "way": "a"}
    assert entry["versions"]["torch"] == "2.13.0"
    assert {"fingerprint", "date", "method", "run", "case"} <= entry.keys()
    monkeypatch.setenv("ATTNLAB_CONFIGS", str(tmp_path))
    reader._entries.cache_clear()
    reader._nearest.cache_clear()
    found = reader.stored("toy/mine", torch.device("cpu"), {"kind": "toy"}, {"n": 9})
    assert found is not None
    assert found.values == {"tile": 2, "way": "a"}
    assert found.found_for == "kind=toy, n=8"


def test_without_a_winner_nothing_is_kept(search: Search, tmp_path: Path) -> None:
    searched = search(Made(), turns=0)
    path, told = keep([searched.landscape], searched.stored.run, tmp_path)
    assert (told, path.exists()) == ([], False)


@pytest.fixture
def here(search: Search) -> tuple[Searched, RunRecord]:
    """A search with a winner, and its run as one of this machine."""
    searched = search(Made())
    environment = replace(made_up_run().environment, device=describe_device("cpu"), threads=torch.get_num_threads())
    return searched, replace(searched.stored.run, environment=environment)


def test_a_read_only_file_is_not_overwritten(here: tuple[Searched, RunRecord], tmp_path: Path) -> None:
    searched, run = here
    path, _ = keep([searched.landscape], run, tmp_path)
    before = path.read_bytes()
    path.chmod(0o444)
    with pytest.raises(StoreError, match=r"is read-only; make it writable \(chmod u\+w\), or keep elsewhere"):
        keep([searched.landscape], run, tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_keep_at_once_lose_nothing(here: tuple[Searched, RunRecord], tmp_path: Path) -> None:
    searched, run = here
    shapes = [{"kind": f"toy{number}"} for number in range(8)]

    def one(exact: dict[str, str]) -> None:
        landscape = searched.landscape
        keep([replace(landscape, case=replace(landscape.case, exact=exact))], run, tmp_path)

    with ThreadPoolExecutor(len(shapes)) as threads:
        list(threads.map(one, shapes))
    (path,) = tmp_path.iterdir()
    kept = [entry["exact"] for entry in json.loads(path.read_text())["entries"]]
    assert sorted(kept, key=str) == shapes


def test_a_full_disk_leaves_what_was_kept_before(here: tuple[Searched, RunRecord], tmp_path: Path) -> None:
    searched, run = here
    path, _ = keep([searched.landscape], run, tmp_path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot write to .*: File too large; make room or take another place"):
            keep([searched.landscape], run, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])
