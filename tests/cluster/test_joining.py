"""How a fleet joins a cluster, and what is said where it cannot."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import Fleet, RadioUnavailableError
from proxyconn_cluster.joined import Place, place_of
from proxyconn_cluster.members import Members
from proxyconn_cluster.settings import ClusterSettings

from .conftest import MakeBus
from .nats_server import NatsServer, free_port
from .village import until


@pytest.mark.usefixtures("soon_given_up")
async def test_without_a_broker_it_says_so() -> None:
    fleet = Fleet(cluster=f"nats://127.0.0.1:{free_port()}", state=None, owner=False)
    with pytest.raises(RadioUnavailableError, match="no NATS server answers"):
        await fleet.__aenter__()
    await fleet.aclose()


@pytest.mark.parametrize(
    ("cluster", "error"),
    [("mqtt://x", ValueError), ("nats://user:secret@x:4222", ValueError), (4222, TypeError)],
)
async def test_what_is_no_cluster(cluster: object, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        await Fleet(cluster=cluster, state=None, owner=False).__aenter__()
    assert "secret" not in str(caught.value)


def test_what_may_be_given() -> None:
    settings = ClusterSettings(("nats://a:1", "nats://b:2"), fleet="hotel")
    assert place_of("nats://a:1,nats://b:2").settings.servers == settings.servers
    assert place_of(settings).settings is settings
    place = Place(settings, always=False)
    assert place_of(place) is place


async def test_a_cluster_without_owners_is_a_fleet_without_radios(server: NatsServer) -> None:
    async with Fleet(cluster=server.url, state=None, owner=False) as fleet:
        assert fleet.radios == []
        with pytest.raises(RadioUnavailableError):
            await fleet.ready(1, 0.1)


async def test_a_program_that_is_cancelled_while_it_joins_leaves_nothing(
    server: NatsServer,
) -> None:
    for turns in range(0, 40, 3):
        fleet = Fleet(cluster=server.url, state=None, owner=False)
        joining = asyncio.ensure_future(fleet.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await fleet.aclose()
    # A thread that looks for backends cannot be called off, and has files open.
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_fleets_of_other_names_do_not_meet(server: NatsServer, make_bus: MakeBus) -> None:
    every = [
        Members(await make_bus(server, name, fleet=fleet))
        for name, fleet in (("a", "one"), ("b", "other"), ("c", "one"))
    ]
    for members in every:
        await members.start()
    await until(lambda: bool(every[0].all) and bool(every[2].all))
    await asyncio.sleep(0.1)
    assert [[one.name for one in members.all.values()] for members in every] == [["c"], [], ["a"]]
    for members in every:
        await members.aclose()
