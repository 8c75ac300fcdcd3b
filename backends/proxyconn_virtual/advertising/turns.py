"""What is said at which time."""

from __future__ import annotations

from proxyconn_virtual.advertising.payloads import Advertisement, Advertising


def said(advertising: Advertising, number: int) -> Advertisement:
    """Return what is said the time with a number, from 0. Raises what a function of it raises."""
    if isinstance(advertising, Advertisement):
        return advertising
    if callable(advertising):
        return advertising(number)
    return advertising[number % len(advertising)]
