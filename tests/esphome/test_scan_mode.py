"""What a proxy is told of its scan, whatever it reports meanwhile."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aioesphomeapi.model import BluetoothProxyFeature

from proxyconn_esphome.session.scan_mode import ACTIVE, FLIP_TIME, PASSIVE, ScanMode
from proxyconn_esphome.wire.messages import BluetoothScannerStateResponse

ME, OTHER = "me", "another"


class FakeProxy:
    """Notes the modes that it is told."""

    name = "kitchen"
    features = BluetoothProxyFeature.FEATURE_STATE_AND_MODE
    info = None
    is_shared = False

    def __init__(self) -> None:
        self.told: list[int] = []
        self.subscription = SimpleNamespace(held=True)
        self.scan = ScanMode(cast(Any, self))

    def send(self, message: Any) -> None:
        """Note a mode."""
        self.told.append(message.mode)

    def report(self, mode: int) -> None:
        """Report a mode."""
        self.scan.on_state(BluetoothScannerStateResponse(mode=mode))  # type: ignore[arg-type]


@pytest.fixture
def proxy() -> FakeProxy:
    """Return a proxy that scans actively, and has said so."""
    proxy = FakeProxy()
    proxy.report(ACTIVE)
    return proxy


def test_change_of_mind_before_the_report(proxy: FakeProxy) -> None:
    """What was told counts, not what was reported before it took effect."""
    proxy.scan.want(ME, False)
    proxy.scan.want(ME, True)
    proxy.scan.want(ME, None)
    assert proxy.told == [PASSIVE, ACTIVE]
    proxy.scan.want(ME, False)
    proxy.scan.close()
    assert proxy.told == [PASSIVE, ACTIVE, PASSIVE, ACTIVE]


def test_somebody_else_changes_the_mode(proxy: FakeProxy) -> None:
    """That is not fought over; in the end the mode is the one before us all the same."""
    proxy.scan.want(ME, False)
    proxy.report(PASSIVE)
    proxy.report(ACTIVE)
    assert proxy.told == [PASSIVE]
    proxy.scan.close()
    assert proxy.told == [PASSIVE, ACTIVE]


def test_new_session_is_told_once_it_has_reported(proxy: FakeProxy) -> None:
    """What the last session reported says nothing of this one."""
    proxy.scan.want(ME, False)
    proxy.report(PASSIVE)
    proxy.scan.begin()
    proxy.scan.want(ME, False)
    assert proxy.told == [PASSIVE]
    proxy.report(ACTIVE)
    assert proxy.told == [PASSIVE, PASSIVE]


def test_proxy_that_another_client_has_is_left_alone(proxy: FakeProxy) -> None:
    """Whoever has the subscription says how the proxy scans; we do again when it is ours again."""
    proxy.subscription.held = False
    proxy.scan.want(ME, False)
    assert proxy.told == []
    proxy.subscription.held = True
    proxy.report(ACTIVE)
    assert proxy.told == [PASSIVE]


def test_flip_is_no_mode_of_before(proxy: FakeProxy) -> None:
    """A wish that comes during a flip waits for its end, and in the end the first mode is back."""
    proxy.scan.flip(0.0)
    proxy.scan.want(ME, False)
    proxy.report(PASSIVE)
    proxy.scan.tick(FLIP_TIME)
    assert proxy.told == [PASSIVE, ACTIVE]
    proxy.report(PASSIVE)
    assert proxy.told == [PASSIVE, ACTIVE, PASSIVE]
    proxy.scan.close()
    assert proxy.told == [PASSIVE, ACTIVE, PASSIVE, ACTIVE]


def test_proxy_that_cannot_is_asked_nothing(
    proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever wants what, it is said once."""
    proxy.features = BluetoothProxyFeature.PASSIVE_SCAN
    with caplog.at_level(logging.INFO):
        proxy.scan.want(ME, False)
        proxy.scan.want(OTHER, True)
        proxy.scan.close()
    assert proxy.told == []
    assert caplog.text.count("cannot be told how to scan") == 1
