"""Sessions among faults at random, run by scripts/chaos and scripts/soak; not installed."""
