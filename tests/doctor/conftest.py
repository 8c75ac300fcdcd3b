"""What the tests of the doctor share: a look at virtual proxies, in this process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxyconn import Proxy, Subscribe
from proxyconn.cli.examination import examine as examination
from proxyconn.cli.fleet_session import Settings
from proxyconn.models import Finding
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import VirtualProxy, new_noise_psk

KEY, WRONG_KEY = new_noise_psk(), new_noise_psk()
NEAR = "C4:00:00:00:00:01"
SUBSCRIBE = "SubscribeBluetoothLEAdvertisementsRequest"

Findings = dict[tuple[str | None, str], Finding]
"""Findings by what they are about and what was looked at."""

Look = Callable[..., Awaitable[Findings]]


def near(*proxies: str) -> Peripheral:
    """Return a device that the named proxies hear."""
    return Peripheral(NEAR, "near", rssi=dict.fromkeys(proxies, -50), interval=0.02)


def way(proxy: VirtualProxy, key: str | None = KEY, **more: str) -> Proxy:
    """Return what a user writes for a proxy."""
    return Proxy(proxy.host, proxy.port, noise_psk=key, **more)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which state and runtime files are looked for."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def look(home: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Return what examines a fleet of proxies that are named; none are looked for."""
    monkeypatch.setattr(examination, "LISTEN_TIME", 0.5)

    async def examine(*proxies: Proxy, take: bool = False, **more: object) -> Findings:
        options: dict[str, object] = {
            "discover": False,
            "noise_psk": None,
            "interfaces": ("127.0.0.1",),
            "timeout": 10.0,
            "subscribe": Subscribe.ALWAYS if take else Subscribe.IF_FREE,
            **more,
        }
        settings = Settings(proxies=proxies, **options)  # type: ignore[arg-type]
        found, _ = await examination.examine(settings)
        ranks = [
            (one.subject is not None, one.subject or "", examination.ORDER.index(one.check))
            for one in found
        ]
        assert ranks == sorted(ranks), "out of order, or a check without a place in it"
        return {(one.subject, one.check): one for one in found}

    return examine


def later(seconds: float) -> float:
    """Return a time of the wall clock."""
    return time.time() + seconds
