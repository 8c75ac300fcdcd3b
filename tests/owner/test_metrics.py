"""Metrics for Prometheus: what is counted, in what form, and the dashboard that shows it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from bleak.exc import BleakError
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxyconn.extras import MissingExtraError
from proxyconn_web.extra import need

from .conftest import READ, House, MakeHouse, address, connect, peripheral, until
from .test_api import WEB, asking

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana.json"


async def scraped(house: House, query: str = "") -> dict[str, Metric]:
    """Return the families of metrics by name."""
    async with asking(house) as session, session.get(f"/metrics{query}") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the sum of the samples of a name that have some labels."""
    return sum(
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_what_happens_is_counted(make_house: MakeHouse) -> None:
    """Attempts, failures by kind, advertisements, slots, clients, waits and operations."""
    house: House = await make_house(peripheral(1), peripheral(2), serve=WEB)
    program = await house.client()
    client = await connect(program, 1)
    await client.read_gatt_char(READ)
    families = await scraped(house)
    source = house.owner.clients[0].links[int(address(1).replace(":", ""), 16)].source
    assert source
    assert value(families, "proxyconn_connect_attempts_total", radio=source) == 1
    assert value(families, "proxyconn_connect_seconds_count", radio=source) == 1
    assert value(families, "proxyconn_queue_wait_seconds_count") == 1
    assert value(families, "proxyconn_gatt_operation_seconds_count", operation="read") == 1
    assert value(families, "proxyconn_links", radio=source) == 1
    assert value(families, "proxyconn_slots", radio="kitchen") == 3
    assert value(families, "proxyconn_slots_free", radio=source) == 2
    assert value(families, "proxyconn_radio_state", state="ready") == 2
    assert value(families, "proxyconn_radio_state") == 2
    assert value(families, "proxyconn_client_links") == 1
    assert value(families, "proxyconn_devices") == 2
    await until(lambda: bool(house.owner.fleet.paths(address(2))))
    for radio in ("kitchen", "cellar"):
        heard = value(families, "proxyconn_advertisements_total", radio=radio)
        assert heard > 0
        assert value(families, "proxyconn_advertised_bytes_total", radio=radio) > heard
        assert value(families, "proxyconn_radio_last_heard_timestamp_seconds", radio=radio) > 1e9
    await client.disconnect()


async def test_devices_are_labels_only_if_asked_for(make_house: MakeHouse) -> None:
    """No address is in the metrics; `?devices=1` adds how each radio hears each device."""
    house: House = await make_house(serve=WEB)
    await until(lambda: len(house.owner.fleet.paths(address(1))) == 2)
    plain = await scraped(house)
    assert address(1) not in str(plain)
    more = await scraped(house, "?devices=1")
    assert value(more, "proxyconn_device_rssi_dbm", address=address(1), radio="kitchen") < 0
    assert set(plain) < set(more)


async def test_dashboard_shows_metrics_that_exist(make_house: MakeHouse) -> None:
    """Every name in docs/grafana.json is one of a metric, and every metric is shown."""
    house: House = await make_house(names=(), serve=WEB)
    families = await scraped(house)
    known = {name for name in families if not name.endswith("_created")}
    names = {
        re.sub(r"_(total|bucket|count|sum)$", "", name)
        for panel in json.loads(await asyncio.to_thread(DASHBOARD.read_text))["panels"]
        for target in panel["targets"]
        for name in re.findall(r"proxyconn_\w+", target["expr"])
    }
    assert len(names) > 10
    assert names - known == set()
    assert known - names == set()


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback: the command that helps."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'proxyconn\[web\]'"):
        need("prometheus_client")
    assert not issubclass(MissingExtraError, BleakError)
