"""nbray and Ray measured in turn on the same machine: `python -m tests.benchmarks`."""
