"""The operators' contracts, one file each."""
