"""The gate that needs no GPU: what compilers made of head's kernels, against base's or a committed budget."""
