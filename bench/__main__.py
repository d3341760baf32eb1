"""`python -m attnlab.bench`: the command line where no script was installed."""

from attnlab.bench.cli import run_as_script

run_as_script()
