"""How each proxy is, from what its session knows."""

from __future__ import annotations

from collections.abc import Iterator

from aioesphomeapi.model import BluetoothProxyFeature as Feature

from proxyconn.radio import Allocations, Finding, Level, RadioState, Subscribe
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.session.subscription.rivals import version_of

NEEDED = (
    (Feature.PAIRING, "pairing", "2024.3"),
    (Feature.CACHE_CLEARING, "forgetting a device's services", None),
    (Feature.FEATURE_STATE_AND_MODE, "setting the scan mode", "2025.5"),
    (Feature.CONNECTION_PARAMS_SETTING, "setting connection parameters", "2026.3"),
)
"""What takes a newer firmware, and the first release with it, where that is known."""

WEAK_WIFI = -75.0
"""dBm: guides to Wi-Fi want -67 to -70 where nothing may get lost; an ESP32's antenna is small."""

LEAKS_BEFORE = (2026, 6)
"""First release with a timer that frees the slot of a link whose end was lost (PR 16588)."""

NAMES_HOLDERS = (2025, 5)
"""First release that says who holds its slots."""


def of_proxy(session: ProxySession) -> Iterator[Finding]:
    """Yield what is found about a proxy, in the order in which it matters."""
    where = f"{session.proxy.host}:{session.proxy.port}"
    problem = session.problem
    if not session.is_up or session.info is None:
        yield _not_reached(session, where)
        return
    encrypted = session.proxy.noise_psk is not None
    yield Finding(
        "session",
        Level.OK,
        session.name,
        f"ESPHome {session.info.esphome_version} answers at {where}"
        f"{', encrypted' if encrypted else ''}",
    )
    if not encrypted:
        yield Finding(
            "encryption",
            Level.NOTE,
            session.name,
            "it does not encrypt: anybody on the network can use it and read along",
            "set `api: encryption:` in its YAML",
        )
    if problem and problem.check != "subscription":
        yield Finding(problem.check, Level.PROBLEM, session.name, problem.seen, problem.advice)
    yield from _firmware(session, session.info.esphome_version)
    yield from _holders(session)
    yield from _scanner(session)


async def of_wifi(session: ProxySession) -> list[Finding]:
    """Return what a proxy says of its Wi-Fi; nothing where it says nothing."""
    if not session.is_up or session.is_shared:
        return []
    signal = await session.reach.connection.wifi_signal()
    if signal is None:
        return []
    seen = f"its Wi-Fi has {signal:.0f} dBm"
    if signal > WEAK_WIFI:
        return [Finding("wifi", Level.OK, session.name, seen)]
    return [
        Finding(
            "wifi",
            Level.WARNING,
            session.name,
            f"{seen}: it will lose advertisements, and links with them",
            "move it or an access point, or use one with a socket for an antenna or for Ethernet",
        )
    ]


def _not_reached(session: ProxySession, where: str) -> Finding:
    problem = session.problem
    if problem is None:
        return Finding(
            "session",
            Level.PROBLEM,
            session.name,
            f"at {where} it is still {session.state}",
            "give it more time with --timeout",
        )
    return Finding(
        problem.check, Level.PROBLEM, session.name, f"at {where}: {problem.seen}", problem.advice
    )


def _firmware(session: ProxySession, version: str) -> Iterator[Finding]:
    features = session.features
    if Feature.RAW_ADVERTISEMENTS not in features:
        yield Finding(
            "firmware",
            Level.PROBLEM,
            session.name,
            f"ESPHome {version} is too old to be listened to: it has no raw advertisements",
            "update it to 2023.6 or newer",
        )
    if Feature.ACTIVE_CONNECTIONS not in features:
        yield Finding(
            "active",
            Level.WARNING,
            session.name,
            "it only listens: no device can be connected through it",
            "set `bluetooth_proxy: active: true` in its YAML; a BK72xx or LN882x cannot connect",
        )
        return
    if not session.connectable:
        yield Finding(
            "firmware",
            Level.PROBLEM,
            session.name,
            f"ESPHome {version} is too old to connect devices",
            "update it to 2023.2 or newer",
        )
        return
    missing = [
        f"{what} ({since})" if since else what
        for flag, what, since in NEEDED
        if flag not in features
    ]
    if missing and not session.is_shared:
        yield Finding(
            "firmware",
            Level.NOTE,
            session.name,
            f"ESPHome {version} is too old for {', '.join(missing)}",
            "update it if you need that",
        )


def _holders(session: ProxySession) -> Iterator[Finding]:
    slots = session.ledger.allocations()
    if session.is_shared or not session.connectable:
        return
    problem = session.problem
    if problem and problem.check == "subscription":
        yield Finding(problem.check, Level.PROBLEM, session.name, problem.seen, problem.advice)
    if slots is None:
        return
    if leaked := _leaked(session, slots):
        yield leaked
    taken = slots.slots - slots.free
    if not taken:
        yield Finding(
            "slots", Level.OK, session.name, f"{slots.free} of {slots.slots} slots are free"
        )
    elif session.other_clients.only_looks:
        yield _held(session, slots, taken)
    elif unused := sorted(set(slots.allocated) - _used(session)):
        yield Finding(
            "slots",
            Level.WARNING,
            session.name,
            f"it keeps a slot each for {', '.join(unused)}, and nobody is connected to them",
            "restart the proxy if its slots run short",
        )


def _used(session: ProxySession) -> set[str]:
    return {link.address for link in session.dispatcher.links.values()}


def _held(session: ProxySession, slots: Allocations, taken: int) -> Finding:
    newest_wins = session.other_clients.newest_wins
    consequence = (
        "whoever asks for it takes it over, and ends those"
        if newest_wins
        else "it is refused to us meanwhile"
    )
    held = f" ({', '.join(slots.allocated)})" if slots.allocated else ""
    return Finding(
        "subscription",
        Level.PROBLEM,
        session.name,
        f"another client holds {taken} of its {slots.slots} slots{held}; no proxy tells who",
        "remove the proxy from that client (Home Assistant, say), or share it by `proxyconn "
        f"serve`; {consequence}; if there is no such client, slots have leaked: restart the proxy",
    )


def _leaked(session: ProxySession, slots: Allocations) -> Finding | None:
    version = version_of(session.info.esphome_version) if session.info else ()
    unnamed = slots.slots - slots.free - len(set(slots.allocated))
    if version < NAMES_HOLDERS or unnamed <= 0:
        return None
    cure = "restart the proxy"
    if version < LEAKS_BEFORE:
        cure += ", and update it: before 2026.6 a link whose end is lost keeps its slot"
    return Finding(
        "slots",
        Level.WARNING,
        session.name,
        f"{unnamed} of {slots.slots} slots are taken by no device",
        cure,
    )


def _scanner(session: ProxySession) -> Iterator[Finding]:
    if session.other_clients.subscribe is Subscribe.NEVER or session.state is not RadioState.READY:
        return
    heard = session.periodic_checks.diagnostics()["seconds_since_heard"]
    if heard is None:
        yield Finding(
            "scanner",
            Level.WARNING,
            session.name,
            "its session is up, and it has heard no device yet",
            "if there are any near it, restart it, and if that does not help look at its antenna "
            "and at its power supply",
        )
    else:
        yield Finding("scanner", Level.OK, session.name, f"it heard a device {heard:g} s ago")
