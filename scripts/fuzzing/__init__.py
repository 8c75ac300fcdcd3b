"""Fuzzing what strangers can send; see scripts/fuzz."""
