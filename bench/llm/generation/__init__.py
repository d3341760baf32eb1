"""What generation is measured by: requests as they arrive, the log of their tokens, and the figures made from it."""
