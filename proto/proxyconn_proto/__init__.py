"""The part of the ESPHome native API that a Bluetooth proxy speaks."""
