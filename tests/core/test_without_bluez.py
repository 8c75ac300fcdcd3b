"""proxyconn where there is no D-Bus: nothing of it is imported, and nothing fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "dbus_fast" or name.startswith("bleak.backends.bluezdbus"):
            raise ImportError(f"{name} is hidden")

sys.meta_path.insert(0, Hidden())
"""
OTHER_SYSTEM = "sys.platform = {platform!r}\n"
USE = """
import asyncio
import proxyconn
from bleak.backends.device import BLEDevice

async def main():
    address = "C4:00:00:00:00:01"
    device = BLEDevice(address, None, {"path": "/org/bluez/hci0/dev_C4_00_00_00_00_01"})
    assert await proxyconn.get_device(address) is None
    assert await proxyconn.get_device_by_adapter(address, "hci0") is None
    assert await proxyconn.clear_cache(address) is False
    await proxyconn.close_stale_connections(device)
    await proxyconn.close_stale_connections_by_address(address, only_other_adapters=True)
    await proxyconn.restore_discoveries(None, "hci0")
    manager = proxyconn.BleakSlotManager()
    await manager.async_setup()
    manager.register_adapter("hci0", 1)
    assert manager.allocate_slot(device) and manager.allocate_slot(device)
    manager.release_slot(device)
    assert manager.get_allocations("hci0") == proxyconn.Allocations("hci0", 1, 1, [])
    assert manager.diagnostics()["manager"] is False
    manager.remove_adapter("hci0")
    await manager.aclose()
    async with proxyconn.Fleet(discover=False) as fleet:
        assert fleet.radios == []
    try:
        async with proxyconn.Fleet(discover=False, local_adapters=True):
            raise AssertionError("local adapters without BlueZ")
    except proxyconn.UnsupportedError as exc:
        print(exc)

asyncio.run(main())
assert not [name for name in sys.modules if name.startswith(("dbus_fast", "bleak.backends.bluez"))]
"""


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_without_dbus(platform: str) -> None:
    """Where D-Bus cannot be imported, every name works and does nothing; a fleet says why."""
    # The other systems' own modules are missing here: only our decisions see another name.
    program = HIDE + "import proxyconn, bleak\n" * (platform == sys.platform)
    if platform != sys.platform:
        program += "import bleak, zeroconf, asyncio.unix_events, platformdirs, importlib.metadata\n"
        program += OTHER_SYSTEM.format(platform=platform)
    run = subprocess.run(
        [sys.executable, "-c", program + USE],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert run.returncode == 0, run.stderr
    assert "Linux" in run.stdout or "BlueZ" in run.stdout
