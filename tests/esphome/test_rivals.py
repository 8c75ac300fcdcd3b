"""Who has taken a proxy's subscription, where that is known."""

from __future__ import annotations

import asyncio
import re

import pytest

from proxyconn import Subscribe
from proxyconn.radio import RadioState, RadioUnavailableError
from proxyconn_esphome import ESPHomeClient
from tests.esphome.clocked import a_house, device
from tests.esphome.test_left_links import KEEP_LINKS, Notes, connect, run, says_hello

pytestmark = pytest.mark.looptime

THIEF = "another program of this user (process 22)"


@pytest.mark.parametrize("profile", KEEP_LINKS)
async def test_program_that_takes_the_subscription_is_named(profile: str) -> None:
    """A thief of the same user is known by what it wrote down: in error, state and diagnostics."""
    async with a_house(device(1), profile=profile, ready=False) as house:
        await house.session.aclose()
        mine, theirs = Notes("11-a"), Notes("22-b")
        theirs.facts_ = mine.facts_
        mine.silences["22-b"] = theirs.silences["11-a"] = None
        async with run(house, mine) as session:
            await session.ready(10)
            client = await connect(house, session, 1)
            reading = asyncio.ensure_future(_read_for_ever(client))
            async with run(house, theirs) as thief, run(house, mine, Subscribe.NEVER) as looker:
                await thief.ready(10)
                await looker.ready(10)
                assert looker.diagnostics()["subscription"]["holder"] == THIEF
                with pytest.raises(
                    RadioUnavailableError, match=re.escape(f"{THIEF} took over its")
                ):
                    await reading
                await asyncio.sleep(1)
                assert session.state is RadioState.READY
                thief.subscription.take_back()
                await asyncio.sleep(25)
                assert session.problem is not None
                assert session.problem.text.startswith(f"{THIEF} took over its advertisement")


async def _read_for_ever(client: ESPHomeClient) -> None:
    while True:
        assert await says_hello(client)
        await asyncio.sleep(1)
