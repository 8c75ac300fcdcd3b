"""What every radio hears, merged: one device, however many radios hear it.

Here: a device as merged from all radios (`merged_device.py`), the table of all devices with
its callbacks (`device_table.py`), and what is done for every advertisement (`hearing.py`).
May import: `models`, `radio`. Pure: the time is an argument.
Begin with `device_table.py`; `fleet/radio_hub.py` feeds it.
"""
