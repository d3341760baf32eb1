"""`attnlab run --shard` on several machines, whose workers measure nothing: all is there once, whoever goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from attnlab.bench.measuring import runner
from attnlab.bench.measuring.worker import WorkerOrder
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.store.run_folder import StoredRun, latest, read_run
from attnlab.bench.store.shards import shard_of

CASES = tuple(f"N{n}" for n in range(1, 8))


@dataclass
class Workers:
    """Workers that pass each case at once; the user interrupts them before `interrupted` is measured."""

    interrupted: str | None = None
    measured: list[str] = field(default_factory=list)

    def make(self, order: WorkerOrder, *_: object) -> Workers.Worker:
        return Workers.Worker(self, order.implementation)

    @dataclass
    class Worker:
        all: Workers
        name: str = ""
        device: str = "cpu"

        def run(self, case_id: str, blank: Measurement, on_phase: object) -> Measurement:
            name = f"{self.name} {case_id}"
            if name == self.all.interrupted:
                raise KeyboardInterrupt
            self.all.measured.append(name)
            return replace(blank, outcome=Outcome.PASSED, untimed="made up")

        def start(self) -> None: ...

        def wait(self) -> None: ...

        def close(self) -> None: ...


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    made = Workers()
    monkeypatch.setattr(runner, "Worker", made.make)
    monkeypatch.setattr(runner, "Judge", lambda order: Workers.Worker(made))
    return made


Run = Callable[..., StoredRun]


@pytest.fixture
def run(cli, workers: Workers, helpers: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*more: str | Path, host: str = "a", code: int = 0, into: Path | None = None) -> StoredRun:
        monkeypatch.setattr("attnlab.bench.machine.identity.platform.node", lambda: host)
        before = {*Path("results").glob("*")}
        sizes = ",".join(case[1:] for case in CASES)
        ended = cli("run", "toy", "--plugin", helpers / "toy_operator.py", "-a", f"n={sizes}", "--turns", "0", *more)
        assert ended.code == code, ended.err
        run.err = ended.err  # type: ignore[attr-defined]
        (made,) = {*Path("results").glob("*")} - before or {into or Path(more[-1])}
        return read_run(made)

    return run


def test_shards_on_unlike_hosts_become_the_run_of_one_machine(cli, run: Run, workers: Workers) -> None:
    whole = run()
    workers.measured.clear()
    shards = [run("--shard", f"{n}/3", host=f"host{n}") for n in (1, 2, 3)]
    assert Counter(workers.measured) == {f"{name} {case}": 1 for name in ("plus", "times") for case in CASES}
    assert {len(shard.measurements) for shard in shards} == {4, 6}, "as even as may be"
    for number, shard in enumerate(shards, start=1):
        mark = shard_of(shard.run)
        assert mark is not None
        assert (mark.number, mark.of, mark.finished, mark.benches) == (number, 3, True, whole.run.benches)
        assert {m.machine for m in shard.measurements} == {*shard.run.machines} == {f"host{number}"}
    assert f"shard 3/3 of plan {mark.plan}: 2 of 7 cases" in run.err  # type: ignore[attr-defined]
    ended = cli("results", "merge", *(shard.path for shard in reversed(shards)), "--out", "merged")
    assert ended.code == 0, ended.err
    merged = read_run(next(Path("merged").iterdir()))
    assert [m.key for m in merged.measurements] == [m.key for m in whole.measurements]
    assert merged.run.benches == whole.run.benches
    assert merged.run.command == whole.run.command
    assert merged.run.seed == whole.run.seed
    assert {m.fingerprint for m in merged.measurements} == {m.fingerprint for m in whole.measurements}
    assert shard_of(merged.run) is None
    by_host = {shard.run.run_id: {*shard.run.machines} for shard in shards}
    assert {*merged.run.machines} == {"host1", "host2", "host3"} == set().union(*by_host.values())
    of_case: dict[str, set[str | None]] = {}
    for m in merged.measurements:
        of_case.setdefault(m.case_id, set()).add(m.machine)
    assert {len(machines) for machines in of_case.values()} == {1}, "no pair spans two machines"
    assert cli("results", "show", merged.path).code == 0


def test_a_shard_goes_on_where_it_was_interrupted(run: Run, workers: Workers) -> None:
    workers.interrupted = "times N3"
    began = run("--shard", "1/2", code=130)
    assert f"--shard 1/2 --resume {began.path}" in run.err  # type: ignore[attr-defined]
    assert [m.key[1:] for m in began.measurements] == [("plus", "N1"), ("times", "N1"), ("plus", "N3")]
    mark = shard_of(began.run)
    assert mark is not None
    assert not mark.finished
    workers.interrupted = None
    workers.measured.clear()
    done = run("--shard", "1/2", "--resume", began.path)
    assert workers.measured == ["times N3", "plus N5", "times N5", "plus N7", "times N7"]
    assert Counter(m.key for m in done.measurements) == {m.key: 1 for m in done.measurements}
    assert (shard_of(done.run) or mark).finished


def test_a_shards_own_folder_is_found(cli, run: Run, workers: Workers) -> None:
    first = run("--shard", "1/2", "--resume")
    assert first.run.command.endswith("--turns 0 --shard 1/2"), "as it is repeated"
    workers.interrupted = "times N4"
    began = run("--shard", "2/2", "--resume", code=130)
    workers.interrupted = None
    workers.measured.clear()
    (Path("results") / "broken").mkdir()
    (Path("results") / "broken" / "run.json").write_text("{")
    done = run("--shard", "2/2", "--resume", into=began.path)
    assert workers.measured == ["times N4", "plus N6", "times N6"]
    assert cli("results", "merge", first.path, done.path).code == 0


def test_what_another_machine_began_is_measured_from_its_beginning(run: Run, workers: Workers) -> None:
    workers.interrupted = "times N3"
    began = run("--shard", "1/2", code=130)
    workers.interrupted = None
    workers.measured.clear()
    done = run("--shard", "1/2", "--resume", began.path, host="b")
    assert workers.measured[:2] == ["plus N3", "times N3"], "N1 is finished, N3 was begun on a"
    last = latest(done.measurements)
    assert {m.case_id: m.machine for m in last} == {"N1": "a", "N3": "b", "N5": "b", "N7": "b"}
    (again,) = (m for m in last if m.flags)
    assert again.key[1:] == ("plus", "N3")
    assert again.flags == ("measured again (before: on a, which did not finish its case)",)
    assert {*done.run.machines} == {"a", "b"}
    assert [m.key for m in last] == sorted((m.key for m in last), key=lambda key: (int(key[2][1:]), key[1]))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--shard", "2/2"), "with other cases or implementations"),
        ((), "with other cases or implementations"),
        (("--shard", "1/3"), "with other cases or implementations"),
    ],
)
def test_another_shard_is_not_gone_on_with(run: Run, more: tuple[str, ...], told: str) -> None:
    began = run("--shard", "1/2")
    run(*more, "--resume", began.path, code=2)
    assert told in run.err  # type: ignore[attr-defined]
    assert f"--shard 1/2 --resume {began.path}" in run.err  # type: ignore[attr-defined]


def test_a_plan_split_otherwise_or_other_code_is_not_gone_on_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    began = run("--shard", "1/1")
    run("--resume", began.path, code=2)
    assert "shard 1/1 of plan" in run.err  # type: ignore[attr-defined]
    assert ", not a whole run" in run.err  # type: ignore[attr-defined]
    monkeypatch.setattr("attnlab.bench.cli._sharding.own_hash", lambda: "0" * 16)
    run("--shard", "1/1", "--resume", began.path, code=2)
    assert "and that of now is 0000000000000000" in run.err  # type: ignore[attr-defined]


def test_more_shards_than_cases_leave_some_empty(cli, run: Run) -> None:
    shards = [run("--shard", f"{n}/9", host=f"h{n}") for n in range(1, 10)]
    assert sorted(len(shard.measurements) for shard in shards) == [0, 0, *[2] * 7]
    assert cli("results", "merge", "results").out.startswith("14 measurements in ")
    assert cli("results", "show", shards[-1].path).code == 0


@pytest.mark.parametrize("text", ["0/4", "5/4", "a/b"])
def test_a_share_that_is_none_is_told_at_once(cli, text: str) -> None:
    ended = cli("run", "quick", "--shard", text)
    assert ended.code == 2
    assert f"got --shard {text}".replace("got --shard a/b", "got --shard 'a/b'") in ended.err
    assert not Path("results").exists()
