"""Every implementation on every case."""
