"""Benchmarks, run by scripts/bench; not part of what is installed."""
