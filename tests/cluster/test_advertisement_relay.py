"""What radios hear is passed on together, in order, and the newest of it if there is too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxyconn.advertised.reports import PlainReport
from proxyconn.callbacks import Callbacks
from proxyconn_cluster.bus.subjects import Subjects
from proxyconn_cluster.exchange.heard import reports
from proxyconn_cluster.exchange.interest import EVERYTHING, Interest
from proxyconn_cluster.serving.advertisement_relay import (
    MOST_WAITING,
    ON_THE_WAY,
    TOGETHER,
    AdvertisementRelay,
)

pytestmark = pytest.mark.looptime

Heard = Callable[[Any, Iterable[PlainReport]], None]


@dataclass
class Owner:
    """An owner with radios, and one other member that wants to hear.

    Attributes:
        relay: what is tested.
        published: time, radio and address of each advertisement.
        hear: has a radio hear a device.
    """

    relay: AdvertisementRelay
    published: list[tuple[float, str, int]] = field(default_factory=list)
    hear: Callable[[str, int], None] = field(default=lambda radio, address: None)

    @property
    def moments(self) -> list[float]:
        """When something was published."""
        return sorted({at for at, _, _ in self.published})


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    """Yield an owner that passes on what it hears."""
    loop = asyncio.get_running_loop()
    heard: list[Heard] = []

    def register(callback: Heard) -> Callable[[], None]:
        heard.append(callback)
        return lambda: heard.remove(callback)

    async def publish(subject: str, data: bytes) -> None:
        radio = subject.rpartition(".")[2]
        one.published += [(loop.time(), radio, report.address) for report in reports(data)]

    members = SimpleNamespace(
        name="north",
        site="home",
        bus=SimpleNamespace(subjects=Subjects("house"), publish=publish),
        all={"program": SimpleNamespace(interest=cast("Interest | None", EVERYTHING))},
        changed=Callbacks[Any]("the test"),
        gone=Callbacks[Any]("the test"),
    )
    lending = SimpleNamespace(register_own_reports_callback=register)
    one = Owner(AdvertisementRelay(cast(Any, lending), cast(Any, members)))

    def hear(radio: str, address: int) -> None:
        for callback in heard:
            callback(SimpleNamespace(name=radio), [PlainReport(address, 0, -50, b"\x02\x01\x06")])

    one.hear = hear
    one.relay.start()
    yield one
    await one.relay.aclose()


async def test_what_comes_in_a_short_while_is_written_at_once(owner: Owner) -> None:
    began = asyncio.get_running_loop().time()
    for number in range(10):
        owner.hear(f"radio-{number % 3}", number)
        await asyncio.sleep(TOGETHER / 20)
    await asyncio.sleep(2 * TOGETHER)
    assert owner.moments == pytest.approx([began + TOGETHER])
    assert [address for _, _, address in owner.published] == list(range(10))
    assert {radio for _, radio, _ in owner.published} == {
        f"north-radio-{number}" for number in range(3)
    }
    assert owner.relay.sent == 10


async def test_what_is_heard_when_they_are_nearly_due_has_them_sent(owner: Owner) -> None:
    began = asyncio.get_running_loop().time()
    owner.hear("radio", 1)
    await asyncio.sleep(TOGETHER - ON_THE_WAY * 2 / 3)
    owner.hear("radio", 2)
    await asyncio.sleep(2 * TOGETHER)
    assert owner.moments == pytest.approx([began + TOGETHER - ON_THE_WAY * 2 / 3])
    assert [address for _, _, address in owner.published] == [1, 2]


async def test_nothing_waits_longer_than_that(owner: Owner) -> None:
    for number in range(100):
        owner.hear("radio", number)
        await asyncio.sleep(TOGETHER / 4)
    await asyncio.sleep(2 * TOGETHER)
    assert owner.relay.sent == 100
    gaps = [later - at for at, later in zip(owner.moments, owner.moments[1:], strict=False)]
    assert max(gaps) < 1.5 * TOGETHER


async def test_the_oldest_is_lost_where_there_is_too_much(owner: Owner) -> None:
    for number in range(MOST_WAITING + 3):
        owner.hear("radio", number)
    await asyncio.sleep(2 * TOGETHER)
    assert [address for _, _, address in owner.published] == list(range(3, MOST_WAITING + 3))
