"""The ESPHome native API as a bleak backend."""
