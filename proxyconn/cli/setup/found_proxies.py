"""Finding proxies, and trying keys on them; nobody else who uses them notices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from proxyconn import Proxy, RadioState, Subscribe
from proxyconn.cli.fleet_session import Settings, all_settled, by_name, open_fleet, problem_of
from proxyconn.radio import Radio
from proxyconn.radio_names import entry_for, hex_digits

TRY_TIME = 10.0
"""Seconds for one proxy to take a key or to refuse it."""


@dataclass(frozen=True, slots=True)
class FoundProxy:
    """A proxy, and what is known to open it.

    Attributes:
        name: what it is called; host and port until it has said so.
        mac: its MAC address, with colons; None until it is known.
        host, port: where it is.
        state: how it is doing.
        problem: why it is not ready; None if it is.
        by_mdns: whether it is found without being named.
        firmware: its version; None until it is known.
        key, password: what opens it, or was tried last; None for nothing.
    """

    name: str
    mac: str | None
    host: str
    port: int
    state: RadioState
    problem: str | None
    by_mdns: bool
    firmware: str | None = None
    key: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether it has let us in."""
        return self.state is RadioState.READY


async def find_proxies(settings: Settings) -> list[FoundProxy]:
    """Return the proxies that mDNS finds, and those that are named."""
    named = {(proxy.host, proxy.port): proxy for proxy in settings.proxies}
    async with open_fleet(_looking(settings)) as fleet:
        await all_settled(fleet, settings)
        return [
            _found(radio, settings, named)
            for radio in by_name(fleet)
            if radio.diagnostics().get("port")
        ]


async def try_proxy(settings: Settings, tried: FoundProxy) -> FoundProxy:
    """Return how a proxy does with the key and the password that it carries now."""
    proxy = Proxy(tried.host, tried.port, noise_psk=tried.key, password=tried.password)
    alone = replace(
        _looking(settings),
        proxies=(proxy,),
        discover=False,
        adapters=False,
        listen=False,
        timeout=min(settings.timeout, TRY_TIME),
    )
    async with open_fleet(alone) as fleet:
        await all_settled(fleet, alone)
        radios = by_name(fleet)
        if not radios:
            return tried
        now = _found(radios[0], alone, {(proxy.host, proxy.port): proxy})
    # A proxy that refuses us does not say what it is called; mDNS has.
    known = now if now.is_open or not tried.by_mdns else replace(now, name=tried.name)
    return replace(known, mac=now.mac or tried.mac, by_mdns=tried.by_mdns)


def _looking(settings: Settings) -> Settings:
    return replace(settings, subscribe=Subscribe.NEVER, owner=False)


def _found(radio: Radio, settings: Settings, named: dict[tuple[str, int], Proxy]) -> FoundProxy:
    details = radio.diagnostics()
    place = str(details["host"]), int(details["port"])
    proxy = named.get(place)
    mac = details.get("mac")
    keys = settings.noise_psk
    key = proxy.noise_psk if proxy else None
    if proxy is None:
        digits = hex_digits(mac) if mac else None
        key = keys if isinstance(keys, str | None) else entry_for(keys, radio.name, digits)
    return FoundProxy(
        name=radio.name,
        mac=mac,
        host=place[0],
        port=place[1],
        state=radio.state,
        problem=problem_of(radio),
        by_mdns=proxy is None,
        firmware=details.get("esphome_version"),
        key=key if details.get("encrypted") else None,
        password=proxy.password if proxy else None,
    )
