"""The simulated stream: nothing is lost or counted twice, and what layouts waste is in the order that it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.caches import layout_of
from attnlab.bench.llm.caches.capacity import Memory, Occupancy, Traffic, simulate

MEMORY = Memory(4 << 30, layers=32, kv_heads=8, head_dim=128, bits_a_value=16.0)


def run(layout: str, traffic: Traffic | None = None, memory: Memory = MEMORY, requests: int = 300) -> Occupancy:
    return simulate(layout_of(layout), memory, traffic or Traffic(), requests)


def test_a_token_of_llama_takes_128_kib() -> None:
    assert MEMORY.token_bytes == 128 * 1024
    assert MEMORY.tokens == 32768


def test_one_block_a_sequence_holds_as_many_as_the_longest_would() -> None:
    found = run("contiguous_bhsd")
    assert found.sequences == pytest.approx(4, abs=0.01)
    assert found.reserved == pytest.approx(1.0, abs=0.01)
    assert found.restarted == 0


def test_pages_waste_less_the_smaller_they_are() -> None:
    wasted = [run(f"paged:{size}", Traffic(shared_share=0)).wasted for size in (1, 16, 64, 256)]
    assert wasted == sorted(wasted)
    assert wasted[0] == 0
    assert wasted[1] < 0.02
    assert wasted[3] < run("contiguous_bhsd", Traffic(shared_share=0)).wasted


def test_a_page_wastes_half_a_page_a_sequence() -> None:
    traffic = Traffic(shared_share=0, prompt_median=2000, prompt_sigma=0.5)
    found = run("paged:256", traffic)
    unused = (found.reserved - found.used) * MEMORY.tokens / found.sequences
    assert 128 * 0.75 <= unused <= 128 * 1.25


def test_a_shared_prompt_lets_more_sequences_run_and_only_with_pages() -> None:
    none, some = Traffic(shared_share=0, shared_tokens=512), Traffic(shared_share=1.0, shared_tokens=512)
    longer = replace(some, shared_share=1.0)
    assert run("paged:16", longer).sequences > 0.85 * run("paged:16", none).sequences
    assert run("contiguous_bhsd", some).sequences == run("contiguous_bhsd", none).sequences


def test_half_the_bits_hold_twice_the_sequences() -> None:
    ratio = run("paged:16", memory=replace(MEMORY, bits_a_value=8.0)).sequences / run("paged:16").sequences
    assert 1.8 <= ratio <= 2.2


def test_a_ring_holds_its_size_and_no_more() -> None:
    found = run("ring:1024")
    assert found.sequences == pytest.approx(32, abs=1)
    assert found.used <= found.reserved


def test_the_same_seed_gives_the_same_stream() -> None:
    assert run("paged:16") == run("paged:16")
    assert run("paged:16") != run("paged:16", Traffic(seed=1))


def test_memory_that_holds_no_request_is_refused() -> None:
    with pytest.raises(UsageError, match="expected room for a request of 8192"):
        run("paged:16", memory=replace(MEMORY, total_bytes=1 << 20))
