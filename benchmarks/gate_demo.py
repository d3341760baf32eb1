"""The gate end to end, by its command line, in a repository of its own.

    python benchmarks/gate_demo.py [kernel]

A commit slows one of three kernels by a tenth: the gate must end with exit code 1 and name it. The next commit
mends it: the gate must pass. A third commit changes nothing that is measured: it must pass too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gate_repository import KERNELS, PLUGIN, SUITE_FILE, commit, git, make_repository, slowed, write

STEPS = (("slows", 1), ("mends", 0), ("changes nothing of", 0))


def main() -> None:
    kernel = sys.argv[1] if len(sys.argv) > 1 else "medium"
    with tempfile.TemporaryDirectory(prefix="attnlab-demo-") as folder:
        root = make_repository(Path(folder) / "repository")
        for (what, wanted), text in zip(STEPS, (slowed(kernel), KERNELS, KERNELS + "\n"), strict=True):
            write(root, text)
            commit(root, f"A commit that {what} {kernel}")
            state = git(root, "worktree", "list"), git(root, "status", "--porcelain")
            base = "HEAD~2" if what == "mends" else "HEAD~1"  # mended: as fast as before both
            command = ["attnlab", "gate", "--base", base, "--suite", SUITE_FILE, "--plugin", PLUGIN, "--out", ".."]
            started = time.monotonic()
            done = subprocess.run(command, cwd=root, capture_output=True, text=True)
            seconds = time.monotonic() - started
            print(f"== a commit that {what} {kernel}: exit code {done.returncode} in {seconds:.0f} s")
            print(done.stdout)
            assert done.returncode == wanted, done.stderr
            assert (f"attention/{kernel}[" in done.stdout.splitlines()[-3]) == (wanted == 1)
            assert (git(root, "worktree", "list"), git(root, "status", "--porcelain")) == state


if __name__ == "__main__":
    main()
