"""What a connection can fail with."""

# ruff: noqa: T201
# mypy: disable-error-code="no-untyped-def, arg-type"

from __future__ import annotations

from bleak.backends.device import BLEDevice

from proxyconn import (
    BleakAbortedError,
    BleakClientWithServiceCache,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    establish_connection,
)


async def connect_with_error_handling(device: BLEDevice):
    """Connect, or say why not."""
    try:
        client = await establish_connection(BleakClientWithServiceCache, device, name=device.name)
        return client  # noqa: RET504
    except BleakNotFoundError:
        print("Device not found - it may have moved out of range")
        return None
    except BleakOutOfConnectionSlotsError:
        print("No connection slots available - try disconnecting other devices")
        return None
    except BleakAbortedError:
        print("Connection aborted - check for interference or move closer")
        return None
    except BleakConnectionError as e:
        print(f"Connection failed: {e}")
        return None
