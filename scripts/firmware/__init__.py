"""Plays the same steps to the firmware's own code and to the virtual proxy, and compares."""
