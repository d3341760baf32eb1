"""A repository with three kernels, of about 0.1, 3 and 30 ms on two cores, for the gate's benchmarks."""

from __future__ import annotations

import subprocess
from pathlib import Path

KERNELS = '''"""Three attention kernels."""

import torch.nn.functional as F

from attnlab.bench import implements


def attend(q, k, v, scale):
    return F.scaled_dot_product_attention(q, k, v, scale=scale)


@implements("attention", name="small")
def small(inputs):
    """About 0.1 ms."""
    return attend(inputs.q, inputs.k, inputs.v, inputs.scale)


@implements("attention", name="medium")
def medium(inputs):
    """About 3 ms."""
    return attend(inputs.q, inputs.k, inputs.v, inputs.scale)


@implements("attention", name="large")
def large(inputs):
    """About 30 ms."""
    return attend(inputs.q, inputs.k, inputs.v, inputs.scale)
'''

# The same results, with a tenth of the queries attended to once more.
SLOWED = """    rows = inputs.q.shape[2] // 10
    attend(inputs.q[:, :, :rows], inputs.k, inputs.v, inputs.scale)
"""

SUITE = """
[[bench]]
operator = "attention"
implementations = ["small"]
cases = ["Hq2-Sq128-fp32"]

[[bench]]
operator = "attention"
implementations = ["medium"]
cases = ["Hq8-Sq448-fp32"]

[[bench]]
operator = "attention"
implementations = ["large"]
cases = ["Hq8-Sq1408-fp32"]
"""

PLUGIN, SUITE_FILE = "kernels.py", "kernels.toml"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_repository(root: Path) -> Path:
    """A repository in `root` with one commit on the branch main."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "config", "user.email", "somebody@example.org")
    git(root, "config", "user.name", "Somebody")
    write(root, KERNELS)
    (root / SUITE_FILE).write_text(SUITE)
    commit(root, "Three kernels")
    return root.resolve()


def write(root: Path, kernels: str) -> None:
    (root / PLUGIN).write_text(kernels)


def slowed(name: str) -> str:
    """The kernels with one of them slowed by about a tenth."""
    head, found, tail = KERNELS.partition(f"def {name}(inputs):")
    before, returns, after = tail.partition("    return attend")
    assert found
    assert returns
    return head + found + before + SLOWED + returns + after


def commit(root: Path, message: str) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")
