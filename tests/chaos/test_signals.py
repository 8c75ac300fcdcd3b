"""Signal strengths that are missing in the storm, and the watch over what is made of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from proxyconn import NO_RSSI_VALUE
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec
from scripts.chaos_run.record import Record
from scripts.chaos_run.signals import INVARIANT, RssiHoles, SignalWatch

DEVICE = 0xC40000000001
MAC = "AA:BB:CC:00:00:01"


def test_holes_leave_out_what_is_measured() -> None:
    """Some reports have 0 or 127 in place of it, the same ones for the same seed."""

    def rssis() -> list[int]:
        message = pb.BluetoothLERawAdvertisementsResponse()
        for _ in range(100):
            message.advertisements.add(address=DEVICE, rssi=-60)
        (passed,) = RssiHoles("seed").outgoing(message)
        assert isinstance(passed, pb.BluetoothLERawAdvertisementsResponse)
        return [report.rssi for report in passed.advertisements]

    assert set(rssis()) == {-60, 0, 127}
    assert rssis() == rssis()


async def test_a_path_that_is_too_loud() -> None:
    """Is told once; so is one that is no path at all."""
    record = Record()
    device = Peripheral("C4:00:00:00:00:01", "near", rssi={"kitchen": -60})
    house = VirtualFleet([ProxySpec(name="kitchen", mac=MAC)], [device], announce=False)
    signals = [(MAC, device.address, -57), (MAC, device.address, NO_RSSI_VALUE)]
    side: Any = SimpleNamespace(signals=lambda: signals)
    watch = SignalWatch(side, house, record)
    watch.look()
    assert [one.invariant for one in record.violations] == []
    signals += [(MAC, device.address, -56), ("AA:BB:CC:00:00:02", device.address, -90)]
    watch.look()
    watch.look()
    assert [one.invariant for one in record.violations] == [INVARIANT, INVARIANT]
