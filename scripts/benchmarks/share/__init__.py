"""What it costs to share a fleet: through an owner against direct, and to 1, 10 and 50 clients."""
