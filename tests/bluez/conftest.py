"""A private system bus for each test, and on it a BlueZ that does as it is told."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bluez.fake_bluez import FakeBlueZ
    from tests.bluez.fake_kernel import FakeKernel

HERE = Path(__file__).parent
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave these tests out where there is no D-Bus to import."""
    return True if sys.platform != "linux" and collection_path.parent == HERE else None


class SystemBus:
    """A dbus-daemon of the test's own, where the system bus is looked for."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bus"
        self._config = folder / "bus.conf"
        self._config.write_text(CONFIG.format(socket=self.socket))
        self._daemon: subprocess.Popen[str] | None = None
        self.kills = 0

    def start(self) -> None:
        """Start the daemon; returns when clients can connect."""
        self._daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._daemon.stdout is None or not self._daemon.stdout.readline():
            raise RuntimeError("dbus-daemon did not start")

    def kill(self) -> None:
        """End the daemon at once; every connection breaks."""
        self.kills += 1
        if self._daemon:
            self._daemon.kill()
            self._daemon.communicate()
            self._daemon = None
            self.socket.unlink(missing_ok=True)


@pytest.fixture
def system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SystemBus]:
    """Return a system bus with nobody on it."""
    if shutil.which("dbus-daemon") is None:
        reason = "needs dbus-daemon (Debian package dbus)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    bus = SystemBus(tmp_path)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={bus.socket}")
    bus.start()
    yield bus
    bus.kill()
    if bus.kills > 1:
        # What dbus-fast could not write any more is complained of when it is collected. Let that be
        # now: in the middle of an import, the traceback that is written confuses Python 3.11.
        gc.collect()


@pytest.fixture
async def bluez(system_bus: SystemBus) -> AsyncIterator[FakeBlueZ]:
    """Return a running BlueZ with one adapter, hci0, and no device."""
    from tests.bluez.fake_bluez import FakeBlueZ  # dbus-fast is there on Linux only

    fake = FakeBlueZ()
    await fake.start()
    fake.add_adapter()
    yield fake
    await fake.stop()


@pytest.fixture
async def kernel() -> AsyncIterator[FakeKernel]:
    """Return a kernel that hears commands and answers as the test says."""
    from tests.bluez.fake_kernel import FakeKernel

    kernel = FakeKernel()
    yield kernel
    kernel.close()


@pytest.fixture
def known_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare bleak the program that it asks for the version of BlueZ."""
    from bleak.backends.bluezdbus.version import BlueZFeatures

    monkeypatch.setattr(BlueZFeatures, "checked_bluez_version", True)
