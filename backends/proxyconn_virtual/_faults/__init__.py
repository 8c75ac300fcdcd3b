"""The faults that are known by name, by what they are faults of."""
