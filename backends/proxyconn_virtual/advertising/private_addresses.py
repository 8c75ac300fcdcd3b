"""Private addresses (Core Specification vol 6 B 1.3.2.2 and 1.3.2.3)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from bluetooth_data_tools import get_cipher_for_irk

IRK_SIZE: Final = 16
"""Bytes of an identity resolving key."""

USUAL_ROTATION: Final = 900.0
"""Seconds; T_GAP(private_addr_int), Core Specification vol 3 C appendix A."""

_RESOLVABLE: Final = 0b01 << 22
_RANDOM_BITS: Final = 22


@dataclass(frozen=True, slots=True)
class PrivateAddress:
    """How a peripheral hides its address: it advertises under another one each time.

    Attributes:
        irk: 16 bytes, first octet most significant: its addresses are resolvable, by whoever has
            this key; None for non-resolvable ones.
        every: seconds for which each address is kept.

    Raises:
        ValueError: the key has another size, or the time is not above 0.
    """

    irk: bytes | None = field(default=None, repr=False)
    every: float = USUAL_ROTATION

    def __post_init__(self) -> None:
        if self.irk is not None and len(self.irk) != IRK_SIZE:
            raise ValueError(f"the irk has {len(self.irk)} bytes instead of {IRK_SIZE}")
        if not self.every > 0:
            raise ValueError(f"every {self.every:g} s: an address is kept for more than 0 s")

    def next_address(self, rng: random.Random) -> int:
        """Return a new 48-bit address, first octet most significant."""
        if self.irk is None:
            return _some_bits(rng, 2 * 24 - 2)
        prand = _RESOLVABLE | _some_bits(rng, _RANDOM_BITS)
        encryptor = get_cipher_for_irk(self.irk).encryptor()
        encrypted = encryptor.update(prand.to_bytes(IRK_SIZE, "big")) + encryptor.finalize()
        return prand << 24 | int.from_bytes(encrypted[-3:], "big")


def _some_bits(rng: random.Random, count: int) -> int:
    """Return random bits of which at least one is 0 and one is 1, as both sections want."""
    return rng.randrange(1, (1 << count) - 1)
