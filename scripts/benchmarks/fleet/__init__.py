"""Everybody at once: many devices, few connection slots, and every session starting together."""
