"""Which characteristic a kept subscription means, and what is done when it is not there."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any
from uuid import UUID

import pytest
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from proxyconn import ErrorKind, LinkError, keep_connected

from .kept_client import DEVICE, Scene, SceneClient, table, uuid

pytestmark = pytest.mark.looptime

INVALID_HANDLE = BleakGATTProtocolError(BleakGATTProtocolErrorCode.INVALID_HANDLE)
OLD, NEW = table((10, 0xFFF1)), table((10, 0xFFF9), (12, 0xFFF1))
SPELLINGS = ["fff1", "FFF1", uuid(0xFFF1), uuid(0xFFF1).upper(), UUID(uuid(0xFFF1))]


def keep(scene: Scene, **options: Any) -> Any:
    """Keep the device of a scene connected."""
    return keep_connected(scene.client_class(), DEVICE, "kettle", **options)


def nothing(sender: object, data: bytearray) -> None:
    """Take a notification."""


@pytest.mark.parametrize("spelling", [*SPELLINGS, 10, OLD.characteristics[10]], ids=repr)
async def test_every_way_to_name_a_characteristic_names_the_same(spelling: Any) -> None:
    """What was subscribed to by one spelling ends by any other, with a link and without one."""
    scene = Scene(actual=OLD)
    async with keep(scene) as kept:
        client = await kept.connected(1)
        for other in (uuid(0xFFF1), 10, OLD.characteristics[10]):
            await kept.start_notify(spelling, nothing)
            assert set(client.notified) == {10}
            await kept.stop_notify(other)
            assert not client.notified
        client.drop()
        assert (await kept.connected(5)).notified == {}


async def test_the_last_of_several_spellings_is_restored() -> None:
    """Asked for before there is a link, even by handle and by UUID, they are one subscription."""
    scene = Scene(actual=table((10, 0xFFF1), (20, 0xFFF2)))
    kept, got = keep(scene), []
    for number, spelling in enumerate((*SPELLINGS, 20, 10)):
        await kept.start_notify(spelling, lambda sender, data, number=number: got.append(number))
    async with kept:
        client = await kept.connected(1)
        assert set(client.notified) == {10, 20}
        client.notified[10](None, bytearray())
        client.notified[20](None, bytearray())
    assert got == [6, 5]


async def test_two_characteristics_of_one_uuid_are_told_apart_by_handle() -> None:
    """Objects carry both; one is stopped without the other."""
    both = table((10, 0xFFF1), (20, 0xFFF1))
    scene = Scene(actual=both)
    async with keep(scene) as kept:
        for handle in (10, 20):
            await kept.start_notify(both.characteristics[handle], nothing)
        client = await kept.connected(1)
        assert set(client.notified) == {10, 20}
        await kept.stop_notify(both.characteristics[10])
        assert set(client.notified) == {20}


async def test_a_coroutine_is_awaited() -> None:
    """Bleak awaits what it sees to be a coroutine function; so must what wraps it be."""
    scene, got = Scene(), []

    async def notified(sender: object, data: bytearray) -> None:
        got.append(data)

    async with keep(scene) as kept:
        await kept.start_notify("fff1", notified)
        wrapper = (await kept.connected(1)).notified[10]
        assert inspect.iscoroutinefunction(wrapper)
        await wrapper(None, bytearray(b"1"))
    assert got == [b"1"]


async def test_a_missing_characteristic_has_the_services_read_anew() -> None:
    """The table is from before a firmware update: forgotten, and read by the next round."""
    scene = Scene(actual=NEW, cached=OLD)
    async with keep(scene) as kept:
        await kept.start_notify("fff9", nothing)
        assert set((await kept.connected(5)).notified) == {10}
        assert scene.calls == ["clear_cache", "disconnect", "disconnected"]


async def test_the_doubt_outlives_rounds_that_fail_otherwise() -> None:
    """The device may be out of reach just then."""
    scene = Scene(actual=NEW, cached=OLD)

    async def prepare(client: SceneClient) -> None:
        if len(scene.clients) == 1:
            scene.failures.append(LinkError("held", kind=ErrorKind.IN_USE))
            scene.cached = NEW
            raise INVALID_HANDLE
        assert scene.cached is scene.actual

    async def forgets_nothing(client: SceneClient) -> bool:
        return False

    class Forgetful(scene.client_class()):  # type: ignore[misc]
        clear_cache = forgets_nothing

        async def connect(self, *, dangerous_use_bleak_cache: bool, **kwargs: Any) -> None:
            caches.append(dangerous_use_bleak_cache)
            await super().connect(dangerous_use_bleak_cache=dangerous_use_bleak_cache, **kwargs)

    caches: list[bool] = []
    async with keep_connected(Forgetful, DEVICE, "kettle", on_connected=prepare) as kept:
        client = await kept.connected(10)
        assert caches == [True, False, False]
        client.drop()
        await kept.connected(10)
        assert caches == [True, False, False, True]


@pytest.mark.parametrize("wrong", ["missing", "refused"])
async def test_on_a_link_that_is_up_the_services_are_read_anew_at_once(wrong: str) -> None:
    """The caller waits for the new link, and is subscribed on it."""
    scene = Scene(actual=NEW, cached=OLD)
    losses = 0
    wanted = 0xFFF9 if wrong == "missing" else 0xFFF1
    if wrong == "refused":
        scene.refusals[uuid(wanted)] = INVALID_HANDLE

    def lost() -> None:
        nonlocal losses
        losses += 1
        scene.refusals.clear()

    async with keep(scene, on_lost=lost) as kept:
        await kept.connected(1)
        await kept.start_notify(uuid(wanted), nothing)
        assert set(kept.client.notified) == {10 if wrong == "missing" else 12}
        assert losses == 1
        kept.client.drop()
        assert len((await kept.connected(5)).notified) == 1


async def test_what_the_device_does_not_have_is_said_after_one_look() -> None:
    """Services that have just been read are believed; the subscription is not kept."""
    scene = Scene(actual=NEW, cached=NEW)
    async with keep(scene) as kept:
        await kept.connected(1)
        for _ in range(2):
            with pytest.raises(BleakCharacteristicNotFoundError):
                await kept.start_notify("fff7", nothing)
        assert kept.connections == 2
        kept.client.drop()
        assert (await kept.connected(5)).notified == {}


async def test_a_refusal_of_another_kind_is_the_callers() -> None:
    """The link stays."""
    scene = Scene()
    scene.refusals[uuid(0xFFF1)] = BleakError("there is a subscription already")
    async with keep(scene) as kept:
        client = await kept.connected(1)
        with pytest.raises(BleakError, match="already"):
            await kept.start_notify("fff1", nothing)
        await asyncio.sleep(5)
        assert kept.client is client


async def test_a_characteristic_that_has_moved_is_found_again() -> None:
    """One that was found on an earlier link may have another handle now, or be another's."""
    scene = Scene(actual=OLD)
    async with keep(scene) as kept:
        client = await kept.connected(1)
        await kept.start_notify(OLD.characteristics[10], nothing)
        scene.cached = scene.actual = NEW
        client.drop()
        assert set((await kept.connected(5)).notified) == {12}
        scene.cached, scene.actual = table((10, 0xFFF9)), OLD
        kept.client.drop()
        assert set((await kept.connected(10)).notified) == {10}
