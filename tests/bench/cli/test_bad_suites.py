"""What is wrong in a suite's file is told by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

GOOD = """\
description = "fine"

[effort]
target = 0.5

[[bench]]
operator = "attention"
implementations = ["naive", "tiled"]
baseline = "naive"
[bench.axes]
q_len = [64, 128]

[[bench]]
operator = "attention"
cases = ["Hq8-Sq64-bf16"]
"""

# What is replaced in the good suite, by what; the line and the words of the error.
CHANGES = {
    "not TOML": ("q_len = [64, 128]", "q_len = [64, 128", 13, "not TOML"),
    "cut at its end": ('cases = ["Hq8-Sq64-bf16"]\n', 'cases = ["Hq8', 15, "not TOML"),
    "unknown top key": (
        "description",
        "describtion",
        1,
        "unknown key of a suite 'describtion'; did you mean 'description'?",
    ),
    "unknown table": ("[effort]", "[efort]", 3, "unknown key of a suite 'efort'; did you mean 'effort'?"),
    "unknown effort": ("target = 0.5", "targets = 0.5", 4, "unknown key of effort 'targets'; did you mean 'target'?"),
    "effort of zero": ("target = 0.5", "target = 0", 4, "got target = 0; expected a number above zero"),
    "endless effort": ("target = 0.5", "target = inf", 4, "got target = inf; expected a number above zero"),
    "undefined effort": ("target = 0.5", "target = nan", 4, "got target = nan; expected a number above zero"),
    "effort in words": ("target = 0.5", 'target = "high"', 4, "got target = 'high'; expected a number above zero"),
    "effort that is no table": ("[effort]\ntarget = 0.5", "effort = 3", 3, "got effort = 3; expected a table"),
    "unknown state of the cache": (
        "[effort]",
        'cache = "warm"\n[effort]',
        3,
        'got cache = \'warm\'; expected "cold" or "hot"',
    ),
    "cache that is no text": ("[effort]", "cache = true\n[effort]", 3, 'got cache = True; expected "cold" or "hot"'),
    "unknown bench key": ("baseline =", "basline =", 9, "unknown key of a bench 'basline'; did you mean 'baseline'?"),
    "rounds that are no number": (
        "baseline =",
        "rounds = true\nbaseline =",
        9,
        "got rounds = True; expected a whole number of rounds",
    ),
    "unknown operator": (
        '"attention"\nimpl',
        '"atention"\nimpl',
        7,
        "unknown operator 'atention'; did you mean 'attention'?",
    ),
    "operator that is no text": ('"attention"\nimpl', "5\nimpl", 7, "got operator = 5; expected an operator's name"),
    "no operator": ('operator = "attention"\nimpl', "impl", 6, "a [[bench]] lacks its operator"),
    "unknown implementation": (
        '"tiled"]',
        '"tilde"]',
        8,
        "unknown implementation of attention 'tilde'; did you mean 'tiled'?",
    ),
    "one text for a list": (
        '["naive", "tiled"]',
        '"naive"',
        8,
        "got implementations = 'naive'; expected a list of texts",
    ),
    "numbers for texts": ('["naive", "tiled"]', "[1, 2]", 8, "got implementations = [1, 2]; expected one text or more"),
    "no implementation": ('["naive", "tiled"]', "[]", 8, "got implementations = []; expected one text or more"),
    "unknown baseline": (
        'baseline = "naive"',
        'baseline = "nave"',
        9,
        "unknown implementation of attention 'nave'; did you mean 'naive'?",
    ),
    "baseline not measured": (
        'baseline = "naive"',
        'baseline = "sdpa_math"',
        9,
        "baseline 'sdpa_math' is not among the implementations",
    ),
    "unknown axis": ("q_len =", "qlen =", 11, "unknown axis of attention 'qlen'; did you mean 'q_len'?"),
    "impossible value": ("[64, 128]", "[64, 0]", 11, "axis q_len: got 0; expected a whole number of at least 1"),
    "no value": ("[64, 128]", "[]", 11, "axis q_len: got no value"),
    "contradicting axes": ("[64, 128]", "64\nq_heads = 9\nkv_heads = 4", 10, "expected query heads divisible"),
    "axes that are no table": (
        "[bench.axes]\nq_len = [64, 128]",
        "axes = 5",
        10,
        "got axes = 5; expected a table of axes",
    ),
    "bad case": ('"Hq8-Sq64-bf16"', '"Hq8-Q64"', 15, "case id 'Hq8-Q64': 'Q64' is no axis of attention"),
    "cases that are no texts": ('["Hq8-Sq64-bf16"]', "[64]", 15, "got cases = [64]; expected one text or more"),
    "bench that is no table": (GOOD, "bench = ['attention']\n", 1, "expected one [[bench]] table or more"),
    "nothing": (GOOD, "", 1, "expected one [[bench]] table or more"),
    "unknown key of the second bench": (
        "cases =",
        "case =",
        15,
        "unknown key of a bench 'case'; did you mean 'cases'?",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_file_and_line_are_told(cli, name: str, tmp_path: Path) -> None:
    old, new, line, expected = CHANGES[name]
    assert GOOD.count(old) >= 1
    (tmp_path / "mine.toml").write_text(GOOD.replace(old, new, 1))
    ended = cli("run", "mine.toml")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert ended.err.startswith(f"attnlab: mine.toml:{line}: "), ended.err
    assert expected in ended.err
    assert not (tmp_path / "results").exists()


def test_the_good_suite_is_read(plugins_forgotten: None, tmp_path: Path) -> None:
    from attnlab.bench import discover
    from attnlab.bench.measuring.suite_file import load_suite

    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    suite = load_suite(path, discover())
    assert (suite.name, suite.description, suite.effort) == ("mine", "fine", {"target": 0.5})
    assert [case.id for case in suite.benches[0].cases] == ["Sq64-bf16", "Sq128-bf16"]
    assert suite.benches[1].implementations is None


def test_bytes_that_are_no_text(cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    ended = cli("run", "mine.toml")
    assert ended.code == 2
    assert ended.err.startswith("attnlab: mine.toml:1: not TOML: it is no UTF-8 text")


def test_what_the_command_line_sets_is_not_blamed_on_the_file(cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    assert cli("run", "mine.toml", "-a", "qlen=5").err.startswith("attnlab: unknown axis of attention 'qlen'")
    assert cli("run", "mine.toml", "-a", "dtype=int3").err.startswith("attnlab: axis dtype: unknown dtype")
    assert cli("run", "mine.toml", "-a", "kv_heads=3").err.startswith("attnlab: got q_heads=8 and kv_heads=3")


def test_a_byte_order_mark_is_no_fault(plugins_forgotten: None, tmp_path: Path) -> None:
    from attnlab.bench import discover
    from attnlab.bench.measuring.suite_file import load_suite

    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_suite(path, discover()).name == "mine"


def test_cases_that_an_axis_leaves_no_place_for_are_told(plugins_forgotten: None, tmp_path: Path) -> None:
    from attnlab.bench import discover
    from attnlab.bench.measuring.suite_file import load_suite

    path = tmp_path / "mine.toml"
    path.write_text('[[bench]]\noperator = "attention"\ncases = ["Hq2-packed5+3-bf16", "Hq2-Sq8-bf16"]\n')
    suite = load_suite(path, discover(), {"q_len": ["16"]})
    assert [case.id for case in suite.benches[0].cases] == ["Hq2-Sq16-bf16"]
    (note,) = suite.notes
    assert note.startswith("1 of 2 cases of a bench are left out")
