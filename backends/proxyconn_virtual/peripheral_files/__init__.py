"""Virtual peripherals from files: TOML for those that are data, Python for those that think.

Begin with `loading.py`; the keys of the TOML form are in `from_toml.py` and `toml_advertising.py`.
May import: `peripheral`, `advertising`, `radios`, and the core's reader of configuration files.
"""

from proxyconn_virtual.peripheral_files.loading import load_peripherals

__all__ = ("load_peripherals",)
