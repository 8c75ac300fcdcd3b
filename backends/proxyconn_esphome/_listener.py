"""What a session tells whoever listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxyconn.radio import AllocationChangeEvent

from ._messages import BluetoothLERawAdvertisementsResponse

if TYPE_CHECKING:
    from ._session import ProxySession


class SessionListener:
    """Override what matters; the rest does nothing."""

    def session_changed(self, session: ProxySession) -> None:
        """The state, the problem or the identity is another one now."""

    def session_failed(self, session: ProxySession) -> None:
        """An attempt to connect has failed; the state may be the same as before."""

    def session_heard(
        self, session: ProxySession, message: BluetoothLERawAdvertisementsResponse
    ) -> None:
        """A batch of advertisements arrived."""

    def session_slots(self, session: ProxySession, events: Sequence[AllocationChangeEvent]) -> None:
        """The proxy's slots, or the attempts that occupy it, are other ones now."""
