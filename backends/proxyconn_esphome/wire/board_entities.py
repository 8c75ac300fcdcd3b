"""What a board has beside Bluetooth if its YAML says so: a Wi-Fi sensor, a restart button."""

from __future__ import annotations

import asyncio

from aioesphomeapi.client import APIClient
from aioesphomeapi.core import APIConnectionError
from aioesphomeapi.model import (
    ButtonInfo,
    EntityCategory,
    EntityInfo,
    EntityState,
    SensorInfo,
    SensorState,
)

ANSWER_TIME = 3.0
"""Seconds for the list of entities, and again for the first value of a sensor."""

RESTARTS = "restart"
"""Device class of ESPHome's `restart` button (esphome/components/restart/button)."""


def _is_wifi(entity: EntityInfo) -> bool:
    """Whether it is ESPHome's `wifi_signal`: signals of Bluetooth devices are no diagnostic."""
    return (
        isinstance(entity, SensorInfo)
        and entity.device_class == "signal_strength"
        and entity.entity_category is EntityCategory.DIAGNOSTIC
    )


async def wifi_signal(client: APIClient) -> float | None:
    """Return the signal in dBm; None without such a sensor, without a value or without answer."""
    said: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(ANSWER_TIME):
            entities, _ = await client.list_entities_services()
        keys = {entity.key for entity in entities if _is_wifi(entity)}
        if not keys:
            return None

        def on_state(state: EntityState) -> None:
            if isinstance(state, SensorState) and state.key in keys and not said.done():
                said.set_result(None if state.missing_state else state.state)

        client.subscribe_states(on_state)
        async with asyncio.timeout(ANSWER_TIME):
            return await said
    except (TimeoutError, APIConnectionError):
        return None


async def press_restart(client: APIClient) -> bool:
    """Press it; False if there is none.

    Raises:
        APIConnectionError, TimeoutError: the board does not answer.
    """
    async with asyncio.timeout(ANSWER_TIME):
        entities, _ = await client.list_entities_services()
    for entity in entities:
        if isinstance(entity, ButtonInfo) and entity.device_class == RESTARTS:
            client.button_command(entity.key)
            return True
    return False
