"""What `proxyconn virtual` prints of what its proxies see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from proxyconn.cli.output import safe, stdout
from proxyconn_virtual import events
from proxyconn_virtual.fleet import VirtualFleet


def print_event(fleet: VirtualFleet) -> Callable[[events.ProxyEvent], None]:
    names = {peripheral.address: peripheral.name for peripheral in fleet.peripherals}
    width = max(map(len, fleet.proxies))

    def show(event: events.ProxyEvent) -> None:
        now = datetime.now().astimezone()
        device = f"{event.address}  " if isinstance(event, events.DeviceEvent) else ""
        name = names.get(device.strip(), "")
        stdout().print(
            f"[dim]{now:%H:%M:%S}.{now.microsecond // 1000:03}[/]  [cyan]{event.proxy:<{width}}[/]"
            f"  {device}{safe(event_text(event))}" + (f"  [dim]{safe(name)}[/]" if name else ""),
            soft_wrap=True,
        )

    return show


def event_text(event: events.ProxyEvent) -> str:
    """Return what happened, in words."""
    match event:
        case events.ClientConnected() | events.ClientGone():
            verb = "connected" if isinstance(event, events.ClientConnected) else "gone"
            return f"client {event.client_info} {verb}"
        case events.Subscribed():
            return f"client {event.client_info} subscribed"
        case events.Unsubscribed():
            return f"client {event.client_info} no longer subscribed"
        case events.Connecting():
            return "connecting"
        case events.Connected():
            return f"connected, slot {event.slot + 1}"
        case events.Refused():
            return "refused: no free slot"
        case events.Paired():
            return "paired"
        case _:
            return _number_text(event)


def _number_text(event: events.ProxyEvent) -> str:
    match event:
        case events.OpenFailed():
            return f"not connected, reason {event.reason:#x}"
        case events.Disconnected():
            return "disconnected" + (f", reason {event.reason:#x}" if event.reason else "")
        case events.PairingFailed():
            return f"pairing failed, code {event.code}"
        case events.ParametersSet():
            asked = event.parameters
            return (
                f"parameters {asked.min_interval}..{asked.max_interval} x 1.25 ms, "
                f"latency {asked.latency}, timeout {asked.timeout} x 10 ms"
            )
        case _:
            return type(event).__name__
