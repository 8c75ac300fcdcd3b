"""Routes that lead through what lives in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self


class SharedRoute:
    """A route that is shared by the copies of a device.

    It leads through what lives in this process: a device that is pickled goes without it, and is
    reached by its address where there is a fleet.
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _no_route, ()


def _no_route() -> None:
    """What is left of a route in another process."""
