"""Failed checks, kept so that they can be made again: inputs, outputs, what is wrong first, and their replay."""
