"""What a proxy says of itself: who it is, what it is called, what it can do."""

from __future__ import annotations

import abc

from aioesphomeapi.model import BluetoothProxyFeature, DeviceInfo

from proxyconn.radio import Proxy
from proxyconn_esphome.session.readiness import OPENS_LINKS, too_old
from proxyconn_esphome.wire.identity import SHARED_PROJECT


class SelfDescription(abc.ABC):
    """What is known of one proxy, from its own words; kept when its session ends.

    Args:
        expected_mac: 12 lower-case hex digits the proxy must have; None if that does not matter.
        announced_as: what to call it until it has said its name; None for host and port.

    Attributes:
        mac: 12 lower-case hex digits; None until they are known.
        said_mac: those that it says it has, though it could not prove it.
        info: everything that it has said; None until then.
        features: what it can do.
        connectable: whether it opens links, as we need it: with remote caching (API 1.7, 2023.2).
    """

    def __init__(self, expected_mac: str | None, announced_as: str | None) -> None:
        self.mac = expected_mac
        self.said_mac: str | None = None
        self.info: DeviceInfo | None = None
        self.features = BluetoothProxyFeature(0)
        self.connectable = False
        self._announced_as = announced_as
        self._label: str | None = None

    @property
    @abc.abstractmethod
    def proxy(self) -> Proxy:
        """Where the proxy is now, and its key."""

    @property
    def name(self) -> str:
        """What people call the proxy: its node name, unless that needs to be told apart."""
        return self._label or (self.info.name if self.info else self.node_name)

    @property
    def node_name(self) -> str:
        """The name in the proxy's YAML; host and port until it is known."""
        if self.info:
            return self.info.name
        return self.proxy.name or self._announced_as or f"{self.proxy.host}:{self.proxy.port}"

    @property
    def is_shared(self) -> bool:
        """Whether the proxy lends a fleet to several programs at once."""
        return self.info is not None and self.info.project_name == SHARED_PROJECT

    def call(self, label: str) -> None:
        """Have the proxy called otherwise than by its node name."""
        self._label = label

    def has_said(self, info: DeviceInfo, features: BluetoothProxyFeature) -> str:
        """Take what the proxy says of itself, and return its `mac`."""
        if self.info is None or self.info.name != info.name:
            # What told it apart from others was said of another name.
            self._label = None
        self.mac, self.info = info.mac_address.replace(":", "").lower(), info
        self.features, self.connectable = features, OPENS_LINKS in features
        return self.mac

    def require(self, feature: BluetoothProxyFeature, what: str, since: str) -> None:
        """Raise UnsupportedError unless the proxy has `feature`, which came with `since`."""
        if feature not in self.features:
            version = self.info.esphome_version if self.info else "unknown"
            raise too_old(self.name, version, what, since)
