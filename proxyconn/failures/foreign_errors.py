"""What the words of other people's errors mean: the only module that reads them.

The words are those that bleak-retry-connector's guide promises to understand. Errors of proxyconn's
own backends carry a kind and never come here.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxyconn.errors import ErrorKind

UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
"""D-Bus name of BlueZ's answer about a device it has dropped; some backends put it in words."""

FRAGMENTS: tuple[tuple[str, ErrorKind], ...] = (
    ("available connection", ErrorKind.OUT_OF_SLOTS),
    ("connection slot", ErrorKind.OUT_OF_SLOTS),
    ("ESP_GATT_CONN_CONN_CANCEL", ErrorKind.CONNECT_CANCELLED),
    ("ESP_GATT_CONN_FAIL_ESTABLISH", ErrorKind.ESTABLISH_FAILED),
    ("ESP_GATT_CONN_TIMEOUT", ErrorKind.LINK_TIMEOUT),
    ("ESP_GATT_ERROR", ErrorKind.STACK_ERROR),
    ("ESP_GATT_CONN_TERMINATE_PEER_USER", ErrorKind.LINK_TERMINATED),
    ("ESP_GATT_CONN_TERMINATE_LOCAL_HOST", ErrorKind.LINK_TERMINATED),
    ("le-connection-abort-by-local", ErrorKind.LINK_TERMINATED),
    ("br-connection-canceled", ErrorKind.LINK_TERMINATED),
    (UNKNOWN_OBJECT, ErrorKind.DBUS_UNKNOWN_OBJECT),
    ("not found", ErrorKind.NOT_FOUND),
    ("Disconnected", ErrorKind.DISCONNECTED),
)
"""Fragment of a message -> kind; the first that is found counts."""


def kind_of_words(text: str, names: Iterable[str] = ()) -> ErrorKind | None:
    """Return the kind that the words of an error name, or None.

    Args:
        text: the message.
        names: names of the device, which are not words of the error even if they look so.
    """
    for name in names:
        if any(fragment in name for fragment, _ in FRAGMENTS):
            text = text.replace(name, "")
    return next((kind for fragment, kind in FRAGMENTS if fragment in text), None)
