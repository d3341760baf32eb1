"""One measurement, from the case to the record: check, time, isolate, run."""
