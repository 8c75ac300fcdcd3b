"""The faults that are known by name, by what they are faults of.

Each module lists its `FAULTS`: words, firmware that has it, and how it is switched on, mostly an
`Injector` (`proxyconn_virtual/faults.py`). `model.py` says what a fault is made of.
May import: `firmware`, `proxyconn_native_api`, the hooks.
A new fault also gets a name in `fault_catalogue.py`. Begin with `connections.py`.
"""
