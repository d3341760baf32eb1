"""Measurements that came to no end: what is known beforehand, and what failed by an exception."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import AttnlabError
from attnlab.bench.measuring.fingerprint import fingerprint
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import reason_of, traceback_of

OUT_OF_MEMORY_SIGNS = (
    "MemoryError",
    "can't allocate memory",
    "out of memory",
    "Cannot allocate memory",
    "bad_alloc",
    "not enough memory",
)


def blank_measurement(operator: Operator[Any, Any], case: Case, implementation: Implementation) -> Measurement:
    """What is known beforehand, marked unavailable; failed where the contract's own figures cannot be had."""
    blank = Measurement(
        operator=operator.name,
        implementation=implementation.name,
        case=case.values(),
        case_id=case.id,
        outcome=Outcome.UNAVAILABLE,
        fingerprint=fingerprint(implementation),
    )
    try:
        return replace(
            blank,
            operations=int(operator.operations(case)),
            bytes_moved=int(operator.bytes_moved(case)),
            bytes_written=sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in operator.outputs(case)),
        )
    except Exception as error:  # noqa: BLE001 - an operator may be a plugin's
        return failure_of(blank, error)


def failure_of(blank: Measurement, error: Exception) -> Measurement:
    """The measurement, failed by what foreign code raised, with its traceback; out of memory where it says so."""
    outcome = Outcome.OUT_OF_MEMORY if exhausted(error) else Outcome.FAILED
    detail = None if isinstance(error, AttnlabError) else traceback_of(error)
    return blank.fail(reason_of(error), detail, outcome)


def exhausted(error: BaseException) -> bool:
    """Whether what was raised says that there is no memory left."""
    text = reason_of(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(sign in text for sign in OUT_OF_MEMORY_SIGNS)
