"""The inside of a fleet, for those who show it to people and act for them.

Here: `inspection.py` is what is to be seen; `interventions.py` what may be done by hand.
May import: `fleet/radio_hub.py` and what that may import, `routed_client.py`, `alarms.py`.
Begin with `inspection.py`.
"""
