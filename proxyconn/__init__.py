"""Reliable Bluetooth LE through every radio in the house."""
