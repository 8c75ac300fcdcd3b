"""What would keep local adapters from working. Importing this needs no D-Bus."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Sequence

from proxyconn.radio import Finding, FleetOptions, Level, Radio

CHECK = "local-bluetooth"
RIGHTS = "parameters"


async def checks(options: FleetOptions, radios: Sequence[Radio]) -> list[Finding]:
    """Return what is found about the adapters; nothing where none are wanted."""
    if not options.local_adapters:
        return []
    if sys.platform != "linux":
        return [
            Finding(
                CHECK,
                Level.PROBLEM,
                None,
                "local adapters can be part of a fleet only on Linux, by BlueZ",
                "take `adapters` out of the configuration",
            )
        ]
    try:
        found = await asyncio.to_thread(_adapters, radios)
    except ImportError as exc:
        return [Finding(CHECK, Level.PROBLEM, None, f"bleak's BlueZ backend is missing: {exc}")]
    return [*found, await asyncio.to_thread(_management)]


def _adapters(radios: Sequence[Radio]) -> list[Finding]:
    from proxyconn_bluez.adapter.adapter import BlueZRadio

    return [_adapter(radio) for radio in radios if isinstance(radio, BlueZRadio)]


def _adapter(radio: Radio) -> Finding:
    if radio.problem is None:
        return Finding(CHECK, Level.OK, radio.name, f"it is {radio.state}")
    return Finding(
        CHECK,
        Level.PROBLEM,
        radio.name,
        radio.problem,
        "install and start BlueZ (`systemctl start bluetooth`), switch the adapter on "
        "(`rfkill unblock bluetooth`, `bluetoothctl power on`), and in a container pass "
        "/run/dbus/system_bus_socket; `busctl list` shows whether org.bluez may be reached",
    )


def _management() -> Finding:
    from proxyconn_bluez.kernel.socket import open_management_socket

    try:
        open_management_socket().close()
    except OSError as exc:
        what, advice = {
            errno.EPERM: ("this program has not the right", "CAP_NET_ADMIN gives it"),
            errno.EACCES: ("this program has not the right", "CAP_NET_ADMIN gives it"),
        }.get(exc.errno or 0, (f"the kernel has no Bluetooth management ({exc.strerror})", None))
        return Finding(
            RIGHTS,
            Level.NOTE,
            None,
            f"connection parameters of local adapters cannot be set: {what}",
            advice,
        )
    return Finding(RIGHTS, Level.OK, None, "connection parameters of local adapters can be set")
