"""Decides what becomes of a bond when a device refuses for want of security, or its link ends so.

A proxy encrypts a link only when it is told to, or when the device asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from bleak.backends.client import BaseBleakClient

from proxyconn.errors import ErrorKind, GATTError, LinkError, RadioError, UnsupportedError
from proxyconn.radio import Radio, identity_of

T = TypeVar("T")


class Bonds(Protocol):
    """What is known of bonds, by the address of the device and the identity of the radio."""

    def is_bonded(self, address: str, radio: str) -> bool:
        """Whether there is one."""
        ...

    def refused(self, address: str, radio: str, now: float) -> None:
        """The device has refused for want of security: there is none."""
        ...

    def doubted(self, address: str, radio: str, now: float) -> None:
        """A link ended for want of security."""
        ...


class SecuredLinks:
    """The links to one device, as far as its bonds go.

    Args:
        bonds: those of the fleet.
        address: the device.
    """

    def __init__(self, bonds: Bonds, address: str) -> None:
        self._bonds = bonds
        self._address = address

    async def do(
        self,
        operation: Callable[[BaseBleakClient], Awaitable[T]],
        up: Callable[[], BaseBleakClient],
        radio: Radio | None,
    ) -> T:
        """Do something over a link; a bond that the device asks for is used, if the radio has one.

        Args:
            operation: what to do.
            up: returns the client that holds the link, or raises NotConnectedError.
            radio: whose link it is.
        """
        try:
            return await operation(up())
        except GATTError as exc:
            if exc.kind is not ErrorKind.SECURITY or radio is None:
                raise
            await self._use_bond(radio, up, exc)
        except LinkError as exc:
            if radio:
                self.link_failed(radio, exc)
            raise
        return await operation(up())

    def link_failed(self, radio: Radio, error: BaseException) -> None:
        """Take note of what ended a link, or an attempt to open one."""
        if isinstance(error, LinkError) and error.kind is ErrorKind.SECURITY:
            self._bonds.doubted(self._address, identity_of(radio), _now())

    async def _use_bond(
        self, radio: Radio, up: Callable[[], BaseBleakClient], refusal: GATTError
    ) -> None:
        """Have the radio use its bond; raise the device's refusal if there is none, or no more."""
        identity = identity_of(radio)
        if not self._bonds.is_bonded(self._address, identity):
            self._bonds.refused(self._address, identity, _now())
            raise refusal
        try:
            await up().pair()
        except UnsupportedError as exc:
            self._bonds.refused(self._address, identity, _now())
            raise GATTError(
                f"{refusal}; the bond is gone, for {radio.name} cannot pair any more ({exc}): "
                "mend that, or pair through another radio",
                int(refusal.args[0]),
                kind=refusal.kind,
                source=radio.name,
            ) from exc
        except RadioError as exc:
            if exc.kind is not ErrorKind.SECURITY:
                raise
            self._bonds.refused(self._address, identity, _now())
            raise refusal from None


def _now() -> float:
    return asyncio.get_running_loop().time()
