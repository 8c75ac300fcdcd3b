"""What every session will do: decided by the seed alone, whatever became of those before."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Final

STEPS: Final = ("read", "write", "command", "notify", "wait")
WEIGHTS: Final = (4, 2, 1, 2, 1)

FLOODS: Final = 0.15
"""Share of the sessions that flood their device with commands."""

MOST_FLOOD: Final = 150
"""Commands of a flood; the slowest device takes 20 a second."""


DROPPED: Final = 0.05
"""Share of the sessions whose client is dropped."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation.

    Attributes:
        name: one of STEPS.
        data: what is written.
        seconds: how long to wait, or to be notified.
        cancel_after: seconds after which the operation is cancelled; None if it is not.
    """

    name: str
    data: bytes
    seconds: float
    cancel_after: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """One session.

    Attributes:
        pause: seconds before it.
        deadline: seconds for it to be connected.
        cancel_connect: seconds after which the connect is cancelled; None if it is not.
        steps: the operations; the first one is a read.
        cancel_disconnect: seconds after which the disconnect is cancelled; None if it is not.
        hold: for a connection that is kept, seconds until it is let go.
        flood: commands that are written at once after the steps.
        flood_name: tells this flood from others.
        drop: whether the client is dropped at the end, instead of being disconnected.
    """

    pause: float
    deadline: float
    cancel_connect: float | None
    steps: tuple[Step, ...]
    cancel_disconnect: float | None
    hold: float
    flood: int = 0
    flood_name: bytes = b""
    drop: bool = False


def plan(seed: int, address: str, number: int, pause: float) -> Plan:
    """Return the plan of the numbered session of a device."""
    draw = random.Random(f"session {seed} {address} {number}")
    other = random.Random(f"flood {seed} {address} {number}")
    steps = ["read", *draw.choices(STEPS, WEIGHTS, k=draw.randint(0, 5))]
    return Plan(
        pause=draw.uniform(0.1, pause),
        deadline=draw.choice((5.0, 15.0, 30.0, 60.0)),
        cancel_connect=_seldom(draw, 0.1, 10.0),
        steps=tuple(
            Step(
                name,
                draw.randbytes(draw.randint(1, 20)),
                draw.uniform(0.1, 3.0),
                _seldom(draw, 0.08, 0.2),
            )
            for name in steps
        ),
        cancel_disconnect=_seldom(draw, 0.05, 0.5),
        hold=draw.uniform(20.0, 200.0),
        flood=other.randint(20, MOST_FLOOD) if other.random() < FLOODS else 0,
        flood_name=other.randbytes(4),
        drop=draw.random() < DROPPED,
    )


def often_cancelled(chosen: Plan, number: int) -> Plan:
    """Return a session whose disconnect is cancelled as it begins, each third time."""
    return dataclasses.replace(chosen, cancel_disconnect=0.0) if number % 3 == 0 else chosen


def _seldom(draw: random.Random, chance: float, longest: float) -> float | None:
    """Return some seconds with a chance, else None; always draws twice."""
    wanted, seconds = draw.random() < chance, draw.uniform(0.0, longest)
    return seconds if wanted else None
