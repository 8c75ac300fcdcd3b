"""What a virtual peripheral says on the air: payloads, in turns, and under which address.

Begin with `Advertisement` and `payload`; `Peripheral.advertising` takes them.
May import: nothing of this package.
"""

from proxyconn_virtual.advertising.payloads import (
    MAX_EXTENDED,
    MAX_LEGACY,
    Advertisement,
    Advertising,
    payload,
)
from proxyconn_virtual.advertising.private_addresses import PrivateAddress
from proxyconn_virtual.advertising.turns import said
from proxyconn_virtual.advertising.uuids import uuid128

__all__ = (
    "MAX_EXTENDED",
    "MAX_LEGACY",
    "Advertisement",
    "Advertising",
    "PrivateAddress",
    "payload",
    "said",
    "uuid128",
)
