"""What is promised: axes and operators, error budgets, needs, metrics, and how things are found and registered."""

from attnlab.bench.moved import content_of

__getattr__ = content_of("attnlab.bench.contract.operator_spec", "attnlab.bench.store.deviations")
