"""ESPHome Bluetooth proxies as a bleak backend, over the native API.

For one proxy, without a fleet::

    async with ProxySession(Proxy("10.0.0.7", noise_psk="...")) as session:
        await session.ready(timeout=10)
        async with BleakScanner(backend=ESPHomeScanner, session=session) as scanner:
            async for device, advertisement in scanner.advertisement_data():
                if advertisement.local_name == "Thermometer":
                    break
        async with BleakClient(device, backend=ESPHomeClient) as client:
            ...
"""

from proxyconn_esphome.client import ESPHomeClient
from proxyconn_esphome.codes import ConnectionReason, GattStatus, PairingStatus
from proxyconn_esphome.scanner import ESPHomeScanner
from proxyconn_esphome.session.session import ProxySession

__all__ = [
    "ConnectionReason",
    "ESPHomeClient",
    "ESPHomeScanner",
    "GattStatus",
    "PairingStatus",
    "ProxySession",
]
