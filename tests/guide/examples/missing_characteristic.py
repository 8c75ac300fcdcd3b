"""A characteristic that is missing until the cache is cleared."""

# ruff: noqa: T201, B904
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bleak.backends.device import BLEDevice

from proxyconn import BleakClientWithServiceCache, establish_connection


class CharacteristicMissingError(Exception):
    """A characteristic that is needed is missing."""


async def connect_and_validate_services(device: BLEDevice):
    """Connect, with a clear cache if the characteristic is missing."""
    client = await establish_connection(
        BleakClientWithServiceCache,
        device,
        name=device.name or device.address,
        use_services_cache=True,
    )
    try:
        required_service_uuid = "cba20d00-224d-11e6-9fb8-0002a5d5c51b"
        required_char_uuid = "cba20002-224d-11e6-9fb8-0002a5d5c51b"
        service = client.services.get_service(required_service_uuid)
        if not service:
            raise CharacteristicMissingError(f"Service {required_service_uuid} not found")
        char = service.get_characteristic(required_char_uuid)
        if not char:
            raise CharacteristicMissingError(f"Characteristic {required_char_uuid} not found")
    except (CharacteristicMissingError, KeyError) as ex:
        print(f"Characteristic missing, clearing cache: {ex}")
        await client.clear_cache()
        await client.disconnect()
        client = await establish_connection(
            BleakClientWithServiceCache,
            device,
            name=device.name or device.address,
            use_services_cache=False,
        )
        service = client.services.get_service(required_service_uuid)
        if not service:
            await client.disconnect()
            raise CharacteristicMissingError(
                f"Service {required_service_uuid} still not found after cache clear"
            )
        char = service.get_characteristic(required_char_uuid)
        if not char:
            await client.disconnect()
            raise CharacteristicMissingError(
                f"Characteristic {required_char_uuid} still not found after cache clear"
            )
    return client
