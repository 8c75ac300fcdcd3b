"""The clocks of a proxy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds; the defaults are those of ESPHome 2026.10.0.

    Attributes:
        hello: from accept to the end of Hello (api_connection.cpp).
        ping_after: without inbound traffic until the proxy sends a Ping.
        drop_after: without inbound traffic until the proxy drops the client.
        close_lost: until a CLOSE_EVT that never comes is given up (ble_client_base.cpp).
        orphan: from the end of a subscription until its links are closed.
        advert_flush: between two batches of advertisements that are not full.
        scan_cycle: length of one scan; the scanner stops and starts again after it.
        att: until an unanswered ATT request ends the link (Core Specification vol 3 F 3.3.3).
        retry_refused: between two tries of a message that the socket refused.
        loop: one turn of the firmware's main loop, in which a part of the services is tried again.
        close_gap: from DISCONNECT_EVT to CLOSE_EVT of a lost link.
        cancel: from the call that cancels an open to its event.
        restart: from the press of its restart button until it is on the air again.
    """

    hello: float = 60.0
    ping_after: float = 60.0
    drop_after: float = 150.0
    close_lost: float = 10.0
    orphan: float = 0.1
    advert_flush: float = 0.1
    scan_cycle: float = 300.0
    att: float = 30.0
    retry_refused: float = 0.1
    loop: float = 0.016
    close_gap: float = 0.002
    cancel: float = 0.01
    restart: float = 2.0
