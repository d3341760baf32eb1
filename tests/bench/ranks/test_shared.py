"""Memory that processes share: tensors stay what they are, and others see what is written."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.measuring.ranks.member import outcome_of
from attnlab.bench.measuring.ranks.part import take_in
from attnlab.bench.ops._shared.collectives import CollectiveShard
from attnlab.bench.ranks.moving import moved
from attnlab.bench.ranks.shared import SharedMemory, loads
from attnlab.bench.store.records import Outcome


@dataclass(frozen=True)
class Several:
    whole: Tensor
    row: Tensor
    empty: Tensor
    other: Tensor
    name: str = "x"


def test_what_one_writes_the_other_reads_and_views_stay_views() -> None:
    memory = SharedMemory()
    whole = torch.arange(12.0).reshape(3, 4)
    given = Several(whole, whole[1], torch.empty(0, 4), torch.ones(2, dtype=torch.bfloat16))
    memory.adopt([given.whole, given.row, given.empty])
    assert given.row.data_ptr() == given.whole[1].data_ptr()
    assert torch.equal(given.whole, torch.arange(12.0).reshape(3, 4))
    got = loads(memory.dumps(given))
    memory.close()
    given.row.fill_(7.0)
    assert got.whole[1].tolist() == got.row.tolist() == [7.0] * 4
    got.whole[2, 3] = 9.0
    assert given.whole[2, 3] == 9.0
    assert got.empty.shape == (0, 4)
    assert torch.equal(got.other, given.other)


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    memory = SharedMemory()
    held = [memory.empty((8,), torch.float32) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before + 5
    memory.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(tensor.tolist() == [0.0] * 8 for tensor in held)


def test_a_shard_that_is_a_copy_takes_in_what_is_new() -> None:
    x = torch.arange(4.0)
    copy, view = CollectiveShard(x[[3, 0]]), CollectiveShard(x[:2])
    assert moved(view, torch.device("cpu")) is view
    x.fill_(5.0)
    take_in(copy, CollectiveShard(x[[3, 0]]))
    take_in(view, CollectiveShard(x[:2]))
    assert copy.x.tolist() == view.x.tolist() == [5.0, 5.0]


def test_a_rank_without_memory_says_so_whatever_raised() -> None:
    refused = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12884901888 bytes")
    assert outcome_of(refused) is Outcome.OUT_OF_MEMORY
    assert outcome_of(RuntimeError("no such shape")) is Outcome.FAILED
