"""Advertisements handled for each second of CPU: our client, bleak-esphome's, and what both pay."""
