"""What a measurement runs on: environment, clocks, memory, throttling, and the ceilings measured there."""
