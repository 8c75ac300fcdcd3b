"""What a radio is called in the cluster: for good, and by nobody else's radio."""

from __future__ import annotations

from proxyconn.radio import IdentifiedRadio, Radio, identity_of


def known_as(radio: Radio, owner: str) -> str:
    """Return what a radio of an owner is to the others; every owner may have an adapter `hci0`."""
    identity = identity_of(radio)
    return identity if isinstance(radio, IdentifiedRadio) else f"{owner}/{identity}"


def own_identity(name: str, owner: str) -> str:
    """Return the identity of our own radio that others know by this name."""
    return name.removeprefix(f"{owner}/")
