"""Errors can be copied and pickled: programs hand them to other processes."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

import pytest

import proxyconn
import proxyconn_bluez
import proxyconn_cluster
import proxyconn_esphome
import proxyconn_native_api
import proxyconn_owner
import proxyconn_top
import proxyconn_virtual
import proxyconn_web
from proxyconn import Allocations, ErrorKind, GATTError
from proxyconn.errors import AttemptTimeoutError, ProxyconnError
from proxyconn_esphome.codes import ConnectionReason, GattStatus
from proxyconn_esphome.link.states import LinkEvent, LinkMoveError, LinkState
from proxyconn_virtual.radio import AttError, OpenError, PairingError

PACKAGES = (
    proxyconn,
    proxyconn_bluez,
    proxyconn_cluster,
    proxyconn_esphome,
    proxyconn_native_api,
    proxyconn_owner,
    proxyconn_top,
    proxyconn_virtual,
    proxyconn_web,
)

MADE_BY: dict[type[BaseException], Callable[[], BaseException]] = {
    GATTError: lambda: GATTError("kitchen: no", 0x0A, kind=ErrorKind.SECURITY, source="kitchen"),
    AttemptTimeoutError: lambda: AttemptTimeoutError("too long", "kitchen"),
    LinkMoveError: lambda: LinkMoveError(LinkState.IDLE, LinkEvent.UP),
    OpenError: lambda: OpenError(0x3E),
    AttError: lambda: AttError(0x0E),
    PairingError: lambda: PairingError(85),
}
"""Errors that are not made from a text alone."""


def our_errors() -> Iterator[type[BaseException]]:
    """Yield every class of errors that our packages define."""
    seen = set()
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, BaseException):
                    ours = value.__module__.startswith("proxyconn")
                    if ours and not value.__name__.startswith("_") and value not in seen:
                        seen.add(value)
                        yield value


def made(error: type[BaseException]) -> BaseException:
    """Return an error of a class, with all that it can carry."""
    if error in MADE_BY:
        return MADE_BY[error]()
    if issubclass(error, ProxyconnError):
        return error(
            "words",
            kind=ErrorKind.TRANSIENT,
            code=ConnectionReason(0x99),
            attempts=3,
            source="kitchen",
            allocations=Allocations("kitchen", 3, 1, ["C4:00:00:00:00:01"]),
            elapsed=1.5,
        )
    return error("words")


HOW: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("error", list(our_errors()), ids=lambda error: error.__name__)
def test_errors_survive(error: type[BaseException], how: str) -> None:
    """A copy says the same, and carries the same."""
    original = made(error)
    twin = HOW[how](original)
    assert type(twin) is error
    assert (str(twin), twin.args) == (str(original), original.args)
    assert vars(twin) == vars(original)


@pytest.mark.parametrize("code", [ConnectionReason(0x99), GattStatus(0x85), GattStatus(0xFE)])
def test_codes_survive(code: IntEnum) -> None:
    """Also numbers that have no name."""
    twin = pickle.loads(pickle.dumps(code))
    assert (twin, str(twin), type(twin)) == (code, str(code), type(code))
