"""Shards make up one run where each is there once, finished, and of one kind of machine; else it is told why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.errors import StoreError
from attnlab.bench.store.likeness import differences, kind_of
from attnlab.bench.store.machine import Code, Device, Machine
from attnlab.bench.store.merging import merge
from attnlab.bench.store.records import Measurement, RunRecord
from attnlab.bench.store.run_folder import RunWriter, StoredRun, read_run
from attnlab.bench.store.shards import Shard, with_shard

FIXTURE = Path(__file__).parent / "fixtures" / "schema-7"
CASES = ("Hq2-Sq64-bf16", "Hq2-Sq65-bf16", "Hq2-Sq66-bf16")
Change = Callable[[RunRecord], RunRecord]
Make = Callable[..., StoredRun]


def same(run: RunRecord) -> RunRecord:
    return run


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Shard `number` of three, each of one case, with what `change` makes of its record; without `without` rows."""
    known = read_run(FIXTURE)
    (bench,) = known.run.benches
    benches = (replace(bench, cases=CASES),)
    (machine,) = known.run.machines.values()

    def make(number: int, change: Change = same, without: int = 0, **mark: Any) -> StoredRun:
        own = replace(machine, host=f"host{number}")
        shard = Shard("p" * 16, number, 3, benches, "c" * 16, True)
        run = replace(
            known.run,
            run_id=f"shard{number}",
            benches=(replace(bench, cases=CASES[number - 1 : number]),),
            machines={own.key: own},
            command=f"attnlab run s.toml --shard {number}/3 --quick",
            started=f"2026-01-01T0{number}:00:00+00:00",
        )
        writer = RunWriter.create(tmp_path / "runs", change(with_shard(run, replace(shard, **mark))))
        for m in known.measurements[: len(known.measurements) - without]:
            writer.append(replace(m, case_id=CASES[number - 1], machine=own.key))
        writer.close()
        return read_run(writer.folder)

    return make


def test_all_shards_make_up_the_run_of_one_machine(make: Make, tmp_path: Path) -> None:
    def faster(run: RunRecord) -> RunRecord:
        return replace(run, ceilings=replace(run.ceilings, bandwidth=9e9, rates={"float32": 1.0}))

    shards = [make(3), make(1), make(2, faster)]
    folder, number = merge(shards, tmp_path / "out")
    merged = read_run(folder)
    assert number == 3 * len(shards[0].measurements)
    assert [m.key for m in merged.measurements] == [
        ("attention", made, case) for case in CASES for made in merged.run.benches[0].implementations
    ]
    assert merged.run.benches[0].cases == CASES
    assert merged.run.command == "attnlab run s.toml --quick"
    assert merged.run.started == "2026-01-01T01:00:00+00:00"
    assert merged.run.ceilings.bandwidth == 9e9, "nothing is faster than the fastest was seen to be"
    assert merged.run.ceilings.rates["float32"] == shards[0].run.ceilings.rates["float32"]
    assert {merged.run.machines[m.machine or ""].host for m in merged.measurements} == {"host1", "host2", "host3"}
    assert merged.run.extra == {"merged": ["shard1", "shard2", "shard3"]}


def other_environment(**fields: Any) -> Change:
    def change(run: RunRecord) -> RunRecord:
        machines = {
            key: replace(machine, environment=replace(machine.environment, **fields))
            for key, machine in run.machines.items()
        }
        return replace(run, machines=machines)

    return change


def gpu(power_w: float, driver: str = "580.1") -> Change:
    def change(run: RunRecord) -> RunRecord:
        ((key, machine),) = run.machines.items()
        device = Device("cuda", "NVIDIA H200", (9, 0), 132, 1 << 37, driver=driver)
        environment = replace(machine.environment, device=device)
        return replace(run, machines={key: replace(machine, environment=environment, power_limit_w=power_w)})

    return change


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ([(1,), (2,)], "shard 3 of 3 is missing"),
        ([(2,)], "shards 1 and 3 of 3 are missing"),
        (
            [(1,), (2,), (3,), (2,)],
            "shard 2/3 is there 2 times: {runs}/shard2 and {runs}/shard2-2; leave all but one out",
        ),
        (
            [(1,), (2, same, 2), (3,)],
            "shard 2/3 is not finished: 2 measurements missing; go on with: attnlab run s.toml --shard 2/3 --quick "
            "--resume {runs}/shard2",
        ),
        ([(1,), (2,), (3, same, 0, {"finished": False})], "shard 3/3 is not finished; go on with: attnlab run"),
        ([(1,), (2,), (3, same, 0, {"plan": "q" * 16})], "they are of 2 plans, which differ in suite, cases, settings"),
        ([(1,), (2,), (3, same, 0, {"code": "d" * 16})], f"code of attnlab: {'c' * 16} in shard 1/3, {'d' * 16} in"),
        ([(1,), (2, other_environment(packages={"torch": "2.12"})), (3,)], "torch 2.13.0+cpu and 2.12, on host1/r1"),
        ([(1,), (2, other_environment(threads=9)), (3,)], "threads 1 and 9, on host1/r1 (shard 1/3) and host2/r1"),
        ([(1,), (2, other_environment(variables={})), (3,)], "OMP_NUM_THREADS 1 and None"),
        ([(1, gpu(700)), (2, gpu(500)), (3, gpu(700))], "power limit 700 W and 500 W, on host1/r1"),
        ([(1, gpu(700)), (2, gpu(700)), (3, gpu(700, "570.2"))], "driver 580.1 and 570.2"),
        ([(1, gpu(700)), (2,), (3, gpu(700))], "kind of device cuda and cpu"),
        ([(1,), (2,), (3, lambda run: replace(run, seed=1))], "seed: 0 in shard 1/3, 1 in shard 3/3"),
        (
            [(1,), (2,), (3, lambda run: replace(run, code=(Code("wrong", "/x.py", "1" * 16),)))],
            "code of plugin wrong: 0123456789abcdef in shard 1/3, 1111111111111111 in shard 3/3",
        ),
        ([(1,), (2,), (3, lambda run: replace(run, extra={}))], "shard3: no shard, and the others are; leave it out"),
        ([(1,), (2, same, 0, {"of": 10**9}), (3,)], "got shard 2/1000000000, expected one of up to 100,000"),
        ([(1,), (2,), (3, same, 0, {"of": 2})], "got shard 3/2, expected one of up to 100,000"),
        ([(1, same, 0, {"benches": ()}), (2,), (3,)], f" {CASES[0]} is in a shard, and not in the plan"),
        ([(1,), (2,), (3, lambda run: replace(run, machines={}))], "is of machine host3/r1, of which the run says"),
        (
            [(1,), (2,), (3, lambda run: replace(run, machines=run.machines | {"x": run.machines["host3/r1"]}))],
            "has a machine x that is host3/r1",
        ),
        ([(1,), (2,), (3, lambda run: replace(run, effort={**run.effort, "target": 0.5}))], "effort, target: "),
        (
            [(1,), (2,), (3, lambda run: replace(run, extra={"shard": {"plan": 3}}))],
            "shard3 says nothing readable of its plan",
        ),
    ],
)
def test_what_does_not_fit_is_told(make: Make, tmp_path: Path, made: list[tuple[Any, ...]], told: str) -> None:
    shards = [make(*args[:3], **(args[3] if len(args) > 3 else {})) for args in made]
    with pytest.raises(StoreError) as error:
        merge(shards, tmp_path / "out")
    assert told.format(runs=tmp_path / "runs") in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_shard_with_a_row_of_another_is_told(make: Make, tmp_path: Path) -> None:
    shards = [make(1), make(2), make(3)]
    stranger: Measurement = replace(shards[0].measurements[0], case_id="Hq2-Sq64-bf16")
    shards[2] = replace(shards[2], measurements=(*shards[2].measurements, stranger))
    with pytest.raises(StoreError, match="holds attention naive Hq2-Sq64-bf16, which is not of it"):
        merge(shards, tmp_path / "out")


def test_hosts_of_one_kind_may_differ_in_what_is_no_device(make: Make) -> None:
    (machine,) = make(1).run.machines.values()
    environment = machine.environment
    other = replace(
        machine,
        host="other",
        node="r9",
        gpu="GPU-9",
        environment=replace(
            environment,
            device=replace(environment.device, memory_bytes=1),
            affinity=(4, 5),
            system="Linux-7",
            load_average=9.0,
            variables=environment.variables | {"CUDA_VISIBLE_DEVICES": "3"},
        ),
    )
    assert differences(machine, other) == []
    assert other.key == "other/r9/GPU-9"


def test_a_kind_of_device_has_its_power_limit_in_its_name(make: Make) -> None:
    def named(change: Change) -> str:
        (machine,) = make(1, change).run.machines.values()
        return kind_of(machine)

    assert named(gpu(700)) == "NVIDIA H200 at 700 W"
    assert named(same) == "A processor of two cores, 1 threads"
    unknown: Machine = next(iter(make(2, gpu(0)).run.machines.values()))
    assert kind_of(replace(unknown, power_limit_w=None)) == "NVIDIA H200"
