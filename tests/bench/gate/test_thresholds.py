"""Targets by benchmark, and what is wrong in a file of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.gate.thresholds import Target, Thresholds, load_thresholds

GOOD = """
target = 0.05
alpha = 0.02
pairs = 12
unseen = 3
most_pairs = 20

[[threshold]]
match = "attention/naive*"
target = 0.10

[[threshold]]
match = "*[Hq8-fp32]"
target = 0.20
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gate.toml"
    path.write_text(text)
    return path


def test_a_file_of_thresholds(tmp_path: Path) -> None:
    read = load_thresholds(written(tmp_path, GOOD))
    assert read.target_of("attention/flex[Hq8-bf16]").share == 0.05
    assert read.target_of("attention/naive[Hq8-bf16]").share == 0.10
    assert read.target_of("attention/naive[Hq8-fp32]").share == 0.20, "the last that fits counts"
    assert read.target_of("attention/naive8[Hq8-fp32]").share == 0.20
    assert (read.rule.alpha, read.rule.looks.pairs) == (0.02, (8, 10, 12))
    assert (read.rule.unseen, read.rule.looks_beyond) == (3.0, (18, 20))
    assert read.unused(["attention/flex[Hq8-bf16]"]) == ["attention/naive*", "*[Hq8-fp32]"]
    assert read.unused(["attention/naive[Hq8-fp32]"]) == []


def test_no_file_is_the_defaults() -> None:
    assert load_thresholds(None) == Thresholds()
    assert Thresholds().target_of("anything") == Target(0.03)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target = -0.03", r"gate.toml:1: got target = -0.03; expected a share above 0 and below 1"),
        ("target = 0", "got target = 0"),
        ("target = 3", r"such as 0.03 for 3 %"),
        ('target = "much"', "got target = 'much'"),
        ("target = true", "got target = True"),
        ("target = nan", "got target = nan"),
        ("\nalpha = inf", "gate.toml:2: got alpha = inf"),
        ("pairs = 5", "got pairs = 5; expected a whole number from 6"),
        ("pairs = 8.5", "got pairs = 8.5"),
        ("unseen = 0.5", "got unseen = 0.5; expected a number of targets from 1"),
        ("unseen = inf", "got unseen = inf"),
        ("pairs = 12\nmost_pairs = 11", "gate.toml:2: got most_pairs = 11; expected a whole number from"),
        ("most_pairs = true", "got most_pairs = True"),
        ("targets = 0.1", "gate.toml:1: unknown key of thresholds 'targets'; did you mean 'target'"),
        ("threshold = 3", r"expected \[\[threshold\]\] tables"),
        ("[[threshold]]\ntarget = 0.1", "got match = None"),
        ('[[threshold]]\nmatch = "a*"', "gate.toml:2: the threshold for 'a\\*' lacks its target"),
        ('[[threshold]]\nmatch = "a*"\ntarget = -1', "got target = -1"),
        ('[[threshold]]\nmatch = "a*"\ntarget = 0.1\nalpha = 1', "gate.toml:4: unknown key of thresholds 'alpha'"),
        (
            '[[threshold]]\nmatch = "a*"\ntarget = 0.1\n[[threshold]]\nmatch = "b*"\ntarget = 7',
            "gate.toml:6: got target = 7",
        ),
        ('target = 0.03\n[[threshold]]\nquantity = "set"\ntarget = 0.1', "gate.toml:3: unknown quantity 'set'"),
        ("target = ", "gate.toml:1: not TOML"),
    ],
)
def test_what_is_wrong_in_a_file(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        load_thresholds(written(tmp_path, text))


def test_a_file_that_is_no_text_is_told_and_a_mark_of_utf_8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_bytes(b"\xef\xbb\xbftarget = 0.04")
    assert load_thresholds(path).target == 0.04
    path.write_bytes(b"target = 0.04 # \xff")
    with pytest.raises(UsageError, match=r"gate\.toml:1: not TOML: it is no UTF-8 text"):
        load_thresholds(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_thresholds(tmp_path / "none.toml")


@pytest.mark.parametrize("key", ["allow_removed", "allow_new_baseline"])
@pytest.mark.parametrize("pattern", ["*", "*/*", "?*", "**[*]"])
def test_a_file_lets_nothing_through_that_it_does_not_name(key: str, pattern: str, tmp_path: Path) -> None:
    """It is read as head has it, so that a change could let all of its own losses through."""
    with pytest.raises(UsageError, match=f"{key} has .*names nothing"):
        load_thresholds(written(tmp_path, f'{key} = ["toy/mine*", "{pattern}"]'))
    load_thresholds(written(tmp_path, f'{key} = ["toy/mine*", "*[N8]"]'))
    load_thresholds(written(tmp_path, f'{key} = ["*"]'), allowing=False)  # base's do not count
