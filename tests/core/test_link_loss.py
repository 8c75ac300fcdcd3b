"""The loss of a link, and what it interrupts."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import LinkError
from proxyconn.connect.link_loss import LinkLoss

pytestmark = pytest.mark.looptime


async def for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def test_work_over_a_link_that_is_lost_already_ends_at_once() -> None:
    """The link may go between its coming up and the work."""
    loss = LinkLoss()
    loss.set()
    async with asyncio.timeout(1):
        with pytest.raises(LinkError, match="kettle: the link was lost"):
            async with loss.interrupts("kettle", None):
                await for_ever()


async def test_a_loss_that_is_told_twice_is_one_loss() -> None:
    """Also while the work that it has interrupted is still ending; the first reason counts."""
    loss = LinkLoss()
    asyncio.get_running_loop().call_later(0.5, loss.set, "nobody answers")

    async def work() -> None:
        async with loss.interrupts("kettle", None):
            try:
                await for_ever()
            finally:
                loss.set()

    with pytest.raises(LinkError, match="nobody answers"):
        await work()
    loss.set()
    assert loss.reason == "nobody answers"
