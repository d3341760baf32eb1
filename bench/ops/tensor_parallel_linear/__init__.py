"""Operator `tensor_parallel_linear`."""
