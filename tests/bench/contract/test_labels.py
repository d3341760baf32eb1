"""Names of cases among others: what varies is told, also where it is a default, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench.contract.labels import label_cases
from attnlab.bench.contract.registry import discover
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.store.run_folder import read_run

RESULTS = Path(__file__).parents[3] / "results"
RUNS = ("20261122-081015-quick", "20261122-125720-decode-quick", "20261126-160740-generate-quick")


@pytest.mark.parametrize(
    ("ids", "labels", "common"),
    [
        (("Hq2-bf16", "Hq4-bf16", "bf16"), ("Hq2", "Hq4", "Hq8"), ("bf16",)),
        (("Hq9-Sq512-bf16", "Hq9-bf16"), ("Sq512", "Sq1024"), ("Hq9", "bf16")),
        (("B4-bf16", "bf16"), ("B4", "B1"), ("bf16",)),
        (("bf16", "bf16-causal"), ("full", "causal"), ("bf16",)),
        (("fp32", "bf16"), ("fp32", "bf16"), ()),
        (("Hkv2-bf16", "bf16"), ("Hkv2", "Hkv8"), ("bf16",)),
        (("Hq2-bf16", "Hkv4-bf16"), ("Hq2", "Hq8-Hkv4"), ("bf16",)),  # as many key heads as heads, where not said
        (("Sq512-bf16", "packed10+20-bf16"), ("Sq512", "packed10+20-Sq30"), ("bf16",)),
        (("Hq9-bf16-causal",), ("Hq9-bf16-causal",), ()),
        (("of-another-version", "bf16"), ("of-another-version", "bf16"), ()),
    ],
)
def test_labels(ids: tuple[str, ...], labels: tuple[str, ...], common: tuple[str, ...]) -> None:
    found = label_cases(ids, AttentionCase)
    assert tuple(found.by_id[case_id].short for case_id in ids) == labels
    assert found.common == common


def test_without_the_contract_ids_stand_for_themselves() -> None:
    found = label_cases(["b", "a", "b"], None)
    assert [label.short for label in found.by_id.values()] == ["b", "a"]


def test_one_axis_can_be_left_out() -> None:
    label = label_cases(["Hq2-Sq512-bf16", "Hq2-bf16", "Sq512-bf16", "bf16"], AttentionCase).by_id["bf16"]
    assert (label.short, label.without("q_len"), label.family("q_len")) == ("Hq8-Sq1024", "Hq8", "bf16")
    assert label.sizes == {"q_heads": 8, "q_len": 1024}


@pytest.mark.parametrize("run", RUNS)
def test_labels_of_stored_runs_are_unlike_and_read_as_the_same_cases(run: str) -> None:
    known = discover().operators
    measurements = read_run(RESULTS / run).measurements
    for operator in {m.operator for m in measurements}:
        case_type = known.get(operator).case_type
        labels = label_cases([m.case_id for m in measurements if m.operator == operator], case_type).by_id
        assert len({label.short for label in labels.values()}) == len(labels)
        assert all(case_type.parse(label.spelled).id == case_id for case_id, label in labels.items())
