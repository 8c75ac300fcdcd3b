"""A fleet: every radio of an app behind one object.

Here: `fleet.py` is what users hold; `radio_hub.py` takes what radios report; `routed_client.py`
takes the best path at each connect; `alarms.py` says what should not be.
May import: `routing`, `connect` and below. Backends are found by entry point, never imported.
Begin with `fleet.py`.
"""
