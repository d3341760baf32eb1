"""When requests arrive, and what a trace of arrivals may not say."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest

from attnlab.bench.errors import ImpossibleCase, TraceError
from attnlab.bench.llm.generation.arrivals import Arrivals, escaped, unescaped


def test_each_kind() -> None:
    assert Arrivals.read("together").times_s(3, seed=0) == (0.0, 0.0, 0.0)
    assert Arrivals.read("rate:4").times_s(3, seed=0) == (0.0, 0.25, 0.5)


def test_poisson_has_the_rate_and_the_seed_decides() -> None:
    poisson = Arrivals.read("poisson:0.5")
    times = poisson.times_s(4001, seed=1)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(2.0, rel=0.06)
    assert statistics.stdev(gaps) == pytest.approx(2.0, rel=0.1)
    assert poisson.times_s(5, seed=1) == times[:5]
    assert poisson.times_s(5, seed=2) != times[:5]


def test_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "a-trace.v1.txt"
    path.write_text("# seconds\n0\n0.5  # a pause\n\n0.5\n3e1\n")
    assert Arrivals.read(f"trace@{path}").times_s(4, seed=0) == (0.0, 0.5, 0.5, 30.0)


@pytest.mark.parametrize("text", ["together", "rate:2", "rate:0_5", "poisson:12", "trace@/tmp/a-b.c%d ü"])
def test_a_spelling_is_read_back(text: str) -> None:
    arrivals = Arrivals.read(text)
    assert Arrivals.read(arrivals.write()) == arrivals
    assert "-" not in arrivals.write()
    assert "." not in arrivals.write()


def test_paths_survive_an_id() -> None:
    assert unescaped(escaped("/models/my-model.v1.gguf")) == "/models/my-model.v1.gguf"


@pytest.mark.parametrize("text", ["", "rate", "rate:0", "rate:-1", "rate:x", "poisson:1e9", "trace@", "later"])
def test_no_arrivals(text: str) -> None:
    with pytest.raises(ImpossibleCase, match="expected together, rate:R or poisson:R"):
        Arrivals.read(text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("0\n2\n1\n", "t.txt:3: got 1 after 2; expected rising times"),
        ("-1\n", "t.txt:1: got -1; expected a finite time of 0 s or more"),
        ("0\nnan\n", "t.txt:2: got nan"),
        ("0\nsoon\n", "t.txt:2: got 'soon'; expected a time in seconds"),
        ("# nothing\n", "t.txt: got no times"),
        ("0\n", "got 1 times for 2 requests"),
    ],
    ids=["falling", "negative", "nan", "no number", "empty", "short"],
)
def test_a_bad_trace_is_told_by_its_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text(content)
    with pytest.raises(TraceError, match=r"t\.txt") as raised:
        Arrivals.read(f"trace@{path}").times_s(2, seed=0)
    assert said in str(raised.value)


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        Arrivals.read(f"trace@{tmp_path / 'none'}").times_s(1, seed=0)


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
def test_a_trace_without_an_end_is_not_begun(path: str) -> None:
    with pytest.raises(TraceError, match="no regular file"):
        Arrivals.read(f"trace@{path}").times_s(1, seed=0)
