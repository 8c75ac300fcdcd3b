"""Tests on a real Bluetooth stack: kernel, bluetoothd, and controllers in software.

They run in the virtual machine of `scripts/test-vm`, and are skipped everywhere else.

Every test starts with powered adapters, no peripherals and a daemon that knows no device.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.vm.hardware import Adapter, CreatedConnection, Hardware
from tests.vm.loop_thread import LoopThread

if TYPE_CHECKING:
    from tests.vm.bluez import Bluetoothd

HERE = Path(__file__).parent
INSIDE = "PROXYCONN_VM" in os.environ


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder outside the virtual machine."""
    skip = pytest.mark.skip(reason="needs the virtual machine of scripts/test-vm")
    for item in items:
        if not INSIDE and item.path.is_relative_to(HERE):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    """Return the thread in which the hardware runs."""
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="session")
def daemon(loop_thread: LoopThread) -> Iterator[Bluetoothd]:
    """Return a running bluetoothd, on a running system bus."""
    from tests.vm.bluez import Bluetoothd, SystemBus  # dbus-fast is there on Linux only

    with ExitStack() as stack:
        bus = SystemBus()
        stack.callback(bus.stop_daemon)
        bus.start_daemon()
        stack.callback(lambda: loop_thread.run(bus.disconnect()))
        loop_thread.run(bus.connect())
        daemon = Bluetoothd(loop_thread, bus)
        stack.callback(daemon.stop)
        daemon.start()
        yield daemon


@pytest.fixture(scope="session")
def all_hardware(loop_thread: LoopThread, daemon: Bluetoothd) -> Iterator[Hardware]:
    """Return the hardware of every test, with no adapter yet."""
    hardware = Hardware(loop_thread)
    yield hardware
    hardware.close()


@pytest.fixture(scope="session")
def plugged_adapter(all_hardware: Hardware, daemon: Bluetoothd) -> Adapter:
    """Return an adapter for every test: bluetoothd has crashed when adapters came and went."""
    adapter = all_hardware.plug_in()
    daemon.power(adapter.path, on=True)
    return adapter


@pytest.fixture(scope="session")
def plugged_second_adapter(plugged_adapter: Adapter, all_hardware: Hardware) -> Adapter:
    """Return another one."""
    return all_hardware.plug_in()


@pytest.fixture
def bluetoothd(daemon: Bluetoothd) -> Iterator[Bluetoothd]:
    """Return the running bluetoothd; the test fails if it does not run any more at the end."""
    from tests.vm.bluez import LOG

    start = LOG.stat().st_size
    yield daemon
    with LOG.open("rb") as log:
        log.seek(start)
        sys.stdout.write(log.read().decode(errors="replace"))  # shown where the test has failed
    if daemon.status is not None:
        status = daemon.status
        daemon.start()
        pytest.fail(f"bluetoothd has ended with status {status}")
    daemon.forget_devices()


@pytest.fixture
def hardware(bluetoothd: Bluetoothd, all_hardware: Hardware) -> Iterator[Hardware]:
    """Return the air: `await hardware.add(peripheral)` powers a peripheral on for this test."""
    yield all_hardware
    all_hardware.clear()


@pytest.fixture
def adapter(
    plugged_adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd
) -> Iterator[Adapter]:
    """Return hci0, powered on. A test may power it off or unplug it."""
    bluetoothd.power(plugged_adapter.path, on=True)
    yield plugged_adapter
    if not hardware.is_plugged_in(plugged_adapter):
        hardware.plug_in(plugged_adapter)


@pytest.fixture
def second_adapter(
    plugged_second_adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd
) -> Iterator[Adapter]:
    """Return hci1, powered on for this test: bleak takes any powered adapter by default."""
    bluetoothd.power(plugged_second_adapter.path, on=True)
    yield plugged_second_adapter
    bluetoothd.power(plugged_second_adapter.path, on=False)


@pytest.fixture
def agent(bluetoothd: Bluetoothd) -> Iterator[None]:
    """Have a pairing agent, which accepts. Without one bluetoothd neither bonds nor confirms."""
    bluetoothd.register_agent()
    yield
    bluetoothd.unregister_agent()


@pytest.fixture
def created_connections(adapter: Adapter) -> list[CreatedConnection]:
    """Return what the kernel asked of hci0 in each LE Create Connection of this test."""
    return adapter.created_connections


@pytest.fixture
async def bleak_bus(daemon: Bluetoothd) -> AsyncIterator[None]:
    """Connect bleak to D-Bus, which it does once for each loop, and disconnect it."""
    from bleak.backends.bluezdbus.manager import get_global_bluez_manager

    manager = await get_global_bluez_manager()
    yield
    bus = manager._bus  # noqa: SLF001  # bleak closes it only when a later loop needs one
    if bus is not None:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


@pytest.fixture
async def nothing_left_in_loop(bleak_bus: None, nothing_left_in_loop: None) -> None:
    """Compare before and after with bleak's connection to D-Bus in both."""
