"""The process of a doctor's live pair: times matrix products when told to, a line of standard input a burst.

    python -P bench/doctor/product.py cpu|cuda

Runs by its file, so that on a CPU nothing but NumPy is imported: it starts in a quarter of a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

SIZE = 384
WARM_CALLS = 20


def product(kind: str) -> Callable[[], None]:
    """A call that multiplies two matrices and waits for it."""
    if kind == "cpu":
        import numpy as np

        a = np.random.default_rng(0).standard_normal((SIZE, SIZE), dtype=np.float32)
        out = np.empty_like(a)

        def on_cpu() -> None:
            np.matmul(a, a, out=out)

        return on_cpu
    import torch

    b = torch.randn(8 * SIZE, 8 * SIZE, device="cuda", dtype=torch.bfloat16)

    def on_gpu() -> None:
        torch.matmul(b, b)
        torch.cuda.synchronize()

    return on_gpu


def main() -> None:
    call = product(sys.argv[1])
    for _ in range(WARM_CALLS):
        call()
    print("ready", flush=True)
    for line in sys.stdin:
        samples: list[int] = []
        end = time.perf_counter_ns() + int(line)
        while not samples or time.perf_counter_ns() < end:
            start = time.perf_counter_ns()
            call()
            samples.append(time.perf_counter_ns() - start)
        print(sorted(samples)[len(samples) // 2], flush=True)


if __name__ == "__main__":
    main()
