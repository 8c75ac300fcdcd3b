"""The manners of ESPHome's Bluetooth proxy: slots, subscriber, message order, release by release.

Here: `profiles.py` says what differs between releases; `slot_rules.py` are the tables (pure);
`bluetooth.py` runs them; `device_requests.py` and `gatt_requests.py` answer what clients ask.
May import: `proxyconn_native_api` and the hooks for faults.
Begin with `slot_rules.py` beside FIRMWARE's tables, a new release in `profiles.py`.
"""
