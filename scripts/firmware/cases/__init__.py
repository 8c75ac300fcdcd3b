"""The cases, by what they are about."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.firmware.case import Case

from . import cancelling, gatt, losing, opening, pairing, scanning, subscribers

CASES: Sequence[Case] = (
    *(Case(steps) for steps in opening.STEPS),
    *(Case(steps) for steps in cancelling.STEPS),
    *(Case(steps) for steps in losing.STEPS),
    *(Case(steps) for steps in gatt.STEPS),
    *(Case(steps) for steps in pairing.STEPS),
    *(Case(steps) for steps in subscribers.STEPS),
    *(Case(steps, scanner=True) for steps in scanning.STEPS),
    *(Case(steps, slow=True) for steps in subscribers.SLOW_STEPS),
)
"""Every case, in the order in which it is shown."""
