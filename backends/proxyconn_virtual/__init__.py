"""ESPHome Bluetooth proxies in software."""
