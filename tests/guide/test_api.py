"""What the guide names is there, under its name and with its parameters."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakError

import proxyconn

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.py"))
NAMED = (
    "AllocationChangeEvent",
    "Allocations",
    "BleakAbortedError",
    "BleakClientWithServiceCache",
    "BleakConnectionError",
    "BleakNotFoundError",
    "BleakOutOfConnectionSlotsError",
    "BleakSlotManager",
    "ble_device_description",
    "calculate_backoff_time",
    "clear_cache",
    "close_stale_connections",
    "close_stale_connections_by_address",
    "device_source",
    "establish_connection",
    "get_device",
    "get_device_by_adapter",
    "restore_discoveries",
    "retry_bluetooth_connection_error",
)


class Documented:
    """The functions of the guide: names, order and defaults of their parameters."""

    @staticmethod
    async def establish_connection(
        client_class,
        device,
        name,
        disconnected_callback=None,
        max_attempts=4,
        cached_services=None,
        ble_device_callback=None,
        use_services_cache=True,
        pair=False,
        **kwargs,
    ): ...

    @staticmethod
    def retry_bluetooth_connection_error(attempts=2): ...

    @staticmethod
    async def close_stale_connections(device, only_other_adapters=False): ...

    @staticmethod
    async def close_stale_connections_by_address(address, only_other_adapters=False): ...

    @staticmethod
    async def clear_cache(address): ...

    @staticmethod
    async def restore_discoveries(scanner, adapter): ...

    @staticmethod
    async def get_device(address): ...

    @staticmethod
    async def get_device_by_adapter(address, adapter): ...

    @staticmethod
    def device_source(device): ...

    @staticmethod
    def ble_device_description(device): ...


class DocumentedClient:
    """The methods that BleakClientWithServiceCache has beside bleak's."""

    async def clear_cache(self): ...

    async def set_connection_params(self, min_interval, max_interval, latency, timeout): ...


class DocumentedSlotManager:
    """The methods of BleakSlotManager."""

    async def async_setup(self): ...

    def register_adapter(self, adapter, slots): ...

    def remove_adapter(self, adapter): ...

    def get_allocations(self, adapter): ...

    def release_slot(self, device): ...

    def register_allocation_callback(self, callback): ...

    def diagnostics(self): ...


OWNERS: dict[type, Any] = {
    Documented: proxyconn,
    DocumentedClient: proxyconn.BleakClientWithServiceCache,
    DocumentedSlotManager: proxyconn.BleakSlotManager,
}
FUNCTIONS = [
    pytest.param(function, owner, id=name)
    for documented, owner in OWNERS.items()
    for name in vars(documented)
    if inspect.isfunction(function := getattr(documented, name))
]


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Return name, default and manner of each parameter that is not keyword-only."""
    return [
        (one.name, one.default, one.kind)
        for one in inspect.signature(function).parameters.values()
        if one.kind is not inspect.Parameter.KEYWORD_ONLY
    ]


def imported_names() -> Iterator[str]:
    """Yield every name that an example imports from proxyconn."""
    for path in EXAMPLES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "proxyconn":
                yield from (alias.name for alias in node.names)


def test_names_are_public() -> None:
    """What the guide names, and what its examples import, is exported."""
    names = {*NAMED, *imported_names()}
    assert len(EXAMPLES) == 8
    assert names <= set(proxyconn.__all__)
    assert all(hasattr(proxyconn, name) for name in names)


def test_constants_have_their_values() -> None:
    """The constants are those of the guide, whatever the order of the exceptions."""
    retried = {AttributeError, BleakError, EOFError, BrokenPipeError, asyncio.TimeoutError}
    assert isinstance(proxyconn.BLEAK_RETRY_EXCEPTIONS, tuple)
    assert set(proxyconn.BLEAK_RETRY_EXCEPTIONS) == retried
    assert proxyconn.NO_RSSI_VALUE == -127
    assert proxyconn.RSSI_SWITCH_THRESHOLD == 5


@pytest.mark.parametrize(("documented", "owner"), FUNCTIONS)
def test_signatures_are_those_of_the_guide(documented: Callable[..., Any], owner: Any) -> None:
    """Names, order and defaults are the same, and so is whether it is awaited."""
    ours = getattr(owner, documented.__name__)
    assert parameters(ours) == parameters(documented)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(documented)
    added = inspect.signature(ours).parameters.values()
    assert all(one.default is not one.empty for one in added if one.kind is one.KEYWORD_ONLY)
