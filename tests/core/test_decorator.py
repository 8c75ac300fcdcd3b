"""retry_bluetooth_connection_error on a controlled clock."""

from __future__ import annotations

import asyncio

import pytest
from bleak.exc import BleakError

from proxyconn import retry_bluetooth_connection_error

pytestmark = pytest.mark.looptime


async def test_decorator_retries_with_the_tables_wait() -> None:
    """The function is called again after calculate_backoff_time()."""
    errors: list[Exception] = [TimeoutError(), BleakError("ESP_GATT_ERROR")]

    @retry_bluetooth_connection_error(attempts=3)
    async def read() -> int:
        """Docstring kept."""
        if errors:
            raise errors.pop(0)
        return 42

    assert await read() == 42
    assert asyncio.get_running_loop().time() == pytest.approx(0.25 + 1.0)
    assert read.__doc__ == "Docstring kept."


async def test_decorator_lets_the_last_failure_through() -> None:
    """The last error propagates unchanged, after two calls by default."""
    calls: list[BleakError] = []

    @retry_bluetooth_connection_error()
    async def fail() -> None:
        calls.append(BleakError(str(len(calls))))
        raise calls[-1]

    with pytest.raises(BleakError) as caught:
        await fail()
    assert caught.value is calls[1]
    assert len(calls) == 2


async def test_decorator_does_not_retry_defects() -> None:
    """An error that is not Bluetooth's is raised by the first call."""
    calls: list[int] = []

    @retry_bluetooth_connection_error(attempts=5)
    async def broken() -> None:
        calls.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert calls == [1]


def test_decorator_refuses_no_attempts() -> None:
    """No attempt at all is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least 1"):
        retry_bluetooth_connection_error(attempts=0)
