"""The Bluetooth stack of this machine, where there is one.

Here: finding it by entry point (`stack.py`), what programs ask of BlueZ by address
(`adapters.py`), and the slots of local adapters for bleak-retry-connector's users.
May import: `device`, `radio` and below; nothing of D-Bus.
Begin with `stack.py`.
"""
